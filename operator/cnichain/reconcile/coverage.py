"""Coverage: pods and their endpoints are watched, counted by a timer of its own, and told in each pass.

A pod's event wakes nobody, since a busy cluster has thousands a minute: the timer counts, and wakes the loop only when
the unmanaged pods have changed, when another look at restarts is due, or when the number of managed ones has not been
told for a while.
"""

import asyncio
import time
from dataclasses import dataclass

from cnichain.api import clock
from cnichain.api.chain import UnmanagedAction, UnmanagedPodsSpec
from cnichain.api.names import SINGLETON
from cnichain.api.podsstatus import PodsStatus, RestartStatus
from cnichain.api.reasons import Reason
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.reflector import Reflector
from cnichain.kube.resources import CILIUM_ENDPOINTS, CRDS, PODS
from cnichain.plan.coverage import Coverage, Rule, Unmanaged, count, node_states
from cnichain.plan.health import health_of
from cnichain.plan.pods import EndpointRecord, PodRecord, endpoint_record, pod_record
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.coveragewords import as_status, verdict
from cnichain.reconcile.describe import Pass
from cnichain.reconcile.events import Recorder
from cnichain.reconcile.look import Picture
from cnichain.reconcile.metrics import show_coverage
from cnichain.reconcile.report import Type
from cnichain.reconcile.restarts import Restarter, RestartLook, View
from cnichain.reconcile.settings import Settings
from cnichain.reconcile.verdict import Verdict

ENDPOINT_CRD = f"{CILIUM_ENDPOINTS.plural}.{CILIUM_ENDPOINTS.group}"
NOT_FINISHED = "status.phase!=Succeeded,status.phase!=Failed"
TOLD_AT_LEAST = 10
"""The number of managed pods is told after so many counts at the latest, if it has changed."""
MOST_COUNTS_BETWEEN_LOOKS = 8
"""While restarts wait for something and none was made, the looks at them come ever more seldom up to this."""
UNKNOWN = "Unknown"
KEYS = ("pods", "ciliumendpoints", "coverage timer")


@dataclass(frozen=True)
class _Told:
    """What the last pass has told, and when (monotonic)."""

    pods: PodsStatus
    at: float


