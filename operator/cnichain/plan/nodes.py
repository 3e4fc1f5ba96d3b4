"""Which nodes the chain is for, what each of them should have, and how many have it. Pure."""

import json
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainnode import CiliumEntry, NodeSpec, NodeState, to_wire
from cnichain.api.chainstatus import NodesStatus
from cnichain.api.names import API_VERSION, CHAINED_LABEL, KIND_NODE, OWNER_LABEL, STARTUP_TAINT
from cnichain.render.placement import COMPUTE_TYPE_LABEL, OS_LABEL, OUT_OF_SCOPE_COMPUTE_TYPES

SHOWN_NODES = 20
NOT_SELECTED = "not selected"
NO_REPORT = "NoReport"
"""The state of a node whose agent has not reported (yet)."""
KIND_OF_COMPUTE = {"auto": "Auto Mode", "fargate": "Fargate", "hybrid": "hybrid"}
"""Kinds of EKS compute without a choice of CNI, as people call them."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What the operator keeps of a Node: short strings, those that many nodes share kept once.

    kernel, os_image, architecture: of status.nodeInfo. address: the first InternalIP. pod_cidrs: of spec.
    ready: whether its kubelet says that it is.
    """

    name: str
    uid: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]] = ()
    kernel: str = ""
    os_image: str = ""
    architecture: str = ""
    address: str = ""
    pod_cidrs: tuple[str, ...] = ()
    ready: bool = True

    @property
    def chained(self) -> bool:
        """Whether its wave is open: Cilium's pods may run on it."""
        return self.labels.get(CHAINED_LABEL) == "true"

    @property
    def closed(self) -> bool:
        """Whether it still has the startup taint, so that it takes no pods yet."""
        return any(taint.get("key") == STARTUP_TAINT for taint in self.taints)


@dataclass(frozen=True, slots=True)
class ChainNodeRecord:
    """What the operator keeps of a CNIChainNode. spec: as the API has it, one object for all nodes with the same."""

    name: str
    node_uid: str
    spec: Mapping[str, Any]
    generation: int
    observed_generation: int
    state: str
    reason: str
    message: str
    ready: bool
    effective_file: str = ""
    source_file: str = ""
    plugins: tuple[str, ...] = ()
    drop_ins: tuple[str, ...] = ()
    ready_since: str = ""

    @property
    def verified(self) -> bool:
        """The agent has seen this very spec and says that the chain is right."""
        return self.ready and self.observed_generation >= self.generation


def node_record(node: Mapping[str, Any]) -> NodeRecord:
    """The record of a Node."""
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses = [one["address"] for one in status.get("addresses") or [] if one.get("type") == "InternalIP"]
    return NodeRecord(
        name=_shared(metadata["name"]),
        uid=_shared(metadata["uid"]),
        labels={_shared(key): _shared(value) for key, value in (metadata.get("labels") or {}).items()},
        taints=list(spec.get("taints") or []),
        kernel=_shared(info.get("kernelVersion")),
        os_image=_shared(info.get("osImage")),
        architecture=_shared(info.get("architecture")),
        address=str(addresses[0]) if addresses else "",
        pod_cidrs=tuple(map(str, spec.get("podCIDRs") or ())),
        ready=any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or []),
    )


def chain_node_record(item: Mapping[str, Any]) -> ChainNodeRecord:
    """The record of a CNIChainNode."""
    metadata, status = item["metadata"], item.get("status") or {}
    owners = [owner["uid"] for owner in metadata.get("ownerReferences") or [] if owner["kind"] == "Node"]
    conditions = [one for one in status.get("conditions") or [] if one["type"] == "Ready" and one["status"] == "True"]
    return ChainNodeRecord(
        name=_shared(metadata["name"]),
        node_uid=_shared(owners[0] if owners else ""),
        spec=_shared_spec(json.dumps(item.get("spec") or {})),
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        state=_shared(status.get("state")),
        reason=_shared(status.get("reason")),
        message=_shared(status.get("message")),
        ready=bool(conditions),
        effective_file=_shared(status.get("effectiveFile")),
        source_file=_shared(status.get("sourceFile")),
        plugins=tuple(map(_shared, status.get("plugins") or ())),
        drop_ins=tuple(map(_shared, status.get("dropIns") or ())),
        ready_since=_shared(conditions[0].get("lastTransitionTime") if conditions else ""),
    )


