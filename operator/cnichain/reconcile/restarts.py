"""Restarts of unmanaged pods, one look in each pass: what is decided is recorded first, then evicted, then told."""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cnichain.api.chain import UnmanagedPodsSpec
from cnichain.api.podsstatus import EXAMPLES, RestartStatus
from cnichain.api.reasons import Reason
from cnichain.apply.evict import Result, evict
from cnichain.apply.restartstore import Restarts, RestartStore
from cnichain.kube.client import KubeClient, backoff
from cnichain.kube.resources import DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS
from cnichain.plan.coverage import Key, NodeStanding, Unmanaged
from cnichain.plan.pods import EndpointRecord, PodRecord, Workload, is_managed
from cnichain.plan.restarts import (
    Decision,
    History,
    Seen,
    Standing,
    decide_restarts,
    worth_a_look,
)
from cnichain.plan.standing import standing_of
from cnichain.reconcile.describe import Pass
from cnichain.reconcile.events import Recorder
from cnichain.reconcile.metrics import POD_RESTARTS, STILL_UNMANAGED
from cnichain.reconcile.settings import Settings

logger = logging.getLogger(__name__)

RESOURCES = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, "DaemonSet": DAEMON_SETS}
REFUSED_CAP_SECONDS = 300.0


@dataclass(frozen=True)
class View:
    """What the watches show: all pods and endpoints, what counts of each node, and the confirmed unmanaged pods."""

    pods: Mapping[Key, PodRecord]
    endpoints: Mapping[Key, EndpointRecord]
    nodes: Mapping[str, NodeStanding]
    unmanaged: Sequence[Unmanaged]


@dataclass(frozen=True)
class RestartLook:
    """What a look came to. status: what `status.pods.restarts` says. is_open: something is left to wait for."""

    status: RestartStatus
    is_open: bool
    evicted: bool = False


@dataclass
class _Refusal:
    """attempts: refused so often in a row. until: monotonic. message: the API server's words."""

    attempts: int
    until: float
    message: str