class CoverageKeeper:
    """Counts for the one CNIChain that is acted on. Nothing runs before its first pass, or after `forget`."""

    def __init__(self, client: KubeClient, cluster: Cluster, recorder: Recorder, settings: Settings) -> None:
        self._client = client
        self._cluster = cluster
        self._interval = settings.coverage_seconds
        # A timer's turns may come a little early by the clock of the wall.
        self._rule = Rule(min_age=2 * self._interval, confirm=0.9 * self._interval)
        self._restarter = Restarter(client, recorder, settings)
        self._selector: dict[str, str] = {}
        self._running = False
        self._begin()

    def _begin(self) -> None:
        self._pods: Reflector[PodRecord] = Reflector(self._client, PODS, pod_record, fields=NOT_FINISHED)
        self._endpoints: Reflector[EndpointRecord] = Reflector(self._client, CILIUM_ENDPOINTS, endpoint_record)
        self._since: float | None = None
        self._count = Coverage()
        self._told: _Told | None = None
        self._known = False
        self._restarts_open = False
        self._idle_looks = 0
        show_coverage(None)

    async def forget(self, name: str) -> None:
        """Stop counting: this CNIChain is gone, or on its way out."""
        if self._running and name == SINGLETON:
            self._running = False
            for key in KEYS:
                await self._cluster.end(key)
            self._begin()

    def unmanaged(self) -> tuple[Unmanaged, ...]:
        """The unmanaged pods of the newest count."""
        return self._count.unmanaged

    async def observe(self, this: Pass, picture: Picture) -> None:
        """Tell of the newest count; from the first time on that Cilium's endpoints are there, pods are counted."""
        self._selector = dict(picture.spec.nodes.selector)
        if why := await self._uncountable(picture):
            this.report.coverage = why
            this.update(pods=None, unmanaged=UNKNOWN)
            return
        if not self._running:
            self._start()
        if not self._known:
            self._wait(this)
            return
        pods = as_status(self._count)
        before = this.status.pods.restarts if this.status.pods else None
        if before is not None and picture.spec.suspend:
            before = before.model_copy(update={"held": "Waits: spec.suspend is true."})
        this.report.coverage = verdict(self._count)
        this.update(pods=pods.model_copy(update={"restarts": before}), unmanaged=str(pods.unmanaged))
        _note_change(this, this.report.coverage)
        self._told = _Told(pods, time.monotonic())

    async def restart(self, this: Pass, spec: UnmanagedPodsSpec, *, settled: bool) -> None:
        """Evict what may be evicted, where spec asks for it. settled: nothing else is under way in this chain."""
        if not self._known or this.status.pods is None:
            return
        if spec.action is not UnmanagedAction.RESTART:
            this.update(pods=this.status.pods.model_copy(update={"restarts": None}))
            self._restarts_open = False
            return
        view = await self._view()
        try:
            look = await self._restarter.restart(this, spec, view, settled=settled)
        except ApiError as error:
            # A chain is no less Ready because its pods cannot be restarted at the moment.
            why = error.as_chain_error("restart unmanaged pods").message
            look = RestartLook(
                (this.status.pods.restarts or RestartStatus()).model_copy(update={"held": why}), is_open=True
            )
        self._restarts_open = look.is_open
        self._idle_looks = 0 if look.evicted else self._idle_looks + 1
        this.update(pods=this.status.pods.model_copy(update={"restarts": look.status}))

    async def view(self) -> View | None:
        """Pods, endpoints and nodes as they are now; None while they are not counted."""
        return await self._view() if self._known else None

    async def _view(self) -> View:
        states = node_states(
            await self._cluster.nodes(), await self._cluster.node_reports(), self._selector, self._pods.records.values()
        )
        return View(self._pods.records, self._endpoints.records, states, self._count.unmanaged)

    async def _uncountable(self, picture: Picture) -> Verdict | None:
        """Why pods cannot be counted at all."""
        if str(picture.rendered.values.get("disableEndpointCRD", "")).lower() == "true":
            said = "spec.cilium.values has disableEndpointCRD: Cilium publishes no CiliumEndpoints to count."
            return Verdict("Unknown", Reason.ENDPOINTS_NOT_PUBLISHED, said)
        # The CRD itself is asked for, not discovery, which is a minute old: nothing would wake the loop after that.
        if self._running or health_of(await self._client.get(CRDS, ENDPOINT_CRD), ENDPOINT_CRD).healthy:
            return None
        return Verdict(
            "Unknown", Reason.NOT_MEASURED, "CiliumEndpoints are not served yet; cilium-operator makes them."
        )

    def _start(self) -> None:
        self._running = True
        for key, work in zip(KEYS, (self._pods.run(), self._endpoints.run(), self._run()), strict=True):
            self._cluster.run(key, work)

    def _wait(self, this: Pass) -> None:
        """Nothing is known yet. What an earlier process has told stays until there is something newer."""
        if this.status.pods is not None:
            return
        lists = {"pods": self._pods.synced, "ciliumendpoints": self._endpoints.synced}
        late = [what for what, synced in lists.items() if not synced.is_set()]
        said = f"The first list of {late[0]} has not arrived." if late else "The first count is under way."
        this.report.coverage = Verdict("Unknown", Reason.NOT_MEASURED, said)
        this.update(unmanaged=UNKNOWN)

    async def _run(self) -> None:
        """The timer."""
        while True:
            await asyncio.sleep(self._interval)
            await self._look()
            if self._is_news():
                self._cluster.wake()

    async def _look(self) -> None:
        if not self._pods.synced.is_set() or not self._endpoints.synced.is_set():
            return
        nodes, reports = await self._cluster.nodes(), await self._cluster.node_reports()
        pods, endpoints = dict(self._pods.records), dict(self._endpoints.records)
        suspected, now = self._count.suspected, clock.now().timestamp()

        def counted() -> Coverage:
            states = node_states(nodes, reports, self._selector, pods.values())
            return count(pods, endpoints, states, suspected, now, self._rule)

        # On copies, in a thread: with 50,000 pods it takes a good part of a second, and the Lease wants to be renewed.
        self._count = await asyncio.to_thread(counted)
        self._since = now if self._since is None else min(self._since, now)
        self._known = self._known or now - self._since >= self._rule.confirm
        if self._known:
            show_coverage(self._count)

    def _is_news(self) -> bool:
        if not self._known:
            return False
        if self._told is None:
            return True
        now, counts = as_status(self._count), (time.monotonic() - self._told.at) / self._interval
        if _without_figures(now) != _without_figures(self._told.pods):
            self._idle_looks = 0
            return True
        if self._restarts_open and counts >= min(2**self._idle_looks, MOST_COUNTS_BETWEEN_LOOKS):
            return True
        return now != self._told.pods and counts >= TOLD_AT_LEAST


def _note_change(this: Pass, now: Verdict) -> None:
    """An event when pods are found to be unmanaged, and when all are managed again."""
    before = next((item for item in this.status.conditions if item.type == Type.PODS_MANAGED), None)
    if before is None or before.status != now.status:
        this.events.append((now.reason, now.message))


def _without_figures(pods: PodsStatus) -> PodsStatus:
    """What is worth a pass at once: not how many pods come and go that are as they should be."""
    return pods.model_copy(update={"managed": 0, "out_of_scope": 0, "out_of_scope_by_kind": {}})
