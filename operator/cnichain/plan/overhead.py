"""What the chain costs: CPU and memory of its parts, and how long pods take to start before and after it. Pure.

Usage comes from the metrics API (metrics.k8s.io), which metrics-server answers with each pod's labels. Times come from
kubelet's conditions in the pods themselves (plan/pods.py): events are kept for an hour only, conditions as long as the
pod. They have whole seconds, so an average over many pods says more than any single one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any, TypeVar

from cnichain.api.names import CILIUM_NAMESPACE, SYSTEM_NAMESPACE
from cnichain.api.overheadstatus import NodeOverhead, OverheadStatus, PartOverhead, PodStarts
from cnichain.plan.coverage import Cause, Key, NodeStanding, cause_of
from cnichain.plan.pods import UNKNOWN_SECONDS, EndpointRecord, PodRecord, is_managed

NAMESPACES = (CILIUM_NAMESPACE, SYSTEM_NAMESPACE)
CALICO_NAMESPACES = ("calico-system", "tigera-operator")
MEBIBYTE = 1 << 20
KEPT = 0.9
"""The share of pods that an average is made of, the fastest: the rest waited for an image, a volume or a node."""
NOTABLE = 0.3
"""A figure that differs by more than this share, and by more than its floor, is worth a write."""
Used = TypeVar("Used", PartOverhead, NodeOverhead)
CPU_FLOOR, MEMORY_FLOOR, MILLISECONDS_FLOOR = 100, 128, 500


@dataclass(frozen=True)
class Part:
    """One part of the chain. labels: which its pods have, one of them is enough. everywhere: one pod on each node."""

    name: str
    labels: Mapping[str, str]
    everywhere: bool = False
    primary: bool = False


PARTS = (
    Part("cilium-agent", {"k8s-app": "cilium"}, everywhere=True),
    Part("cilium-envoy", {"k8s-app": "cilium-envoy"}, everywhere=True),
    Part("cilium-operator", {"io.cilium/app": "operator"}),
    Part("hubble-relay", {"k8s-app": "hubble-relay"}),
    Part("hubble-ui", {"k8s-app": "hubble-ui"}),
    Part("cnichain-agent", {"app.kubernetes.io/name": "cnichain-agent"}, everywhere=True),
    Part("cnichain-operator", {"app.kubernetes.io/name": "cnichain-operator"}),
    Part("calico-node", {"k8s-app": "calico-node"}, everywhere=True),
    Part("calico-typha", {"k8s-app": "calico-typha"}),
    Part("calico-kube-controllers", {"k8s-app": "calico-kube-controllers"}),
    Part("tigera-operator", {"k8s-app": "tigera-operator", "name": "tigera-operator"}),
    Part("aws-node", {"k8s-app": "aws-node"}, everywhere=True, primary=True),
)
"""Labels as the charts and manifests set them; aws-node's are those of the EKS add-on."""
BY_NAME = {part.name: part for part in PARTS}

_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


@dataclass(frozen=True)
class PodUsage:
    """What one pod uses now. cpu: cores. memory: bytes."""

    namespace: str
    name: str
    part: str
    cpu: float
    memory: float


def quantity(text: str) -> float:
    """A quantity of the Kubernetes API as a number: `250m`, `12345678n`, `64Mi`, `1e3`. Raises ValueError."""
    number, factor = text, 1.0
    for suffix, size in (_BINARY | _DECIMAL).items():
        if text.endswith(suffix):
            number, factor = text.removesuffix(suffix), size
            break
    value = float(number) * factor
    if not isfinite(value):
        raise ValueError(f"could not convert {text!a}: it is no finite number")
    return value


