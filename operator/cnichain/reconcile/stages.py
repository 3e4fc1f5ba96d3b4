"""The stages of one pass: apply what differs, look at the gate, stop at the first that has to wait."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from cnichain.api.reasons import Reason
from cnichain.api.times import utc_now
from cnichain.apply.engine import Change, Engine, Live
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CRDS, Discovery
from cnichain.plan.health import health_of
from cnichain.reconcile.calico import not_served, remove_installation
from cnichain.reconcile.conditions import Report, StageReport, Type
from cnichain.reconcile.look import Picture
from cnichain.reconcile.nodesync import open_nodes, sync_leaving, sync_scope
from cnichain.render.manifests import Manifest
from cnichain.render.stages import CALICO_STAGES, Stage, cilium_crds

Event = tuple[Reason, str]


@dataclass
class StageRun:
    """The stages of one pass over one CNIChain.

    say: writes the report to status before a stage is applied, so that whoever watches sees it. events: what happened,
    for the caller to post. rediscover: asks the API server anew for what it serves.
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

    async def run(self) -> bool:
        """True when every stage is applied and healthy. Raises ChainError where the API server refuses an object."""
        await self.engine.refuse_foreign(self.picture.all_manifests, self.live, self.picture.discovery)
        await self._put_back()
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

    async def _put_back(self) -> None:
        """Correct what others changed, in all stages at once: a drift does not wait for the stages before it."""
        tampered = [change for change in self.engine.changes(self.picture.all_manifests, self.live) if change.tampered]
        for stage in Stage:
            mine = [item for item in tampered if self.live.inventory[item.manifest.key].stage == stage.value]
            if mine:
                await self.engine.apply(stage.value, mine, self.live, self.picture.discovery)
        if tampered:
            self.report.drift = _drift_message(tampered)
            self.events.append((Reason.DRIFT_CORRECTED, self.report.drift))

    async def _stage(self, stage: Stage) -> str:
        """Apply one stage and look at its gate: what it waits for, empty when it is healthy."""
        manifests = self.picture.manifests[stage]
        changes = self.engine.changes(manifests, self.live)
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


def _drift_message(changes: Sequence[Change]) -> str:
    shown = "; ".join(change.why for change in changes[:3])
    more = f"; and {len(changes) - 3} more" if len(changes) > 3 else ""
    return f"Put back at {utc_now()}: {shown}{more}."


def _part_of(stage: Stage) -> Type:
    """The condition that an error in a stage belongs to."""
    if stage in CALICO_STAGES:
        return Type.CALICO_READY
    return Type.HUBBLE_READY if stage is Stage.HUBBLE else Type.CILIUM_READY
