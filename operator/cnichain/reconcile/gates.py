"""The gates of a rollout: what is watched of nodes that have the change, beside their pods and their agents' reports.

Each is read at most every few seconds, and what cannot be read stops nothing. What was before the change is kept in
memory alone: after a restart of the operator the gates compare with what they find then.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cnichain.api.chain import ProbeSpec
from cnichain.api.rolloutstatus import RolloutState, RolloutStatus
from cnichain.api.times import parse_rfc3339
from cnichain.kube.client import KubeClient
from cnichain.plan.coverage import Unmanaged
from cnichain.plan.nodes import NodeRecord
from cnichain.reconcile.drops import sample_drops
from cnichain.reconcile.probe import probe, remove_probes
from cnichain.reconcile.sandboxes import SandboxWatch
from cnichain.rollout.drops import DropSample, drop_alarm, drops_per_second, not_measured
from cnichain.rollout.nodes import NodeSituation, Step
from cnichain.rollout.probe import ProbeResult, ProbeState, ProbeTarget
from cnichain.rollout.sandboxes import sandbox_alarm
from cnichain.rollout.unmanaged import unmanaged_alarms, unmanaged_by_node
from cnichain.rollout.view import Target

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""Between two looks at events and metrics: a pass may come twice a second."""
MOST_DROP_NODES = 5
"""Nodes whose drops are read: those of the canary, whose agents were asked before the change."""
MOST_PROBES = 20
"""Probes at once."""


@dataclass
class Gates:
    """Remembers, for one process, what was before the change.

    unmanaged: gives the confirmed unmanaged pods of now.
    """

    client: KubeClient
    sandboxes: SandboxWatch
    unmanaged: Callable[[], Iterable[Unmanaged]]
    _target: str = ""
    _looked: float = 0.0
    _alarms: dict[str, str] = field(default_factory=dict)
    _drops_before: dict[str, float] = field(default_factory=dict)
    _unmanaged_before: Counter[str] = field(default_factory=Counter)
    _probed: dict[tuple[str, str], ProbeResult] = field(default_factory=dict)
    _told: str = ""

    async def before(self, nodes: Mapping[str, NodeRecord], given: Sequence[NodeSituation], port: int | None) -> None:
        """Read what the agents of nodes that are about to get the change have dropped so far.

        nodes: by name. given: their situations. A node without an agent has nothing to compare with.
        """
        self._unmanaged_before = unmanaged_by_node(self.unmanaged())
        with_agent = [one for one in given if one.ready_since and one.opened][:MOST_DROP_NODES]
        if port is None or not with_agent:
            return
        samples = await sample_drops({one.name: nodes[one.name].address for one in with_agent}, port)
        for one in with_agent:
            rate = _since_start(one, samples[one.name])
            if rate is not None:
                self._drops_before[one.name] = rate
        self._tell(not_measured(samples))

    async def alarms(
        self, nodes: Mapping[str, NodeRecord], found: Sequence[NodeSituation], target: Target, port: int | None
    ) -> dict[str, str]:
        """What got worse on nodes that have the change, in words, by node. found: all nodes in scope."""
        self._begin(target)
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return self._alarms
        self._looked = now
        current = [one for one in found if one.step(target.templates) is Step.CURRENT]
        names = [one.name for one in current]
        alarms = unmanaged_alarms(self._unmanaged_before, unmanaged_by_node(self.unmanaged()), names)
        alarms |= await self._drop_alarms(nodes, current, port)
        alarms |= await self._sandbox_alarms(current)
        self._alarms = alarms
        return alarms

    async def probes(
        self, found: Sequence[NodeSituation], target: Target, spec: ProbeSpec, image: str, owner: str, wave_since: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """One step of the probes of the open wave: what is waited for, and what has failed, in words, by node.

        image: Cilium's own. wave_since: when the wave was opened; who has been well for longer is of an earlier one.
        """
        self._begin(target)
        if not spec.enabled:
            return {}, {}
        current = [one for one in found if one.step(target.templates) is Step.CURRENT and _is_of_wave(one, wave_since)]
        due = [one for one in current if (one.name, one.agent_uid) not in self._probed][:MOST_PROBES]
        results = await asyncio.gather(
            *(
                probe(
                    self.client,
                    ProbeTarget(one.name, one.uid, f"{target.digest}/{one.agent_uid}", spec.image or image, owner),
                )
                for one in due
            )
        )
        said = {one.name: f"probe: {result.message}" for one, result in zip(due, results, strict=True)}
        for one, result in zip(due, results, strict=True):
            if result.over:
                self._probed[one.name, one.agent_uid] = result
        known = {one.name: self._probed.get((one.name, one.agent_uid)) for one in current}
        waits = {name: said.get(name, "its probe has not begun") for name, result in known.items() if result is None}
        failed = {
            name: f"probe: {result.message}"
            for name, result in known.items()
            if result is not None and result.state is ProbeState.FAILED
        }
        return waits, failed

    async def rest(self) -> None:
        """No rollout is under way: nothing is watched."""
        await self.sandboxes.end()

    async def clear(self, owner: str) -> None:
        """Remove probes that nobody looks at any more. Raises ChainError."""
        await remove_probes(self.client, owner)

    def _begin(self, target: Target) -> None:
        """Start anew for another target."""
        if self._target == target.digest:
            return
        self._target = target.digest
        self._looked, self._alarms, self._probed = 0.0, {}, {}

    async def _drop_alarms(
        self, nodes: Mapping[str, NodeRecord], current: Sequence[NodeSituation], port: int | None
    ) -> dict[str, str]:
        watched = [one for one in current if one.name in self._drops_before][:MOST_DROP_NODES]
        if port is None or not watched:
            return {}
        samples = await sample_drops({one.name: nodes[one.name].address for one in watched}, port)
        self._tell(not_measured(samples))
        said = {
            one.name: drop_alarm(one.name, self._drops_before[one.name], _since_start(one, samples[one.name]))
            for one in watched
        }
        return {name: words for name, words in said.items() if words}

    async def _sandbox_alarms(self, current: Sequence[NodeSituation]) -> dict[str, str]:
        since = {one.name: at for one in current if (at := parse_rfc3339(one.ready_since)) is not None}
        failures = await self.sandboxes.failures(since)
        if failures is None:
            # A gate that cannot look says so, and holds nothing back: the others and the agents' reports remain.
            self._tell("Failing sandboxes are not looked at: kubelet's events could not be listed.")
            return {}
        said = {name: sandbox_alarm(one) for name, one in failures.items()}
        return {name: words for name, words in said.items() if words}

    def _tell(self, words: str) -> None:
        if words and words != self._told:
            self._told = words
            logger.warning("%s", words)


def _since_start(one: NodeSituation, sample: DropSample) -> float | None:
    """Drops per second since the agent started: its counters began at nothing then."""
    started = parse_rfc3339(one.ready_since)
    return drops_per_second(DropSample(started, 0.0), sample) if started is not None else None


def _is_of_wave(one: NodeSituation, wave_since: str) -> bool:
    """Whether a node's agent got Ready after the wave was opened. Both times are whole seconds."""
    ready, opened = parse_rfc3339(one.ready_since), parse_rfc3339(wave_since)
    return ready is not None and opened is not None and ready >= opened


def is_watched(memory: RolloutStatus, target: Target) -> bool:
    """Whether the rollout to a target is under way, so that its gates count."""
    over = {RolloutState.DONE, RolloutState.FAILED}
    return memory.target == target.digest and memory.state not in over and not target.back
