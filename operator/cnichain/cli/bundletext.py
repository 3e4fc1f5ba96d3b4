"""A bundle for an air gap: its images, the page that says what to do, and a tar that is always the same. Pure."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cnichain import __version__
from cnichain.render.manifests import Manifest

FOLDER = "cnichain-bundle"
SUMS = "SHA256SUMS"
OPERATOR_IMAGE = f"ghcr.io/cnichain/cnichain:{__version__}"
"""Of the operator and the agents, as deploy/base names it."""
REFERENCE = re.compile(r"^(?P<repository>[^@]+?)(?::(?P<tag>[^:/@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$")
POD_PATHS = {"DaemonSet", "Deployment", "StatefulSet", "Job", "ReplicaSet"}


@dataclass(frozen=True)
class BundledImage:
    """An image, and what it is for. digest: "" when it is named by its tag alone."""

    image: str
    repository: str
    tag: str
    digest: str
    used_by: tuple[str, ...]


def bundled(used: Mapping[str, Iterable[str]]) -> list[BundledImage]:
    """The images, sorted. used: image to what runs it."""
    return [_bundled(image, tuple(sorted(set(by)))) for image, by in sorted(used.items())]


def _bundled(image: str, by: tuple[str, ...]) -> BundledImage:
    match = REFERENCE.match(image)
    parts = match.groupdict() if match else {"repository": image, "tag": "", "digest": ""}
    return BundledImage(image, parts["repository"], parts["tag"] or "", parts["digest"] or "", by)


def images_of(items: Iterable[Manifest]) -> dict[str, list[str]]:
    """The images of all workloads, each with what runs it."""
    found: dict[str, list[str]] = {}
    for item in items:
        spec = item.body.get("spec") or {}
        if item.kind == "CronJob":
            spec = (spec.get("jobTemplate") or {}).get("spec") or {}
        elif item.kind not in POD_PATHS:
            continue
        pod = ((spec.get("template") or {}).get("spec")) or {}
        for container in [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]:
            where = f"{item.kind} {item.namespace}/{item.name}"
            found.setdefault(str(container.get("image", "")), []).append(where)
    return found


def images_text(images: Sequence[BundledImage]) -> str:
    """A line for each image."""
    return "".join(f"{item.image}\n" for item in images)


def images_data(images: Sequence[BundledImage]) -> list[dict[str, Any]]:
    """The images for programs."""
    return [{**asdict(item), "used_by": list(item.used_by)} for item in images]


def contents(
    charts: Mapping[str, bytes], images: Sequence[BundledImage], versions: Sequence[str], calico: Sequence[str]
) -> dict[str, bytes]:
    """Files of the bundle by path, the checksums last."""
    files = {f"charts/{name}": content for name, content in sorted(charts.items())}
    files["images.txt"] = images_text(images).encode()
    files["images.json"] = (json.dumps(images_data(images), indent=2) + "\n").encode()
    files["README.md"] = _page(versions, calico, list(charts)).encode()
    files = dict(sorted(files.items()))
    files[SUMS] = sums(files).encode()
    return files


def sums(files: Mapping[str, bytes]) -> str:
    """Checksums as `sha256sum --check` reads them."""
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in files.items())


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """The tar: the same bytes for the same files, whoever makes it and when."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{path}")
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 0
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _page(versions: Sequence[str], calico: Sequence[str], charts: Sequence[str]) -> str:
    more = (
        "\nCalico: tigera-operator chooses the images of Calico itself, so they are not in the list. Run its image\n"
        "with `--print-images=list`, and mirror those too.\n"
        if calico
        else ""
    )
    of_calico = f" and Calico {', '.join(calico)}" if calico else ""
    return f"""\
# CNIChain {__version__} for an air gap: Cilium {", ".join(versions)}{of_calico}

Check what has arrived: `sha256sum --check {SUMS}`

## Charts

`charts/` is the folder for the operator's option `--chart-dir` (`CNICHAIN_CHART_DIR`): with it, it never asks a
repository. The operator checks each file against its catalogue again. The files fit into a ConfigMap:

```console
kubectl -n cnichain-system create configmap cnichain-charts \\
{_from_files(charts)}
```

Mount it into the operator's Deployment, and set `CNICHAIN_CHART_DIR` to the mount path. A ConfigMap holds 1 MiB; for
more versions than that, make an image of your own: `FROM {OPERATOR_IMAGE}` and `COPY charts /charts`.

## Images

`images.txt` has every image that these charts run at these values, with its digest, and the operator's own;
`images.json` says what each is for. Copy them with a machine that reaches both sides:

```sh
while read -r image; do
  name=${{image%%@*}}; digest=${{image#"$name"}}; repository=${{name%:*}}
  from=$name; [ -z "$digest" ] || from=$repository$digest
  skopeo copy --all --preserve-digests "docker://$from" "docker://$MIRROR/${{name#*/}}"
done < images.txt
```

Then let the nodes' container runtime take the mirror for those registries (containerd: `hosts.toml`). Digests and names
stay as they are, so neither the CNIChain nor its values change, and what runs is what was checked.
{more}"""


def _from_files(charts: Sequence[str]) -> str:
    return " \\\n".join(f"  --from-file=charts/{name}" for name in sorted(charts))
