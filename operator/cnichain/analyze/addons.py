"""EKS add-ons as manifests declare them: of eksctl, ACK, Crossplane and Cluster API. Pure.

Their `configurationValues` are a text of JSON or YAML, in the form of the add-on's own chart.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from cnichain.analyze.documents import Document, Object, Part, at, mapping, mappings, text

VPC_CNI = "vpc-cni"
POD_IDENTITY = "eks-pod-identity-agent"
CROSSPLANE_GROUPS = ("eks.aws.upbound.io", "eks.aws.m.upbound.io", "eks.aws.crossplane.io")


@dataclass(frozen=True)
class AddOn:
    """An add-on that a manifest declares. version: "" when it names none. configuration: its values, parsed. path: of
    the field that holds them."""

    document: Document
    path: tuple[Part, ...]
    name: str
    version: str = ""
    configuration: Object = field(default_factory=dict)


def add_ons(documents: Iterable[Document]) -> list[AddOn]:
    """The add-ons in all documents."""
    return [item for document in documents for item in _of(document)]


def _of(document: Document) -> Iterator[AddOn]:
    spec = document.spec
    if document.is_a("ClusterConfig", "eksctl.io"):
        entries = [(item, ("addons", number), "configurationValues") for number, item in _numbered(document.body)]
        yield from (_entry(document, item, path, key) for item, path, key in entries)
    elif document.is_a("AWSManagedControlPlane", "controlplane.cluster.x-k8s.io"):
        yield from (
            _entry(document, item, ("spec", "addons", number), "configuration") for number, item in _numbered(spec)
        )
        variables = {text(one.get("name")): one.get("value") for one in mappings(at(spec, "vpcCni", "env"))}
        if variables:
            yield AddOn(document, ("spec", "vpcCni", "env"), VPC_CNI, configuration={"env": variables})
    elif document.is_a("Addon", "eks.services.k8s.aws"):
        yield AddOn(
            document,
            ("spec", "configurationValues"),
            text(spec.get("name")),
            text(spec.get("addonVersion")),
            values_of(spec.get("configurationValues")),
        )
    elif document.kind == "Addon" and document.group in CROSSPLANE_GROUPS:
        given = mapping(spec.get("forProvider"))
        yield AddOn(
            document,
            ("spec", "forProvider", "configurationValues"),
            text(given.get("addonName")),
            text(given.get("addonVersion")),
            values_of(given.get("configurationValues")),
        )


def _numbered(parent: Object) -> list[tuple[int, Object]]:
    items = parent.get("addons")
    return [(number, item) for number, item in enumerate(items if isinstance(items, list) else []) if mapping(item)]


def _entry(document: Document, item: Object, path: tuple[Part, ...], key: str) -> AddOn:
    """An entry of a list of add-ons, of eksctl or Cluster API."""
    configuration = values_of(item.get(key))
    return AddOn(
        document,
        (*path, key) if configuration else path,
        text(item.get("name")),
        text(item.get("version")),
        configuration,
    )


def values_of(value: Any) -> Object:
    """Values that stand there as they are, or as a text of YAML or JSON; empty when they are neither."""
    if not isinstance(value, str):
        return mapping(value)
    try:
        return mapping(yaml.load(value, yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        # Whoever reads the values will refuse them; the manifest around them is still worth a look.
        return {}


def aws_node_of(configuration: Object, version: str) -> dict[str, Any]:
    """The DaemonSet aws-node as these values of the add-on, or of its chart, would have it."""
    agent_on = text_of(configuration.get("enableNetworkPolicy")) == "true"
    main: dict[str, Any] = {"name": "aws-node", "env": _variables(configuration.get("env"))}
    if version.lstrip("v")[:1].isdecimal():
        main["image"] = f"amazon-k8s-cni:v{version.lstrip('v')}"
    agent = {"name": "aws-eks-nodeagent", "args": [f"--enable-network-policy={str(agent_on).lower()}"]}
    init = {"name": "aws-vpc-cni-init", "env": _variables(at(configuration, "init", "env"))}
    pod = {"initContainers": [init], "containers": [main, agent]}
    return {
        "metadata": {"namespace": "kube-system", "name": "aws-node"},
        "spec": {"template": {"spec": pod}},
    }


def _variables(values: Any) -> list[dict[str, str]]:
    return [{"name": str(name), "value": text_of(value)} for name, value in mapping(values).items()]


def text_of(value: Any) -> str:
    """A scalar as an environment variable would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or isinstance(value, Mapping | list) else str(value)