class Restarter:
    """Restarts unmanaged pods within their budgets. Remembers what saves requests; what must last is in the record."""

    def __init__(self, client: KubeClient, recorder: Recorder, settings: Settings) -> None:
        self._client = client
        self._recorder = recorder
        self._namespace = settings.namespace
        self._interval = settings.coverage_seconds
        self._evicted: set[str] = set()
        self._looked: dict[Workload, float] = {}
        self._refusals: dict[Workload, _Refusal] = {}

    async def restart(self, this: Pass, spec: UnmanagedPodsSpec, view: View, *, settled: bool) -> RestartLook:
        """One look. Raises ApiError for a request that is not an eviction."""
        store = RestartStore(self._client, self._namespace, this.chain["metadata"]["name"])
        before = await store.read()
        if not settled:
            hold = this.report.hold
            why = f"the plan is held ({hold.reason.value})" if hold else "a change of the chain is under way"
            # The pass that finds it over looks again.
            return RestartLook(_status(before.total, before.workloads, {}, f"Waits: {why}."), is_open=False)
        seen = self._seen(view, before.workloads)
        standings = await self._standings(worth_a_look(seen, before.workloads, self._looked))
        decision = decide_restarts(seen, standings, before.workloads, this.report.generation, spec.max_unavailable)
        record = Restarts(before.total + len(decision.evict), decision.histories)
        if record != before:
            # Before the first eviction: an operator that is killed in between must not forget that it restarts this.
            await store.write(record)
        self._tell_failures(this, before.workloads, decision)
        refused = await self._evict_all(this, view, standings, decision)
        if refused:
            record = _without(record, before.workloads, refused)
            await store.write(record)
        waiting = {**decision.waiting, **self._refused()}
        is_open = bool(waiting) or any(not history.stopped for history in record.workloads.values())
        status = _status(record.total, record.workloads, {**decision.left, **waiting}, decision.held)
        return RestartLook(status, is_open, evicted=record.total > before.total)

    def _seen(self, view: View, histories: Mapping[Workload, History]) -> Seen:
        """What is decided on, from the newest records: the count may be half a minute old."""
        now = time.monotonic()
        fresh = [
            Unmanaged(pod, one.cause)
            for one in view.unmanaged
            if (pod := view.pods.get((one.pod.namespace, one.pod.name))) is not None
            and pod.uid == one.pod.uid
            and not is_managed(pod, view.endpoints.get((pod.namespace, pod.name)))
        ]
        wanted = {one.pod.workload for one in fresh}.union(histories)
        pods: dict[Workload, list[PodRecord]] = defaultdict(list)
        endpoints: set[str] = set()
        uids = set()
        for key, pod in view.pods.items():
            if pod.uid in self._evicted:
                uids.add(pod.uid)
            if pod.workload not in wanted:
                continue
            pods[pod.workload].append(pod)
            node = view.nodes.get(pod.node)
            if pod.kind or (node and node.out_of_scope) or is_managed(pod, view.endpoints.get(key)):
                endpoints.add(pod.uid)
        self._evicted = uids
        self._looked = {workload: at for workload, at in self._looked.items() if workload in wanted}
        return Seen(
            pods=pods,
            endpoints=endpoints,
            unmanaged=fresh,
            ready_nodes={
                name for name, node in view.nodes.items() if node.since and node.agent_ready and not node.out_of_scope
            },
            evicted=frozenset(uids),
            protected={self._namespace},
            blocked={workload for workload, one in self._refusals.items() if one.until > now},
        )

    async def _standings(self, workloads: Collection[Workload]) -> dict[Workload, Standing | None]:
        found: dict[Workload, Standing | None] = {}
        for workload in workloads:
            self._looked[workload] = time.monotonic()
            item = await self._client.get(RESOURCES[workload.kind], workload.name, workload.namespace)
            found[workload] = standing_of(workload.kind, item) if item else None
        return found

    async def _evict_all(
        self, this: Pass, view: View, standings: Mapping[Workload, Standing | None], decision: Decision
    ) -> dict[Workload, int]:
        """Evict what was decided; how many pods of each workload were refused."""
        causes = {one.pod.uid: one.cause.value for one in view.unmanaged}
        refused: dict[Workload, int] = defaultdict(int)
        for pod in decision.evict:
            workload = pod.workload
            if workload in refused:
                refused[workload] += 1
                continue
            answer = await evict(self._client, pod)
            POD_RESTARTS.labels(answer.result.value).inc()
            if answer.result is Result.REFUSED:
                refused[workload] += 1
                self._refuse(this, pod, answer.message)
                continue
            self._refusals.pop(workload, None)
            self._evicted.add(pod.uid)
            said = f"{workload}: evicted pod {pod.name} on {pod.node} ({causes[pod.uid]}), so that its replacement "
            said += "goes through the chain."
            this.events.append((Reason.POD_RESTARTED, said))
            await self._tell_owner(workload, standings[workload], said)
        return refused

    def _refuse(self, this: Pass, pod: PodRecord, message: str) -> None:
        before = self._refusals.get(pod.workload)
        attempts = before.attempts + 1 if before else 1
        pause = backoff(attempts, base=2 * self._interval, cap=REFUSED_CAP_SECONDS)
        words = " ".join(message.split())[:200]
        self._refusals[pod.workload] = _Refusal(attempts, time.monotonic() + pause, words)
        said = f"{pod.workload}: pod {pod.name} was not evicted: {words}"
        this.events.append((Reason.EVICTION_REFUSED, said))

    def _refused(self) -> dict[Workload, str]:
        now = time.monotonic()
        # What was refused and has been let alone long since is forgotten, so that the memory stays small.
        self._refusals = {
            workload: one for workload, one in self._refusals.items() if one.until + REFUSED_CAP_SECONDS > now
        }
        return {workload: f"its eviction was refused: {one.message}" for workload, one in self._refusals.items()}

    def _tell_failures(self, this: Pass, before: Mapping[Workload, History], decision: Decision) -> None:
        for workload, history in decision.histories.items():
            known = before[workload].failed if workload in before else ()
            POD_RESTARTS.labels(STILL_UNMANAGED).inc(len(set(history.failed).difference(known)))
            if history.stopped and not (workload in before and before[workload].stopped):
                said = (
                    f"{workload}: three replacements of its unmanaged pods are unmanaged again; it is left alone now."
                )
                this.events.append((Reason.RESTARTS_STOPPED, said))

    async def _tell_owner(self, workload: Workload, standing: Standing | None, said: str) -> None:
        if standing is None:
            return
        resource = RESOURCES[workload.kind]
        reference = {
            "apiVersion": resource.api_version,
            "kind": workload.kind,
            "namespace": workload.namespace,
            "name": workload.name,
            "uid": standing.uid,
        }
        await self._recorder.about(reference, Reason.POD_RESTARTED, said)


def _without(record: Restarts, before: Mapping[Workload, History], refused: Mapping[Workload, int]) -> Restarts:
    """The record without the evictions that the API server refused."""
    workloads = dict(record.workloads)
    for workload, number in refused.items():
        history = workloads[workload]
        if history.restarts == number and workload not in before:
            del workloads[workload]
        else:
            workloads[workload] = History(history.generation, history.since, history.restarts - number, history.failed)
    return Restarts(record.total - sum(refused.values()), workloads)


def _status(
    total: int, histories: Mapping[Workload, History], waiting: Mapping[Workload, str], held: str
) -> RestartStatus:
    stopped = sorted(workload for workload, history in histories.items() if history.stopped)
    return RestartStatus(
        restarted=total,
        held=held,
        waiting=[f"{workload}: {why}" for workload, why in sorted(waiting.items())][:EXAMPLES],
        stopped=[str(workload) for workload in stopped][:EXAMPLES],
    )
