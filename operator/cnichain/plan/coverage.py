"""Which pods Cilium manages, which it does not, and why. Pure.

A pod that missed the chain runs normally, only without policy: nothing crashes, so it has to be found by comparison.
A pod in scope is managed when there is a CiliumEndpoint of its own uid (`pods.is_managed`). The endpoint comes a few
seconds after the pod, and a watch may lag, so a pod counts as unmanaged when it is older than `Rule.min_age`, and was
found so at two looks that lie `Rule.confirm` apart.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cnichain.api.chainnode import Desired, NodeState
from cnichain.api.times import parse_rfc3339
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, out_of_scope_kind
from cnichain.plan.pods import EndpointRecord, PodRecord, is_managed

Key = tuple[str, str]


class Cause(StrEnum):
    """Why Cilium does not manage a pod, as far as it can be told; the first that holds."""

    SECURITY_GROUP_POD = "SecurityGroupPod"
    CHAIN_NOT_VERIFIED = "ChainNotVerified"
    OLDER_THAN_CHAIN = "OlderThanChain"
    AGENT_DOWN = "AgentDown"
    UNKNOWN = "Unknown"


MEANING = {
    Cause.SECURITY_GROUP_POD: "has a security group of its own (branch interface)",
    Cause.CHAIN_NOT_VERIFIED: "the chain on its node is not verified",
    Cause.OLDER_THAN_CHAIN: "started before the chain was verified on its node",
    Cause.AGENT_DOWN: "the Cilium agent on its node is not ready",
    Cause.UNKNOWN: "started after the chain was verified on its node",
}


@dataclass(frozen=True, slots=True)
class NodeStanding:
    """What counts of a node. out_of_scope: its kind, "" in scope. since: when its chain was verified, 0 if not."""

    out_of_scope: str
    since: int
    agent_ready: bool


@dataclass(frozen=True)
class Rule:
    """When a pod counts as unmanaged; seconds."""

    min_age: float = 60.0
    confirm: float = 30.0


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """A pod that Cilium does not manage."""

    pod: PodRecord
    cause: Cause


@dataclass(frozen=True)
class Coverage:
    """One count of all pods. suspected: when each pod without an endpoint was first found so, for the next count.

    managed: how many. unmanaged: confirmed ones, sorted by name.
    """

    managed: int = 0
    unmanaged: tuple[Unmanaged, ...] = ()
    out_of_scope: Mapping[str, int] = field(default_factory=dict)
    suspected: Mapping[str, float] = field(default_factory=dict)

    @property
    def by_cause(self) -> dict[str, int]:
        """How many unmanaged pods for each cause."""
        return _largest(Counter(one.cause.value for one in self.unmanaged), len(Cause))

    def by_node(self, most: int) -> dict[str, int]:
        """The nodes with the most unmanaged pods."""
        return _largest(Counter(one.pod.node for one in self.unmanaged), most)

    def by_namespace(self, most: int) -> dict[str, int]:
        """The namespaces with the most unmanaged pods."""
        return _largest(Counter(one.pod.namespace for one in self.unmanaged), most)


def node_states(
    nodes: Mapping[str, NodeRecord],
    reports: Mapping[str, ChainNodeRecord],
    selector: Mapping[str, str],
    pods: Iterable[PodRecord],
) -> dict[str, NodeStanding]:
    """What counts of each node, by name. pods: all of them; Cilium's agents are among them."""
    ready = {pod.node for pod in pods if pod.agent and pod.ready and not pod.leaving}
    return {
        name: NodeStanding(
            out_of_scope=out_of_scope_kind(node, selector),
            since=_verified_since(reports.get(name), node.uid),
            agent_ready=name in ready,
        )
        for name, node in nodes.items()
    }


def count(
    pods: Mapping[Key, PodRecord],
    endpoints: Mapping[Key, EndpointRecord],
    nodes: Mapping[str, NodeStanding],
    suspected: Mapping[str, float],
    now: float,
    rule: Rule,
) -> Coverage:
    """Count the pods. suspected: of the count before. now: seconds since 1970."""
    managed = 0
    unmanaged, seen, left_out = [], {}, Counter[str]()
    for key, pod in pods.items():
        if not pod.live:
            continue
        node = nodes.get(pod.node)
        kind = pod.kind or (node.out_of_scope if node else "")
        if kind:
            left_out[kind] += 1
        elif is_managed(pod, endpoints.get(key)):
            managed += 1
        elif node is not None and now - pod.started >= rule.min_age:
            first = seen[pod.uid] = min(suspected.get(pod.uid, now), now)
            if now - first >= rule.confirm:
                unmanaged.append(Unmanaged(pod, cause_of(pod, node)))
    unmanaged.sort(key=lambda one: (one.pod.namespace, one.pod.name))
    return Coverage(managed, tuple(unmanaged), dict(sorted(left_out.items())), seen)


def cause_of(pod: PodRecord, node: NodeStanding) -> Cause:
    """Why a pod in scope has no endpoint of its own."""
    if pod.security_group:
        return Cause.SECURITY_GROUP_POD
    if not node.since:
        return Cause.CHAIN_NOT_VERIFIED
    if pod.started < node.since:
        return Cause.OLDER_THAN_CHAIN
    return Cause.UNKNOWN if node.agent_ready else Cause.AGENT_DOWN


def _verified_since(report: ChainNodeRecord | None, node_uid: str) -> int:
    """When the chain was verified that stands on a node now; 0 when none does."""
    if report is None or report.node_uid != node_uid or not report.verified:
        return 0
    is_unchained = report.state == NodeState.UNCHAINED or report.spec.get("desired") == Desired.UNCHAINED.value
    moment = parse_rfc3339(report.ready_since)
    return 0 if is_unchained or moment is None else int(moment.timestamp())


def _largest(counts: Mapping[str, int], most: int) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])
