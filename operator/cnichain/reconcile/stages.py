"""The stages of one pass: apply what differs, look at the gate, stop at the first that has to wait."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from cnichain.api.reasons import Reason
from cnichain.apply.engine import Change, Engine, Live
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CRDS, Discovery
from cnichain.plan.health import health_of
from cnichain.reconcile.calico import not_served, remove_installation
from cnichain.reconcile.care import Care, Event
from cnichain.reconcile.look import Picture
from cnichain.reconcile.nodesync import open_nodes, sync_leaving, sync_scope
from cnichain.reconcile.planning import Planning, held_node_spec
from cnichain.reconcile.report import Report, StageReport, Type
from cnichain.render.manifests import Manifest
from cnichain.render.stages import CALICO_STAGES, Stage, cilium_crds


@dataclass
class StageRun:
    """The stages of one pass over one CNIChain.

    say: writes the report to status before a stage is applied, so that whoever watches sees it. events: what happened,
    for the caller to post. rediscover: asks the API server anew for what it serves. care, planning: what comes before
    the stages. take_over: hands over what another installation has, once no plan is held.
    """

    client: KubeClient
    engine: Engine
    picture: Picture
    live: Live
    report: Report
    owner: str
    say: Callable[[], Awaitable[None]]
    events: list[Event]
    rediscover: Callable[[], Awaitable[Discovery]]
    care: Care
    planning: Planning
    take_over: Callable[[], Awaitable[None]]

    async def run(self) -> bool:
        """True when every stage is applied and healthy. Raises ChainError where the API server refuses an object."""
        manifests, discovery = self.picture.all_manifests, self.picture.discovery
        self.events += await self.care.put_back(self.engine, manifests, self.live, discovery, self.report)
        try:
            self.report.hold = await self.planning.prepare(self.engine, self.picture, self.live)
            if self.report.hold:
                return await self._keep_as_it_is()
            await self.take_over()
            return await self._apply_all()
        finally:
            self.events += self.care.mutated(self.live, self.report)

    async def _apply_all(self) -> bool:
        for stage in Stage:
            if stage in CALICO_STAGES and self.picture.calico is None:
                continue
            self.report.current = stage
            self.report.error_in = _part_of(stage)
            waiting_for = await self._stage(stage)
            self.report.stages[stage] = StageReport(waiting_for)
            if waiting_for:
                return False
        if await self._remove_calico():
            return False
        self.report.current = None
        await self.engine.prune([item.key for item in self.picture.all_manifests], self.live, self.picture.discovery)
        return True

    async def _keep_as_it_is(self) -> bool:
        """While a plan is held: nodes keep what they have, and the stages are looked at as they stand."""
        wanted = held_node_spec(self.picture)
        if wanted is not None:
            await sync_scope(self.client, self.picture.nodes, self.picture.spec, wanted, self.owner)
        await open_nodes(self.client, self.picture.nodes, self.picture.spec)
        for stage in Stage:
            there = [item for item in self.picture.manifests[stage] if item.key in self.live.inventory]
            if there:
                self.report.stages[stage] = StageReport(self._unhealthy(there))
        return False

    async def _stage(self, stage: Stage) -> str:
        """Apply one stage and look at its gate: what it waits for, empty when it is healthy."""
        manifests = self.picture.manifests[stage]
        # What others changed has been put back already, or is left alone for a while.
        changes = [change for change in self.engine.changes(manifests, self.live) if not change.tampered]
        if stage is Stage.AGENTS:
            waiting_for = await self._nodes(changes)
            if waiting_for:
                return waiting_for
        if changes:
            self.report.stages[stage] = StageReport(f"{len(changes)} objects are being applied")
            await self.say()
            await self.engine.apply(stage.value, changes, self.live, self.picture.discovery)
            self.events.append((Reason.STAGE_APPLIED, f"Stage {stage.value}: {len(changes)} objects applied."))
        return await self._gate(stage, manifests)

    async def _gate(self, stage: Stage, manifests: Sequence[Manifest]) -> str:
        """What the gate of an applied stage waits for, in words."""
        if stage is Stage.CALICO_CRDS:
            return await self._not_served(manifests)
        waiting_for = self._unhealthy(manifests)
        if waiting_for:
            return waiting_for
        if stage is Stage.OPERATOR:
            return await self._missing_crd()
        return self.picture.calico_health.message if stage is Stage.CALICO else ""

    async def _nodes(self, changes: Sequence[Change]) -> str:
        """Tell the nodes what they should have; what the agents' DaemonSets have to wait for."""
        picture = self.picture
        wanted = picture.wanted_node
        waiting_for = await sync_leaving(self.client, picture.nodes, picture.spec, wanted, self.owner)
        if waiting_for and changes:
            return waiting_for
        await sync_scope(self.client, picture.nodes, picture.spec, wanted, self.owner)
        await open_nodes(self.client, picture.nodes, picture.spec)
        return ""

    async def _not_served(self, crds: Sequence[Manifest]) -> str:
        """The first kind of Calico's CRDs that is not served yet; the stages after this one see the new discovery."""
        if not not_served(crds, self.picture.discovery):
            return ""
        self.picture = replace(self.picture, discovery=await self.rediscover())
        missing = not_served(crds, self.picture.discovery)
        self.report.soon = bool(missing)
        return f"{missing[0]} is not served yet, though its CRD is applied" if missing else ""

    async def _remove_calico(self) -> bool:
        """Take one step of removing Calico where spec does not ask for it any more; whether it waits for something."""
        if self.picture.calico is not None:
            return False
        self.report.error_in = Type.CALICO_READY
        removal = await remove_installation(self.client, self.live, self.picture.discovery, self.owner)
        if removal.begun:
            self.events.append((Reason.CALICO_REMOVING, f"{removal.waiting_for}."))
        if removal.waiting_for:
            self.report.current = Stage.CALICO
            self.report.stages[Stage.CALICO] = StageReport(removal.waiting_for, Reason.CALICO_REMOVING)
        elif removal.done:
            self.events.append((Reason.CALICO_REMOVED, "Calico has left the nodes; tigera-operator goes now."))
        return bool(removal.waiting_for)

    def _unhealthy(self, manifests: Sequence[Manifest]) -> str:
        """The first object of a stage that is not healthy, in words."""
        healths = (health_of(self.live.objects.get(item.key), str(item.key)) for item in manifests)
        return next((health.message for health in healths if not health.healthy), "")

    async def _missing_crd(self) -> str:
        """The first CRD of cilium-operator's that is not established yet, in words."""
        for name in cilium_crds(self.picture.release):
            health = health_of(await self.client.get(CRDS, name), f"CustomResourceDefinition {name}")
            if not health.healthy:
                return f"{health.message} (cilium-operator makes it)"
        return ""


def _part_of(stage: Stage) -> Type:
    """The condition that an error in a stage belongs to."""
    if stage in CALICO_STAGES:
        return Type.CALICO_READY
    return Type.HUBBLE_READY if stage is Stage.HUBBLE else Type.CILIUM_READY
