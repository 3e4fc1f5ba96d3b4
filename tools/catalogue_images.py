"""Write operator/cnichain/catalogue/images.yaml from the official charts: `python tools/catalogue_images.py DIR`.

Only archives whose sha256 the catalogue pins are read. With --check nothing is written; the exit status is 1 when the
file does not hold what the archives say.
"""

import argparse
import hashlib
import io
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cnichain.catalogue.load import builtin_catalogue
from cnichain.catalogue.records import CiliumRelease

TARGET = Path(__file__).resolve().parent.parent / "operator" / "cnichain" / "catalogue" / "images.yaml"
HEAD = """\
# Generated from the official charts by tools/catalogue_images.py; do not edit.
# part: path of the chart's values. optional: the chain does not use it.
"""

CHAIN_PARTS = frozenset(
    {"image", "envoy.image", "operator.image", "hubble.relay.image", "hubble.ui.backend.image",
     "hubble.ui.frontend.image"}
)  # fmt: skip
"""Parts that run in a chain. tests/render checks them against real renders."""
OPERATOR_VARIANT = "generic"
"""cilium-operator has an image per cloud; a chain has no cloud's IPAM, so it is always this one."""


def images_of(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The images that a chart's values name, by part."""
    found = []
    for part, image in sorted(_image_nodes(values)):
        text = _reference(image)
        if text:
            found.append({"image": text, "part": part} | ({} if part in CHAIN_PARTS else {"optional": True}))
    return found


def _image_nodes(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in values.items():
        if not isinstance(value, Mapping):
            continue
        path = f"{prefix}{key}"
        if "repository" in value and "tag" in value:
            yield path, value
        else:
            yield from _image_nodes(value, f"{path}.")


def _reference(image: Mapping[str, Any]) -> str:
    """repository:tag@digest as the chart's helper `cilium.image` writes it; empty when the values name no image."""
    repository, digest = image["repository"], image.get("digest")
    if not repository or not image["tag"]:
        return ""
    if "genericDigest" in image:
        repository, digest = f"{repository}-{OPERATOR_VARIANT}{image.get('suffix') or ''}", image["genericDigest"]
    return f"{repository}:{image['tag']}" + (f"@{digest}" if image.get("useDigest") and digest else "")


def values_of(archive: Path, release: CiliumRelease) -> Mapping[str, Any]:
    """values.yaml of a chart archive. Raises SystemExit when the archive is not the one that the catalogue pins."""
    content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != release.chart_sha256:
        raise SystemExit(f"{archive} is not the archive that the catalogue pins for Cilium {release.version}.")
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        member = tar.extractfile("cilium/values.yaml")
        if member is None:
            raise SystemExit(f"{archive} has no cilium/values.yaml.")
        values: Mapping[str, Any] = yaml.safe_load(member.read())
    return values


def page(chart_dir: Path) -> str:
    """The text of images.yaml."""
    official = [item for item in builtin_catalogue().cilium if item.source == "official"]
    images = {item.version: images_of(values_of(chart_dir / item.archive, item)) for item in official}
    return HEAD + yaml.safe_dump(images, sort_keys=False, width=200)


def main() -> int:
    """Write the file, or with --check say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chart_dir", type=Path, help="folder of the official archives")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    options = parser.parse_args()
    text = page(options.chart_dir)
    if options.check:
        stale = TARGET.read_text(encoding="utf-8") != text
        if stale:
            print(f"{TARGET.name} is stale: run tools/catalogue_images.py", file=sys.stderr)
        return 1 if stale else 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
