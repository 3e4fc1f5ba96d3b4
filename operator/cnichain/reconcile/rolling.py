"""The rollout's part of a pass: decide what is next (pure), keep that in status, then do it.

What is decided stands in status before it is done, so that a pass may be cut off anywhere. A failure is recorded in the
history first; what is done about it is the next pass's.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from cnichain.api import clock
from cnichain.api.chainnode import NodeSpec
from cnichain.api.chainstatus import CNIChainStatus
from cnichain.api.reasons import Reason
from cnichain.api.rolloutstatus import RejectedStatus, RolloutState, RolloutStatus
from cnichain.api.times import utc_now
from cnichain.apply.history import HistoryStore
from cnichain.plan.history import History
from cnichain.plan.model import in_words
from cnichain.reconcile.care import Event
from cnichain.reconcile.gates import Gates, is_watched
from cnichain.reconcile.metrics import ROLLBACKS
from cnichain.reconcile.report import Report, StageReport
from cnichain.reconcile.rollout import Fleet
from cnichain.render.stages import Stage
from cnichain.rollout.course import Action, Course, accept, action_for, may_go_back, reject
from cnichain.rollout.decide import Decision, Failure, decide, stopped
from cnichain.rollout.nodes import NodeSituation
from cnichain.rollout.situations import situations
from cnichain.rollout.view import Target


class Account(Protocol):
    """What a pass says of itself: the part of a Pass that is needed here."""

    status: CNIChainStatus
    report: Report
    events: list[Event]

    def update(self, **fields: object) -> None:
        """Set fields of the status."""

    async def say(self) -> None:
        """Write the status."""


@dataclass
class Rolling:
    """The rollout of one pass. own_nodes: no node had Cilium before this CNIChain. metrics_port: Hubble's."""

    this: Account
    fleet: Fleet
    course: Course
    history: History
    store: HistoryStore
    cilium: str
    own_nodes: bool
    gates: Gates
    metrics_port: int | None

    async def step(self, target: Target, image: str) -> StageReport:
        """One step towards the target; what the stage waits for, nothing when every reachable node has it.

        image: of the Cilium agent.
        """
        if self.course.action is Action.UNCHAINED:
            await self.gates.rest()
            return await self._withdraw()
        await self.fleet.align()
        now = clock.now()
        before = self._memory(target)
        nodes = situations(self.fleet.scope, self.fleet.view.reports, self.fleet.pods, self.fleet.wanted)
        raised: dict[str, str] = {}
        if before is not None and is_watched(before, target):
            nodes, raised = await self._gated(nodes, target, image, before)
        else:
            await self.gates.rest()
        decision = decide(nodes, target, self.course.spec.rollout, before, now, raised)
        self._tell(before, decision)
        self.this.update(rollout=decision.memory)
        self.this.report.rollout_again = decision.again
        if decision.failure is not None:
            await self.fail(decision.failure)
        if decision.start:
            # Without it the status in between would call the chain Ready, as all its nodes are well.
            self.this.report.stages[Stage.AGENTS] = StageReport(decision.waiting_for, decision.reason)
            await self.this.say()
            if not decision.memory.soaked and not target.back:
                given = [one for one in nodes if one.name in decision.start]
                await self.gates.before(self.fleet.scope, given, self.metrics_port)
            await self.fleet.start(decision.start, target.templates)
        return StageReport(decision.waiting_for, decision.reason)

    async def _gated(
        self, nodes: list[NodeSituation], target: Target, image: str, memory: RolloutStatus
    ) -> tuple[list[NodeSituation], dict[str, str]]:
        """The nodes, with what their probes wait for, and what the gates say, by node."""
        raised = await self.gates.alarms(self.fleet.scope, nodes, target, self.metrics_port)
        wanted = self.course.spec.rollout.probe
        waits, failed = await self.gates.probes(nodes, target, wanted, image, self.fleet.owner, memory.wave_since)
        # Nothing that is watched wakes the loop for a probe pod.
        self.this.report.soon = self.this.report.soon or bool(waits)
        told = [replace(one, probe=waits[one.name]) if one.name in waits else one for one in nodes]
        return told, {**raised, **failed}

    @property
    def away(self) -> int:
        """How many nodes of the chain are not Ready."""
        return sum(node.chained and not node.ready for node in self.fleet.scope.values())

    async def keep(self, wanted: NodeSpec) -> None:
        """While a plan is held: nodes keep what they have; only those that join a finished rollout are opened.

        wanted: what nodes of the chain have.
        """
        await self.gates.rest()
        fleet = replace(self.fleet, wanted=wanted)
        await fleet.claim()
        await fleet.align_each()
        memory = self.this.status.rollout
        if memory is None:
            return
        if memory.state is not RolloutState.DONE:
            self.this.update(rollout=stopped(memory))
            if self.this.report.hold is not None:
                far = f" {memory.done} of {memory.total} nodes have the change that was under way."
                self.this.report.hold = self.this.report.hold.about(far)
        else:
            await fleet.start([name for name, node in fleet.scope.items() if not node.chained], {})

    async def good(self) -> None:
        """Every node has the change, verified: from now on it is what a later failure goes back to."""
        memory = self.this.status.rollout
        if self.course.action is not None or memory is None or memory.state is not RolloutState.DONE:
            return
        revision = self.this.status.revisions[-1].number if self.this.status.revisions else 0
        known = accept(self.history, self.course.spec, self.course.content, utc_now(), revision)
        if known is not self.history:
            await self.store.record(known)
            self.history = known

    @property
    def may_go_back(self) -> bool:
        """Whether a failure before any node has the change has somewhere to go back to."""
        return self.course.action is None and may_go_back(self.course.spec, self.course.content, self.history.good)

    async def fail(self, failure: Failure) -> None:
        """Record that the change has failed, and what is to be done about it."""
        if self.course.action is Action.ROLLED_BACK:
            self.this.report.rollback_failed = failure.message
            self.this.events.append((Reason.ROLLBACK_FAILED, f"{failure.message}."))
            return
        good = self.history.good
        memory = self.this.status.rollout
        only_canary = self.own_nodes and memory is not None and not memory.soaked
        action = action_for(self.course.spec, self.course.content, good, only_canary=only_canary)
        rejected = RejectedStatus(
            content=self.course.content,
            cilium=self.cilium,
            reason=failure.reason.value,
            message=failure.message[:1024],
            time=utc_now(),
            action=action.value,
            back_to=good.cilium if good and action is Action.ROLLED_BACK else "",
        )
        await self.gates.clear(self.fleet.owner)
        self.history = reject(self.history, rejected)
        await self.store.record(self.history)
        ROLLBACKS.labels(action.value).inc()
        self.this.update(rejected=rejected)
        self.this.report.soon = True
        self.this.events.append((failure.reason, f"Cilium {self.cilium}: {failure.message}."))
        self.this.events.append((Reason.ROLLING_BACK, _what_now(rejected)))

    async def _withdraw(self) -> StageReport:
        opened = await self.fleet.withdraw()
        if opened:
            return StageReport(f"nodes go back to the primary alone: {in_words(opened)}", Reason.ROLLING_BACK)
        return StageReport("no node has the chain", Reason.ROLLED_BACK)

    def _memory(self, target: Target) -> RolloutStatus | None:
        memory = self.this.status.rollout
        if self.course.action is Action.HELD:
            # What was decided stands in the history too: a status that was lost must not begin it all anew.
            known = memory if memory is not None and memory.target == target.digest else None
            fresh = RolloutStatus(target=target.digest, started=utc_now())
            return (known or fresh).model_copy(update={"state": RolloutState.FAILED})
        if memory is not None and memory.state is RolloutState.FAILED and self.course.rejected is None:
            return None  # a person asks for another try
        return memory

    def _tell(self, before: RolloutStatus | None, decision: Decision) -> None:
        """Events for what a person wants to hear of: a wave that opens, the soak, the end."""
        after = decision.memory
        if decision.start and after.state is not RolloutState.DONE:
            kind = Reason.CANARY if decision.reason is Reason.CANARY else Reason.WAVE
            self.this.events.append((kind, f"{decision.waiting_for}; {after.done} of {after.total} nodes are done."))
        was = before.state if before is not None and before.target == after.target else None
        if after.state is RolloutState.SOAKING and was is not RolloutState.SOAKING:
            self.this.events.append((Reason.SOAKING, f"{decision.waiting_for}."))
        if after.state is RolloutState.DONE and was not in {RolloutState.DONE, None}:
            self.this.events.append((Reason.ROLLOUT_FINISHED, f"{after.done} of {after.total} nodes have the change."))


def _what_now(rejected: RejectedStatus) -> str:
    if rejected.action == Action.ROLLED_BACK.value:
        return f"Going back to Cilium {rejected.back_to}, the last good revision."
    if rejected.action == Action.UNCHAINED.value:
        return "The nodes go back to the primary alone; no revision has been good yet."
    return "It stays where it is; no other node gets the change."
