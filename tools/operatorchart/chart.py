"""All files of deploy/chart, docs/chart.md, and deploy/install.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cnichain import __version__
from cnichain.api.crd import chain_crd, node_crd, render
from operatorchart.templates import documents, resources_of, templates
from operatorchart.values import Value, Workload, page, schema_json, table, values_yaml

STATIC = Path(__file__).parent / "static"
MARK = "Generated from tools/operatorchart by `make generate`; do not edit."
REPOSITORY = "https://github.com/cnichain/cnichain"
KUBERNETES = ">=1.29.0-0"
"""The oldest minor that a Cilium of the catalogue was tested with."""

PAGE_HEAD = f"""\
<!-- {MARK} -->
# Values of the Helm chart

`deploy/chart`, described by the page [Install](install.md). With the defaults it renders the objects of `deploy/base`;
a test compares them one by one. A value that is not in this list is refused by Helm, by its name.
"""
VALUES_HEAD = f"# {MARK}\n# docs/chart.md has the same as a table. With these values the chart renders deploy/base.\n"
README = f"""\
# CNIChain

Chains Cilium and Hubble after the CNI that a cluster already has, and keeps the chain right. This chart installs the
operator, the agent of each node, and the two CRDs; what they do is said by one `CNIChain`.

```sh
helm install cnichain oci://ghcr.io/cnichain/charts/cnichain --version {__version__} \\
  --namespace cnichain-system --create-namespace
```

- [Install, upgrade, CRDs]({REPOSITORY}/blob/main/docs/install.md)
- [Values]({REPOSITORY}/blob/main/docs/chart.md)
- [What it may do in the cluster]({REPOSITORY}/blob/main/docs/security.md)

Helm does not upgrade CRDs: apply those of the new release before `helm upgrade`.
"""


class _Text(str):
    """Text that YAML shows as a block."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


def chart_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Every file of the chart, and what it should hold. root: of the repository."""
    chart, base, monitoring = root / "deploy/chart", root / "deploy/base", root / "deploy/monitoring"
    values = _values(base)
    yield chart / "Chart.yaml", _chart_yaml(root, _workload(base / "operator.yaml").container["image"])
    yield chart / "README.md", README
    yield chart / "values.yaml", values_yaml(values, VALUES_HEAD)
    yield chart / "values.schema.json", schema_json(values)
    for crd in (chain_crd(), node_crd()):
        yield chart / "crds" / f"{crd['metadata']['name']}.yaml", render(crd)
    for name, text in templates(base, monitoring).items():
        yield chart / "templates" / name, f"{{{{/* {MARK} */}}}}\n{text}"
    for path in sorted(STATIC.iterdir()):
        yield chart / "templates" / path.name, path.read_text(encoding="utf-8")
    for path in sorted((monitoring / "dashboards").glob("*.json")):
        yield chart / "dashboards" / path.name, path.read_text(encoding="utf-8")
    yield root / "docs/chart.md", page(values, PAGE_HEAD)


def install_yaml(root: Path) -> str:
    """deploy/install.yaml: the CRDs and deploy/base, in an order in which one `kubectl apply` takes them."""
    crds = [_without_head(render(crd)) for crd in (chain_crd(), node_crd())]
    base = [text for path in resources_of(root / "deploy/base") for text in documents(path)]
    head = "# Generated from crds and deploy/base by `make generate`; do not edit.\n"
    return f"{head}# CNIChain {__version__}: docs/install.md.\n" + "---\n".join([*crds, *base])


def _without_head(text: str) -> str:
    first, _, rest = text.partition("\n")
    return rest if first.startswith("#") else text


def _values(base: Path) -> list[Value]:
    return table(_workload(base / "operator.yaml"), _workload(base / "agent.yaml"))


def _workload(path: Path) -> Workload:
    """The first object of the manifest."""
    return Workload(yaml.safe_load(documents(path)[0])["spec"])


def _chart_yaml(root: Path, image: str) -> str:
    """Chart.yaml, with what Artifact Hub shows."""
    example = yaml.safe_load((root / "examples/eks.yaml").read_text(encoding="utf-8"))
    crds = [
        {
            "kind": crd["spec"]["names"]["kind"],
            "version": crd["spec"]["versions"][0]["name"],
            "name": crd["metadata"]["name"],
            "displayName": shown,
            "description": description,
        }
        for crd, shown, description in (
            (chain_crd(), "CNI chain", "What is chained after the primary CNI, and what was found of it."),
            (node_crd(), "Node of a CNI chain", "Written by operator and agents: the chain of one node."),
        )
    ]
    images = [{"name": "cnichain", "image": image, "platforms": ["linux/amd64", "linux/arm64"]}]
    links = [{"name": name, "url": f"{REPOSITORY}/blob/main/docs/{page}.md"} for name, page in
             (("Install", "install"), ("Quick start", "quickstart"), ("Security", "security"))]  # fmt: skip
    annotations = {
        "artifacthub.io/category": "networking",
        "artifacthub.io/license": "Apache-2.0",
        "artifacthub.io/operator": "true",
        "artifacthub.io/operatorCapabilities": "Deep Insights",
        "artifacthub.io/prerelease": str(__version__.startswith("0.")).lower(),
        "artifacthub.io/crds": _block(crds),
        "artifacthub.io/crdsExamples": _block([example]),
        "artifacthub.io/images": _block(images),
        "artifacthub.io/links": _block(links),
    }
    chart = {
        "apiVersion": "v2",
        "name": "cnichain",
        "description": "Chains Cilium and Hubble after the CNI that a cluster has, and keeps the chain right",
        "type": "application",
        "version": __version__,
        "appVersion": __version__,
        "kubeVersion": KUBERNETES,
        "home": REPOSITORY,
        "sources": [REPOSITORY],
        "keywords": ["cni", "cilium", "hubble", "chaining", "eks"],
        "maintainers": [{"name": "The CNIChain authors", "url": REPOSITORY}],
        "annotations": annotations,
    }
    return f"# {MARK}\n" + yaml.dump(chart, Dumper=_Dumper, sort_keys=False, width=1000)


def _block(value: list[dict[str, Any]]) -> _Text:
    return _Text(yaml.safe_dump(value, sort_keys=False, width=1000))
