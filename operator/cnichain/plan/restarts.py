"""Which unmanaged pods are evicted now. Pure.

The rules: never more pods of a workload down than its budget, and the next only when every replica is Ready again and
the replacement has a CiliumEndpoint; a DaemonSet's and the DNS's one at a time, the DNS before all others; pods of
Deployments, StatefulSets and DaemonSets alone; a workload is given up after three replacements that are unmanaged
again, and all of them once many are. A PodDisruptionBudget is the API server's to hold: every pod goes by eviction.

What must outlive a restart of the operator is `History`, one for each workload that was touched and is not done. What
is a replacement is told by creation times of the API server alone: no clock of ours is compared with them.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from cnichain.plan.coverage import Cause, Unmanaged
from cnichain.plan.pods import PodRecord, Workload

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds that make a new pod for one that was evicted, and whose API says how many there should be."""
CAUSES = (Cause.OLDER_THAN_CHAIN, Cause.UNKNOWN)
"""Where a restart helps. Not without a verified chain and a ready agent; and a pod with a security group of its own may
lose traffic by becoming managed (cilium#24943, #37475), so a person decides."""
MOST_FAILED = 3
MOST_STOPPED = 10
"""So many workloads given up say that the chain itself does not work."""
AT_ONCE = 20
"""Workloads that are looked at, and may be worked on, in one pass."""


@dataclass(frozen=True)
class Standing:
    """A workload as the API serves it. steady: no rollout of its own is under way, none waits, and it is not paused."""

    uid: str
    desired: int
    ready: int
    steady: bool


@dataclass(frozen=True)
class History:
    """What was done to a workload. since: when its newest pod was created before the first restart.

    generation: of the CNIChain then. failed: uids of replacements that were unmanaged again.
    """

    generation: int
    since: int
    restarts: int = 0
    failed: tuple[str, ...] = ()

    @property
    def stopped(self) -> bool:
        """Whether the workload is given up."""
        return len(self.failed) >= MOST_FAILED


@dataclass(frozen=True)
class Seen:
    """All that is decided on.

    pods: those that are not finished, of every workload with an unmanaged pod or a history. endpoints: uids of those
    that Cilium manages, or that the chain is not for. unmanaged: the confirmed ones. ready_nodes: their chain is
    verified and their Cilium agent is ready. evicted: uids of pods that were evicted and may not be shown so yet.
    protected: namespaces that no restart touches. blocked: workloads whose eviction was refused a moment ago.
    """

    pods: Mapping[Workload, Collection[PodRecord]]
    endpoints: Collection[str]
    unmanaged: Collection[Unmanaged]
    ready_nodes: Collection[str]
    evicted: Collection[str] = frozenset()
    protected: Collection[str] = frozenset()
    blocked: Collection[Workload] = frozenset()


@dataclass(frozen=True)
class Decision:
    """evict: now, in this order. histories: as they are then, to be kept before anything is evicted.

    waiting: workloads with unmanaged pods that wait, and what for. left: those that are only reported, and why.
    held: why nothing at all is evicted.
    """

    evict: tuple[PodRecord, ...] = ()
    histories: Mapping[Workload, History] = field(default_factory=dict)
    waiting: Mapping[Workload, str] = field(default_factory=dict)
    left: Mapping[Workload, str] = field(default_factory=dict)
    stopped: tuple[Workload, ...] = ()
    held: str = ""


def why_not_ever(one: Unmanaged, seen: Seen) -> str:
    """Why a pod is only reported, whatever comes; empty when it may be restarted."""
    pod = one.pod
    if pod.workload.kind not in KINDS:
        return f"only reported: no {', '.join(KINDS[:-1])} or {KINDS[-1]} makes it anew"
    if pod.part_of or pod.namespace in seen.protected:
        return f"only reported: it is {pod.part_of or 'of the operator'}"
    return "only reported: it has a security group of its own" if one.cause is Cause.SECURITY_GROUP_POD else ""


def why_not_now(one: Unmanaged, seen: Seen) -> str:
    """Why a pod that may be restarted has to wait for its node; empty when it has not."""
    if one.pod.node in seen.ready_nodes and one.cause in CAUSES:
        return ""
    return f"the chain or the Cilium agent on {one.pod.node} is not ready"


def worth_a_look(seen: Seen, histories: Mapping[Workload, History], looked: Mapping[Workload, float]) -> list[Workload]:
    """Workloads to ask the API about, at most `AT_ONCE`: the DNS first, then those that were looked at longest ago."""
    candidates = _candidates(seen)
    wanted = set(candidates) | {workload for workload, history in histories.items() if not history.stopped}
    order = sorted(wanted, key=lambda one: (not _is_dns(seen.pods.get(one, ())), looked.get(one, 0.0), one))
    return [one for one in order if one not in seen.blocked][:AT_ONCE]