def pod_usage(item: Mapping[str, Any]) -> PodUsage | None:
    """The usage in a PodMetrics; None for a pod that is no part of the chain. Raises ValueError for no quantity."""
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    part = next((one for one in PARTS if any(labels.get(key) == value for key, value in one.labels.items())), None)
    if part is None:
        return None
    used = [container.get("usage") or {} for container in item.get("containers") or ()]
    return PodUsage(
        namespace=metadata["namespace"],
        name=metadata["name"],
        part=part.name,
        cpu=sum(quantity(str(one.get("cpu", "0"))) for one in used),
        memory=sum(quantity(str(one.get("memory", "0"))) for one in used),
    )


def parts_of(pods: Sequence[PodUsage]) -> list[PartOverhead]:
    """The parts that have pods, in the order of PARTS."""
    by_part: dict[str, list[PodUsage]] = defaultdict(list)
    for pod in pods:
        by_part[pod.part].append(pod)
    return [
        PartOverhead(
            name=part.name,
            pods=len(mine),
            cpu_millicores=_millicores(sum(pod.cpu for pod in mine)),
            memory_mebibytes=_mebibytes(sum(pod.memory for pod in mine)),
            most_cpu_millicores=_millicores(max(pod.cpu for pod in mine)),
            most_memory_mebibytes=_mebibytes(max(pod.memory for pod in mine)),
        )
        for part in PARTS
        if (mine := by_part.get(part.name))
    ]


def per_node(pods: Iterable[PodUsage], node_of: Mapping[Key, str]) -> NodeOverhead | None:
    """What a node pays for the parts that run on each, without the primary; None where no node is known.

    node_of: by namespace and name of a pod.
    """
    cpu: dict[str, float] = defaultdict(float)
    memory: dict[str, float] = defaultdict(float)
    for pod in pods:
        part, node = BY_NAME[pod.part], node_of.get((pod.namespace, pod.name))
        if node and part.everywhere and not part.primary:
            cpu[node] += pod.cpu
            memory[node] += pod.memory
    if not cpu:
        return None
    return NodeOverhead(
        nodes=len(cpu),
        cpu_millicores=_millicores(fmean(cpu.values())),
        memory_mebibytes=_mebibytes(fmean(memory.values())),
        most_cpu_millicores=_millicores(max(cpu.values())),
        most_memory_mebibytes=_mebibytes(max(memory.values())),
    )


def starts(
    pods: Mapping[Key, PodRecord], endpoints: Mapping[Key, EndpointRecord], nodes: Mapping[str, NodeStanding]
) -> tuple[PodStarts | None, PodStarts | None]:
    """How long pods took to start (before, after): those that are older than the chain of their node, or that it is not
    verified for, and those that Cilium manages. None where there is no such pod."""
    before, after = [], []
    for key, pod in pods.items():
        node = nodes.get(pod.node)
        if not pod.live or pod.kind or node is None or node.out_of_scope:
            continue
        if is_managed(pod, endpoints.get(key)):
            after.append(pod)
        elif cause_of(pod, node) in {Cause.OLDER_THAN_CHAIN, Cause.CHAIN_NOT_VERIFIED}:
            before.append(pod)
    return _starts(before), _starts(after)


def overhead(
    usage: Sequence[PodUsage] | None,
    node_of: Mapping[Key, str],
    pods: tuple[PodStarts | None, PodStarts | None],
    now: str,
) -> OverheadStatus:
    """All of it. usage: None where the metrics API does not answer. now: RFC 3339."""
    before, after = pods
    if not usage:
        return OverheadStatus(since=now, pods_before=before, pods_after=after)
    added = [pod for pod in usage if not BY_NAME[pod.part].primary]
    return OverheadStatus(
        since=now,
        cpu_millicores=_millicores(sum(pod.cpu for pod in added)),
        memory_mebibytes=_mebibytes(sum(pod.memory for pod in added)),
        parts=parts_of(usage),
        per_node=per_node(usage, node_of),
        pods_before=before,
        pods_after=after,
    )


