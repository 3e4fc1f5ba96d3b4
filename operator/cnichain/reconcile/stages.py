"""The stages of one pass: apply what differs, look at the gate, stop at the first that has to wait."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from cnichain.api.reasons import Reason
from cnichain.apply.engine import Engine, Live
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.remembered import Remembered
from cnichain.kube.resources import Discovery
from cnichain.plan.health import daemon_set_rolled_out, health_of
from cnichain.reconcile.calico import not_served, remove_installation
from cnichain.reconcile.care import Care, Event
from cnichain.reconcile.cluster import ALL_CRDS
from cnichain.reconcile.look import Picture
from cnichain.reconcile.nodesync import open_nodes, sync_leaving
from cnichain.reconcile.planning import Planning, held_node_spec
from cnichain.reconcile.report import Hold, Report, StageReport, Type
from cnichain.reconcile.rolling import Rolling
from cnichain.reconcile.rollout import target_of
from cnichain.render.manifests import Manifest, with_owner
from cnichain.render.placement import agent_daemon_sets
from cnichain.render.prepull import KEY as PREPULL
from cnichain.render.prepull import agent_image, images_of, prepull
from cnichain.render.stages import CALICO_STAGES, Stage, cilium_crds, stage_order


@dataclass
class StageRun:
    """The stages of one pass over one CNIChain.

    say: writes the report to status before a stage is applied, so that whoever watches sees it. events: what happened,
    for the caller to post. rediscover: asks the API server anew for what it serves. care, planning: what comes before
    the stages. take_over: hands over what another installation has, once no plan is held. rolling: brings the nodes to
    what the stage `agents` wants, wave by wave. backwards: to an older Cilium, whose agents come before its operator.
    """

    client: KubeClient
    reads: Remembered
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
    rolling: Rolling
    backwards: bool = False

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
        self.report.current = Stage.CONFIG
        if waiting_for := await self._pull_images():
            self.report.stages[Stage.CONFIG] = StageReport(waiting_for, Reason.PULLING_IMAGES)
            return False
        for stage in stage_order(backwards=self.backwards):
            if stage in CALICO_STAGES and self.picture.calico is None:
                continue
            self.report.current = stage
            self.report.error_in = _part_of(stage)
            self.report.stages[stage] = await self._stage(stage)
            if self.report.stages[stage].waiting_for:
                return False
        if await self._remove_calico():
            return False
        self.report.current = None
        await self.engine.prune([item.key for item in self.picture.all_manifests], self.live, self.picture.discovery)
        return True

    async def _pull_images(self) -> str:
        """Have the nodes of the chain pull images that their agents do not run yet; what is waited for, in words.

        An agent that is made anew anyway (a first installation, the way back) needs none of it.
        """
        wanted = agent_daemon_sets(self.picture.manifests[Stage.AGENTS])
        running = [live for item in wanted if (live := self.live.objects.get(item.key)) is not None]
        missing = set(images_of([item.body for item in wanted])) - set(images_of(running))
        if not running or not missing or self.picture.back:
            return ""
        changes = self.engine.changes([with_owner(prepull(wanted), self.owner)], self.live)
        if changes:
            await self.engine.apply(Stage.AGENTS.value, changes, self.live, self.picture.discovery)
        return daemon_set_rolled_out(self.live.objects.get(PREPULL), away=self.rolling.away)

    async def _keep_as_it_is(self) -> bool:
        """While a plan is held: nodes keep what they have, and the stages are looked at as they stand."""
        wanted = held_node_spec(self.picture)
        if wanted is not None:
            await self.rolling.keep(wanted)
        await open_nodes(self.client, self.picture.nodes, self.picture.spec)
        for stage in Stage:
            there = [item for item in self.picture.manifests[stage] if item.key in self.live.inventory]
            if there:
                self.report.stages[stage] = StageReport(self._unhealthy(there))
        return False

    async def _stage(self, stage: Stage) -> StageReport:
        """Apply one stage and look at its gate: what it waits for, nothing when it is healthy."""
        manifests = self.picture.manifests[stage]
        # What others changed has been put back already, or is left alone for a while.
        changes = [change for change in self.engine.changes(manifests, self.live) if not change.tampered]
        if stage is Stage.AGENTS:
            await open_nodes(self.client, self.picture.nodes, self.picture.spec)
            await self.rolling.fleet.claim()
        if changes:
            self.report.stages[stage] = StageReport(f"{len(changes)} objects are being applied")
            await self.say()
            await self.engine.apply(stage.value, changes, self.live, self.picture.discovery)
            self.events.append((Reason.STAGE_APPLIED, f"Stage {stage.value}: {len(changes)} objects applied."))
        if stage is Stage.AGENTS:
            return await self._agents(manifests)
        return StageReport(await self._gate(stage, manifests))

    async def _agents(self, manifests: Sequence[Manifest]) -> StageReport:
        """Bring the nodes to what they should have, those that leave first."""
        picture = self.picture
        leaving = picture.nodes.leaving(picture.spec)
        left = await sync_leaving(self.client, picture.nodes, picture.spec, picture.wanted_node, self.owner)
        await self.rolling.fleet.release(leaving.values())
        rollout = await self.rolling.step(
            target_of(manifests, picture.wanted_node, back=picture.back), agent_image(manifests)
        )
        if rollout.reason is Reason.PAUSED:
            self.report.hold = Hold(Reason.PAUSED, f"The rollout is {rollout.waiting_for}")
        if rollout.waiting_for:
            return rollout
        waiting_for = self._unhealthy(manifests) or left
        if not waiting_for:
            await self.rolling.good()
        return StageReport(waiting_for)

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
        names = cilium_crds(self.picture.release)
        crds = await asyncio.gather(*(self.reads.one(ALL_CRDS, name, _standing) for name in names))
        healths = (health_of(crd, f"CustomResourceDefinition {name}") for name, crd in zip(names, crds, strict=True))
        return next((f"{one.message} (cilium-operator makes it)" for one in healths if not one.healthy), "")


def _standing(crd: Object) -> Object:
    """What tells how a CRD stands, without its schemas: those of Cilium's policies are some MB."""
    return {key: crd[key] for key in ("kind", "metadata", "status") if key in crd}


def _part_of(stage: Stage) -> Type:
    """The condition that an error in a stage belongs to."""
    if stage in CALICO_STAGES:
        return Type.CALICO_READY
    return Type.HUBBLE_READY if stage is Stage.HUBBLE else Type.CILIUM_READY
