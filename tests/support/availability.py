"""Which nodes were unavailable at each moment of a recorded history (fleetwatch.py), and what they ran. Pure.

A node counts as unavailable while it is in the chain and cannot give a pod its network, or while it is on its way into
it: the chain is open for it (label cnichain.io/chained=true), or an agent was Ready there once, and now

- its cilium pod is missing, is being deleted or is not Ready, or its cilium-envoy pod where one was Ready before; or
- its CNIChainNode is missing, or does not say Ready of the spec that it has (open nodes, and those that have one).

So a node whose wave was just opened counts until it is verified, though its pods still run as before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fleetwatch import Change, History

Object = dict[str, Any]

CHAINED = "cnichain.io/chained"
AGENT, ENVOY = "cilium", "cilium-envoy"


@dataclass(frozen=True)
class Moment:
    """After a change. version: its resourceVersion. unavailable: node to why."""

    version: int
    unavailable: dict[str, str]

    @property
    def count(self) -> int:
        return len(self.unavailable)

    def __str__(self) -> str:
        lines = [f"  {node}: {why}" for node, why in sorted(self.unavailable.items())]
        return "\n".join([f"{self.count} unavailable at resourceVersion {self.version}", *lines])


@dataclass
class _Now:
    """The cluster at one moment. pods: by node and name. was_ready: app to nodes that have had a Ready pod of it."""

    nodes: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, dict[str, Object]] = field(default_factory=dict)
    chain_nodes: dict[str, Object] = field(default_factory=dict)
    has_envoy: bool = False
    was_ready: dict[str, set[str]] = field(default_factory=lambda: {AGENT: set(), ENVOY: set()})
    unavailable: dict[str, str] = field(default_factory=dict)

    def take(self, kind: str, verb: str, item: Object) -> None:
        """What a change does, and which nodes it may have made available or not."""
        name, is_there = str(item["metadata"]["name"]), verb != "DELETED"
        if kind == "DaemonSet":
            if name == ENVOY and is_there != self.has_envoy:
                self.has_envoy = is_there
                self._judge(*self.nodes)
        elif kind == "Pod":
            name = self._take_pod(item, is_there)
            self._judge(name)
        elif kind in {"Node", "CNIChainNode"}:
            _keep(self.nodes if kind == "Node" else self.chain_nodes, item, is_there)
            if kind == "Node" and not is_there:  # another node may come under its name
                for nodes in self.was_ready.values():
                    nodes.discard(name)
            self._judge(name)

    def _take_pod(self, pod: Object, is_there: bool) -> str:
        node = node_of(pod)
        _keep(self.pods.setdefault(node, {}), pod, is_there)
        if is_there and is_ready(pod):
            self.was_ready[app_of(pod)].add(node)
        return node

    def _judge(self, *names: str) -> None:
        for name in names:
            self.unavailable.pop(name, None)
            if name in self.nodes and (why := self._why(name)):
                self.unavailable[name] = why

    def _why(self, name: str) -> str:
        is_open = (self.nodes[name]["metadata"].get("labels") or {}).get(CHAINED) == "true"
        if not is_open and name not in self.was_ready[AGENT]:
            return ""
        reasons = [self._of_pods(AGENT, name)]
        if name in self.was_ready[ENVOY] and self.has_envoy:
            reasons.append(self._of_pods(ENVOY, name))
        if is_open or name in self.chain_nodes:
            reasons.append(_of_chain(self.chain_nodes.get(name)))
        return "; ".join(reason for reason in reasons if reason)

    def _of_pods(self, app: str, node: str) -> str:
        pods = [pod for pod in self.pods.get(node, {}).values() if app_of(pod) == app]
        if any(is_ready(pod) for pod in pods):
            return ""
        if not pods:
            return f"no {app} pod"
        return f"its {app} pod " + ("is being deleted" if all(is_going(pod) for pod in pods) else "is not Ready")


def _keep(kept: dict[str, Object], item: Object, is_there: bool) -> None:
    kept.pop(item["metadata"]["name"], None)
    if is_there:
        kept[item["metadata"]["name"]] = item


def _of_chain(chain_node: Object | None) -> str:
    if chain_node is None:
        return "no CNIChainNode"
    status = chain_node.get("status") or {}
    if status.get("observedGeneration") != chain_node["metadata"]["generation"]:
        return "its CNIChainNode has a new spec"
    return "" if condition(status, "Ready") == "True" else f"its CNIChainNode is {status.get('state')}"


def moments(history: History) -> Iterator[Moment]:
    """The beginning, and the moment after each change."""
    now = _Now()
    for kind, items in history.before.items():
        for item in items:
            now.take(kind, "ADDED", item)
    yield Moment(history.version, dict(now.unavailable))
    for change in history.changes:
        now.take(change.kind, change.verb, change.item)
        yield Moment(change.version, dict(now.unavailable))


def worst(history: History) -> Moment:
    """The first of the moments with the most unavailable nodes."""
    return max(moments(history), key=lambda moment: moment.count)


def nodes_with_image(history: History, image: str) -> set[str]:
    """Nodes that had a pod with this image, in whatever state, at any moment."""
    pods = [*history.before.get("Pod", []), *(change.item for change in history.changes if change.kind == "Pod")]
    return {node_of(pod) for pod in pods if image in images_of(pod)} - {""}


def opened(history: History) -> list[str]:
    """Nodes in the order in which the chain was opened for them; those that were open before come first."""
    found: list[str] = []
    nodes = [Change(history.version, "Node", "ADDED", item) for item in history.before.get("Node", [])]
    for change in [*nodes, *history.changes]:
        if change.kind == "Node" and (change.item["metadata"].get("labels") or {}).get(CHAINED) == "true":
            name = str(change.item["metadata"]["name"])
            found += [] if name in found else [name]
    return found


def restarted(history: History) -> set[str]:
    """Nodes on which a cilium pod was deleted."""
    gone = [change.item for change in history.changes if (change.kind, change.verb) == ("Pod", "DELETED")]
    return {node_of(pod) for pod in gone if app_of(pod) == AGENT}


def told(history: History) -> set[str]:
    """Nodes whose CNIChainNode got another spec, or its first one."""
    known = {item["metadata"]["name"]: item.get("spec") for item in history.before.get("CNIChainNode", [])}
    found: set[str] = set()
    for change in history.changes:
        if change.kind != "CNIChainNode":
            continue
        name, spec = change.item["metadata"]["name"], change.item.get("spec")
        if known.get(name) != spec:
            found.add(name)
        known[name] = spec
    return found


def ready_words(history: History) -> list[tuple[int, str, str, str]]:
    """What the CNIChain's Ready said of its newest spec, without repetitions: version, status, reason and message."""
    found: list[tuple[int, str, str, str]] = []
    for change in history.changes:
        if change.kind != "CNIChain" or change.verb == "DELETED":
            continue
        item, status = change.item, change.item.get("status") or {}
        for one in status.get("conditions") or []:
            if one["type"] != "Ready" or one.get("observedGeneration") != item["metadata"]["generation"]:
                continue
            words = (one["status"], one["reason"], one["message"])
            if not found or found[-1][1:] != words:
                found.append((change.version, *words))
    return found


def app_of(pod: Object) -> str:
    """The label that tells agent and envoy apart."""
    return str(pod["metadata"]["labels"]["k8s-app"])


def node_of(pod: Object) -> str:
    """The node that the pod is on; of one that is not bound the node that a DaemonSet means it for."""
    if name := pod["spec"].get("nodeName"):
        return str(name)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or []:
        for match in term.get("matchFields") or []:
            if match["key"] == "metadata.name":
                return str(match["values"][0])
    return ""


def images_of(pod: Object) -> set[str]:
    """Of its containers and init containers."""
    return {item["image"] for key in ("initContainers", "containers") for item in pod["spec"].get(key) or []}


def is_going(pod: Object) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Object) -> bool:
    """Whether it is Ready and stays."""
    return not is_going(pod) and condition(pod.get("status") or {}, "Ready") == "True"


def condition(status: Object, kind: str) -> str:
    """The status of a condition; empty without it."""
    return next((str(item["status"]) for item in status.get("conditions") or [] if item["type"] == kind), "")