def with_memory(found: OverheadStatus, known: OverheadStatus | None) -> OverheadStatus:
    """What was found, with what only an earlier look could see: pods from before the chain are gone one day, and the
    metrics API is away at times."""
    if known is None:
        return found
    kept: dict[str, object] = {}
    if known.pods_before and (found.pods_before is None or found.pods_before.pods < known.pods_before.pods):
        kept["pods_before"] = known.pods_before
    if found.cpu_millicores is None:
        for name in ("cpu_millicores", "memory_mebibytes", "parts", "per_node"):
            kept[name] = getattr(known, name)
    return found.model_copy(update=kept)


def averaged(measured: Sequence[OverheadStatus]) -> OverheadStatus:
    """The newest of some measurements of usage, with the averages of all of them; of what is most, the most.

    Pods and their starts are those of the newest. A part that an earlier one does not have counts for those that do.
    """
    newest = measured[-1]
    return newest.model_copy(
        update={
            "cpu_millicores": round(fmean(one.cpu_millicores or 0 for one in measured)),
            "memory_mebibytes": round(fmean(one.memory_mebibytes or 0 for one in measured)),
            "parts": [
                _average(part, [same for one in measured for same in one.parts if same.name == part.name])
                for part in newest.parts
            ],
            "per_node": newest.per_node
            and _average(newest.per_node, [one.per_node for one in measured if one.per_node]),
        }
    )


def _average(newest: Used, all_of_them: Sequence[Used]) -> Used:
    return newest.model_copy(
        update={
            "cpu_millicores": round(fmean(one.cpu_millicores for one in all_of_them)),
            "memory_mebibytes": round(fmean(one.memory_mebibytes for one in all_of_them)),
            "most_cpu_millicores": max(one.most_cpu_millicores for one in all_of_them),
            "most_memory_mebibytes": max(one.most_memory_mebibytes for one in all_of_them),
        }
    )


def is_notable(known: OverheadStatus | None, found: OverheadStatus) -> bool:
    """Whether it has changed so much that status should say so."""
    if known is None:
        return found.cpu_millicores is not None or any((found.pods_before, found.pods_after))
    if [part.name for part in known.parts] != [part.name for part in found.parts]:
        return True
    pairs = [
        (known.cpu_millicores, found.cpu_millicores, CPU_FLOOR),
        (known.memory_mebibytes, found.memory_mebibytes, MEMORY_FLOOR),
    ]
    for one, other in ((known.pods_before, found.pods_before), (known.pods_after, found.pods_after)):
        pairs.append((_network(one), _network(other), MILLISECONDS_FLOOR))
        pairs.append((_started(one), _started(other), MILLISECONDS_FLOOR))
    return any(_differs(*pair) for pair in pairs)


def _network(pods: PodStarts | None) -> int | None:
    return pods.network_milliseconds if pods else None


def _started(pods: PodStarts | None) -> int | None:
    return pods.started_milliseconds if pods else None


def _differs(known: int | None, found: int | None, floor: int) -> bool:
    if known is None or found is None:
        return known is not found
    return abs(found - known) > max(floor, NOTABLE * known)


def _starts(pods: Sequence[PodRecord]) -> PodStarts | None:
    counted = [pod for pod in pods if pod.started_after != UNKNOWN_SECONDS or pod.network_after != UNKNOWN_SECONDS]
    if not counted:
        return None
    network = _figures([pod.network_after for pod in counted])
    started = _figures([pod.started_after for pod in counted])
    return PodStarts(
        pods=len(counted),
        network_milliseconds=network[0],
        network_p90_seconds=network[1],
        started_milliseconds=started[0],
        started_p90_seconds=started[1],
    )


def _figures(seconds: Iterable[int]) -> tuple[int | None, int | None]:
    """The average of the fastest nine of ten in milliseconds, and the slowest of them in seconds."""
    known = sorted(one for one in seconds if one != UNKNOWN_SECONDS)
    if not known:
        return None, None
    kept = known[: max(1, round(len(known) * KEPT))]
    return round(1000 * fmean(kept)), kept[-1]


def _millicores(cores: float) -> int:
    return round(cores * 1000)


def _mebibytes(amount: float) -> int:
    return round(amount / MEBIBYTE)
