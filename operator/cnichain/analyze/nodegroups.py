"""Nodes as manifests declare them: groups of nodes, their taints and their operating system. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cnichain.analyze.addons import CROSSPLANE_GROUPS
from cnichain.analyze.documents import Document, Object, Part, mapping, mappings, sequence, text
from cnichain.api.names import STARTUP_TAINT

KARPENTER_CLASSES = (("EC2NodeClass", "karpenter.k8s.aws"), ("AWSNodeTemplate", "karpenter.k8s.aws"))

AMI_TYPED = (("AWSManagedMachinePool", "infrastructure.cluster.x-k8s.io"), ("Nodegroup", "eks.services.k8s.aws"))


@dataclass(frozen=True)
class NodeGroup:
    """A group of nodes. taints: None where they are set elsewhere (Karpenter's NodePool)."""

    document: Document
    path: tuple[Part, ...]
    name: str
    taints: tuple[str, ...] | None
    bottlerocket: bool
    os_path: tuple[Part, ...]

    @property
    def starts_open(self) -> bool:
        """Whether its nodes take pods before their chain is verified."""
        return self.taints is not None and STARTUP_TAINT not in self.taints


def node_groups(documents: Iterable[Document]) -> Iterator[NodeGroup]:
    """The groups of nodes in all documents."""
    for document in documents:
        spec = document.spec
        if document.is_a("ClusterConfig", "eksctl.io"):
            for key in ("managedNodeGroups", "nodeGroups"):
                for number, item in enumerate(sequence(document.body.get(key))):
                    yield _group(document, (key, number), mapping(item), "amiFamily")
        elif (document.kind, document.group) in AMI_TYPED:
            yield _group(document, ("spec",), spec, "amiType")
        elif document.kind == "NodeGroup" and document.group in CROSSPLANE_GROUPS:
            yield _group(document, ("spec", "forProvider"), mapping(spec.get("forProvider")), "amiType", "taint")
        elif (document.kind, document.group) in KARPENTER_CLASSES:
            aliases = [text(item.get("alias")) for item in mappings(spec.get("amiSelectorTerms"))]
            family = text(spec.get("amiFamily")) or next((one for one in aliases if one), "")
            place = "amiFamily" if "amiFamily" in spec else "amiSelectorTerms"
            yield NodeGroup(document, ("spec",), document.name, None, _is_bottlerocket(family), ("spec", place))


def _group(
    document: Document, path: tuple[Part, ...], item: Object, os_key: str, taint_key: str = "taints"
) -> NodeGroup:
    given = item.get(taint_key)
    # eksctl also takes a mapping from key to `value:effect`.
    keys = tuple(map(str, mapping(given))) or tuple(text(one.get("key")) for one in mappings(given))
    return NodeGroup(
        document,
        path,
        text(item.get("name")) or document.name,
        keys,
        _is_bottlerocket(text(item.get(os_key))),
        (*path, os_key),
    )


def _is_bottlerocket(family: str) -> bool:
    """`Bottlerocket` (eksctl, Karpenter), `BOTTLEROCKET_x86_64` (EKS), `bottlerocket@latest` (an alias)."""
    return family.lower().startswith("bottlerocket")
