"""Which nodes the chain is for, what each of them should have, and how many have it. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainnode import CiliumEntry, NodeSpec, to_wire
from cnichain.api.chainstatus import NodesStatus
from cnichain.api.names import API_VERSION, KIND_NODE, OWNER_LABEL, STARTUP_TAINT
from cnichain.render.placement import COMPUTE_TYPE_LABEL, OS_LABEL, OUT_OF_SCOPE_COMPUTE_TYPES

SHOWN_NODES = 20


@dataclass(frozen=True)
class NodeRecord:
    """What the operator keeps of a Node."""

    name: str
    uid: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class ChainNodeRecord:
    """What the operator keeps of a CNIChainNode."""

    name: str
    node_uid: str
    spec: Mapping[str, Any]
    generation: int
    observed_generation: int
    state: str
    reason: str
    message: str
    ready: bool

    @property
    def verified(self) -> bool:
        """The agent has seen this very spec and says that the chain is right."""
        return self.ready and self.observed_generation >= self.generation


def node_record(node: Mapping[str, Any]) -> NodeRecord:
    """The record of a Node."""
    metadata = node["metadata"]
    taints = list(node.get("spec", {}).get("taints") or [])
    return NodeRecord(metadata["name"], metadata["uid"], dict(metadata.get("labels") or {}), taints)


def chain_node_record(item: Mapping[str, Any]) -> ChainNodeRecord:
    """The record of a CNIChainNode."""
    metadata, status = item["metadata"], item.get("status") or {}
    owners = [owner["uid"] for owner in metadata.get("ownerReferences") or [] if owner["kind"] == "Node"]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or [])
    return ChainNodeRecord(
        name=metadata["name"],
        node_uid=owners[0] if owners else "",
        spec=item.get("spec") or {},
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        state=status.get("state", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        ready=ready,
    )


def in_scope(node: NodeRecord, selector: Mapping[str, str]) -> bool:
    """Whether the chain is for this node: Linux, not a kind of EKS compute without CNI choice, and selected."""
    if node.labels.get(OS_LABEL, "linux") != "linux":
        return False
    if node.labels.get(COMPUTE_TYPE_LABEL) in OUT_OF_SCOPE_COMPUTE_TYPES:
        return False
    return all(node.labels.get(key) == value for key, value in selector.items())


def node_spec(spec: CNIChainSpec, values: Mapping[str, Any]) -> NodeSpec:
    """What a node in scope should have; `values` are the chart's, since cilium-cni's entry follows two of them."""
    cni = values.get("cni") or {}
    debug = values.get("debug") or {}
    default = CiliumEntry()
    return NodeSpec(
        primary=spec.primary.plugin,
        writer=spec.conflist.writer,
        on_cilium_down=spec.conflist.on_cilium_down,
        on_shadow=spec.conflist.on_shadow,
        frozen=spec.suspend,
        cilium=CiliumEntry(
            enable_debug=bool(debug.get("enabled", default.enable_debug)),
            log_file=str(cni.get("logFile") or default.log_file),
        ),
    )


def chain_node(node: NodeRecord, wanted: NodeSpec, owner: str) -> dict[str, Any]:
    """The CNIChainNode of a node, owned by it so that it goes when the node goes."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND_NODE,
        "metadata": {
            "name": node.name,
            "labels": {OWNER_LABEL: owner},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}],
        },
        "spec": to_wire(wanted),
    }


def is_current(record: ChainNodeRecord | None, body: Mapping[str, Any]) -> bool:
    """Whether a CNIChainNode is as it should be already."""
    if record is None:
        return False
    (owner,) = body["metadata"]["ownerReferences"]
    return bool(record.node_uid == owner["uid"] and record.spec == body["spec"])


def untaint_patch(node: NodeRecord, keys: Collection[str] = (STARTUP_TAINT,)) -> list[dict[str, Any]] | None:
    """A JSON patch that takes taints with these keys off a node; None when it carries none of them.

    It first tests that the taints are as they were seen, so that no taint of anyone else is ever lost (the way of
    Istio's untaint controller).
    """
    rest = [dict(taint) for taint in node.taints if taint.get("key") not in keys]
    if len(rest) == len(node.taints):
        return None
    seen = [dict(taint) for taint in node.taints]
    return [
        {"op": "test", "path": "/spec/taints", "value": seen},
        {"op": "replace", "path": "/spec/taints", "value": rest},
    ]


def count(scope: Mapping[str, NodeRecord], total: int, records: Mapping[str, ChainNodeRecord]) -> NodesStatus:
    """Counts for status, and the first nodes that are not verified, by name, with what their agent says."""
    waiting: list[str] = []
    for name, node in sorted(scope.items()):
        record = records.get(name)
        if record is None or record.node_uid != node.uid or not record.state:
            waiting.append(f"{name}: no report from its agent yet")
        elif not record.verified:
            waiting.append(f"{name}: {record.state}: {record.reason}")
    verified = len(scope) - len(waiting)
    return NodesStatus(
        in_scope=len(scope),
        verified=verified,
        out_of_scope=total - len(scope),
        summary=f"{verified}/{len(scope)}",
        not_verified=waiting[:SHOWN_NODES],
    )