def decide_restarts(
    seen: Seen,
    standings: Mapping[Workload, Standing | None],
    histories: Mapping[Workload, History],
    generation: int,
    max_unavailable: int,
) -> Decision:
    """Decide. standings: of the workloads that were looked at, None for one that is gone."""
    kept = {
        workload: _with_failures(history, seen, workload)
        for workload, history in histories.items()
        if history.generation == generation and not (workload in standings and standings[workload] is None)
    }
    stopped = tuple(sorted(workload for workload, history in kept.items() if history.stopped))
    if len(stopped) >= MOST_STOPPED:
        held = f"replacements of {len(stopped)} workloads stayed unmanaged, so the chain itself does not work"
        return Decision(histories=kept, stopped=stopped, held=held)
    candidates = _candidates(seen)
    for workload in [one for one, history in kept.items() if not history.stopped and one not in candidates]:
        standing = standings.get(workload)
        if standing is not None and not _is_pending(seen, workload, standing, kept[workload]):
            del kept[workload]  # done
    evict: list[PodRecord] = []
    waiting: dict[Workload, str] = {}
    dns_under_way = any(_dns_is_pending(seen, standings, one, history) for one, history in kept.items())
    for workload in sorted(candidates, key=lambda one: (not _is_dns(seen.pods.get(one, ())), one)):
        standing, history = standings.get(workload), kept.get(workload)
        if standing is None or workload in seen.blocked or (history and history.stopped):
            continue
        is_dns = _is_dns(seen.pods.get(workload, ()))
        budget = 1 if is_dns or workload.kind == "DaemonSet" else max_unavailable
        free, why = _free(seen, workload, standing, history, budget)
        if dns_under_way and not is_dns:
            free, why = 0, "the cluster's DNS goes first"
        elif free and history is None and _open(kept) >= AT_ONCE:
            free, why = 0, "other workloads go first"
        if not free:
            waiting[workload] = why
            continue
        dns_under_way |= is_dns
        chosen = candidates[workload][:free]
        evict += chosen
        before = history or History(generation, _newest(seen, workload))
        kept[workload] = replace(before, restarts=before.restarts + len(chosen))
    left = _left(seen, why_not_ever, candidates)
    waiting |= _left(seen, why_not_now, {*candidates, *left, *stopped})
    return Decision(tuple(evict), kept, waiting, left, stopped)


def _candidates(seen: Seen) -> dict[Workload, list[PodRecord]]:
    """Pods that may be evicted, by workload, the oldest first."""
    found: dict[Workload, list[PodRecord]] = defaultdict(list)
    for one in seen.unmanaged:
        is_there = one.pod.live and not one.pod.kind and one.pod.uid not in seen.evicted
        if is_there and not why_not_ever(one, seen) and not why_not_now(one, seen):
            found[one.pod.workload].append(one.pod)
    return {workload: sorted(pods, key=lambda pod: (pod.created, pod.name)) for workload, pods in found.items()}


def _left(seen: Seen, why_not: Callable[[Unmanaged, Seen], str], done: Collection[Workload]) -> dict[Workload, str]:
    """What keeps workloads, other than those in `done`, from being restarted at all."""
    found: dict[Workload, str] = {}
    for one in seen.unmanaged:
        if one.pod.workload not in done and (why := why_not(one, seen)):
            found.setdefault(one.pod.workload, why)
    return found


def _free(seen: Seen, workload: Workload, standing: Standing, history: History | None, budget: int) -> tuple[int, str]:
    """How many more pods of a workload may go down now, and what it waits for when none may."""
    if not standing.steady:
        return 0, "a rollout of its own is under way, or waits for its pods to be deleted"
    # No more at once than replacements that may still fail before the workload is given up.
    budget = min(budget, MOST_FAILED - (len(history.failed) if history else 0))
    ready, unclear = _in_service(seen, workload, standing, history)
    free = max(0, budget - max(0, standing.desired - (ready - len(unclear))))
    if free:
        return free, ""
    if unclear:
        return 0, f"its new pod {unclear[0].name} has no CiliumEndpoint yet"
    return 0, f"{ready} of {standing.desired} pods are ready"


def _in_service(
    seen: Seen, workload: Workload, standing: Standing, history: History | None
) -> tuple[int, list[PodRecord]]:
    """How many pods of a workload are ready, and those new ones among them of which Cilium has not told yet.

    Whichever of its status and its pods shows fewer counts: either may lag behind the other.
    """
    confirmed = {one.pod.uid for one in seen.unmanaged}
    there = [pod for pod in seen.pods.get(workload, ()) if pod.live and pod.uid not in seen.evicted]
    ready = [pod for pod in there if pod.ready]
    told = confirmed.union(seen.endpoints)
    return min(standing.ready, len(ready)), [pod for pod in ready if _is_new(pod, history) and pod.uid not in told]


def _is_pending(seen: Seen, workload: Workload, standing: Standing, history: History) -> bool:
    """Whether a replacement is still on its way: not made, not ready, or without a word of Cilium's."""
    ready, unclear = _in_service(seen, workload, standing, history)
    return ready < standing.desired or bool(unclear)


def _dns_is_pending(
    seen: Seen, standings: Mapping[Workload, Standing | None], workload: Workload, history: History
) -> bool:
    standing = standings.get(workload)
    if history.stopped or standing is None or not _is_dns(seen.pods.get(workload, ())):
        return False
    return _is_pending(seen, workload, standing, history)


def _open(histories: Mapping[Workload, History]) -> int:
    return sum(not history.stopped for history in histories.values())


def _with_failures(history: History, seen: Seen, workload: Workload) -> History:
    """The history with every replacement that was found to be unmanaged again."""
    failed = dict.fromkeys(history.failed)
    for one in seen.unmanaged:
        if one.pod.workload == workload and _is_new(one.pod, history) and len(failed) < MOST_FAILED:
            failed[one.pod.uid] = None
    return replace(history, failed=tuple(failed))


def _newest(seen: Seen, workload: Workload) -> int:
    return max(pod.created for pod in seen.pods.get(workload, ()))


def _is_new(pod: PodRecord, history: History | None) -> bool:
    return history is not None and pod.created > history.since


def _is_dns(pods: Iterable[PodRecord]) -> bool:
    return any(pod.dns for pod in pods)