def _shared(text: Any) -> str:
    """A text that many nodes have, kept once for all of them."""
    return sys.intern(str(text or ""))


@lru_cache(maxsize=64)
def _shared_spec(text: str) -> Mapping[str, Any]:
    """A spec that many nodes have, kept once for all of them. text: as JSON."""
    found: Mapping[str, Any] = json.loads(text)
    return found


def in_scope(node: NodeRecord, selector: Mapping[str, str]) -> bool:
    """Whether the chain is for this node: Linux, not a kind of EKS compute without CNI choice, and selected."""
    return not out_of_scope_kind(node, selector)


def out_of_scope_kind(node: NodeRecord, selector: Mapping[str, str]) -> str:
    """Why the chain is not for a node: `Fargate`, `Auto Mode`, `hybrid`, `Windows`, `not selected`; "" when it is."""
    system = node.labels.get(OS_LABEL, "linux")
    if system != "linux":
        return system.capitalize()
    compute = node.labels.get(COMPUTE_TYPE_LABEL, "")
    if compute in OUT_OF_SCOPE_COMPUTE_TYPES:
        return KIND_OF_COMPUTE[compute]
    if selector and any(node.labels.get(key) != value for key, value in selector.items()):
        return NOT_SELECTED
    return ""


def out_of_scope(nodes: Mapping[str, NodeRecord], selector: Mapping[str, str]) -> dict[str, int]:
    """How many nodes the chain is not for, by kind, sorted by it."""
    kinds = Counter(out_of_scope_kind(node, selector) for node in nodes.values())
    return {kind: kinds[kind] for kind in sorted(kinds) if kind}


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
        "spec": _on_the_wire(wanted),
    }


@lru_cache(maxsize=16)
def _on_the_wire(wanted: NodeSpec) -> Mapping[str, Any]:
    """A spec as the API has it, made once for all nodes that get it."""
    spec: Mapping[str, Any] = to_wire(wanted)
    return spec


def is_current(record: ChainNodeRecord | None, body: Mapping[str, Any]) -> bool:
    """Whether a CNIChainNode is as it should be already."""
    if record is None:
        return False
    return bool(record.node_uid == _owner_uid(body) and record.spec == body["spec"])


def is_of_earlier_node(record: ChainNodeRecord | None, body: Mapping[str, Any]) -> bool:
    """Whether a CNIChainNode belongs to a node that is gone and had the same name."""
    return record is not None and record.node_uid not in ("", _owner_uid(body))


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


def _owner_uid(body: Mapping[str, Any]) -> str:
    (owner,) = body["metadata"]["ownerReferences"]
    return str(owner["uid"])


def count(
    scope: Mapping[str, NodeRecord], left_out: Mapping[str, int], records: Mapping[str, ChainNodeRecord]
) -> NodesStatus:
    """Counts for status, and the first nodes that are not verified, by name, with what their agent says.

    left_out: nodes that are out of scope, by kind.
    """
    waiting: list[str] = []
    for name, node in sorted(scope.items()):
        record = records.get(name)
        if not node.chained and (record is None or record.node_uid != node.uid):
            waiting.append(f"{name}: runs the primary alone until its wave is open")
        elif record is None or record.node_uid != node.uid or not record.state:
            waiting.append(f"{name}: no report from its agent yet")
        elif not record.verified:
            waiting.append(f"{name}: {record.state}: {record.reason}")
    verified = len(scope) - len(waiting)
    return NodesStatus(
        in_scope=len(scope),
        verified=verified,
        out_of_scope=sum(left_out.values()),
        out_of_scope_by_kind=dict(left_out),
        summary=f"{verified}/{len(scope)}",
        not_verified=waiting[:SHOWN_NODES],
    )


def count_states(scope: Mapping[str, NodeRecord], records: Mapping[str, ChainNodeRecord]) -> dict[str, int]:
    """How many nodes in scope are in each state that agents report; every state has its number, 0 as well.

    A state that this release does not know (of a newer agent) counts as Unknown, so that there are no more of them.
    """
    counts = dict.fromkeys([NO_REPORT, *(state.value for state in NodeState)], 0)
    for name, node in scope.items():
        record = records.get(name)
        state = record.state if record is not None and record.node_uid == node.uid and record.state else NO_REPORT
        counts[state if state in counts else NodeState.UNKNOWN.value] += 1
    return counts
