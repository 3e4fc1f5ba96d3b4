"""What happens next in a rollout: which nodes get the change now, or what it waits for, or that it has failed. Pure.

Level-triggered like everything else: the same nodes and the same memory give the same answer, so a pass may be cut off
anywhere. A wave is opened only when every reachable node that was given the change is well, and never takes more nodes
than `spec.rollout.maxUnavailable` leaves, whatever else is down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cnichain.api.chain import RolloutSpec, parse_duration
from cnichain.api.reasons import Reason
from cnichain.api.rolloutstatus import RolloutState, RolloutStatus
from cnichain.api.times import parse_rfc3339, rfc3339
from cnichain.plan.model import in_words
from cnichain.rollout.nodes import NodeSituation
from cnichain.rollout.order import budget
from cnichain.rollout.view import Target, View, view_of

SHOWN_NODES = 20
MOST_BEHIND = 100
"""So many late nodes are more than a few bad ones."""


@dataclass(frozen=True)
class Failure:
    """Why a change must not go on. reason: AgentCrashed, RolloutOverdue or GateFailed."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Decision:
    """memory: what to keep in status. start: nodes to give the change to now. waiting_for: what it waits for, "" when
    every reachable node has the change. reason: the kind of wait. again: when to look, even if nothing happens."""

    memory: RolloutStatus
    start: tuple[str, ...] = ()
    waiting_for: str = ""
    reason: Reason = Reason.WAVE
    failure: Failure | None = None
    again: timedelta | None = None


def decide(
    nodes: Sequence[NodeSituation],
    target: Target,
    rollout: RolloutSpec,
    memory: RolloutStatus | None,
    now: datetime,
    alarms: Mapping[str, str] | None = None,
) -> Decision:
    """The next step for the nodes in scope. memory: as the last pass left it. alarms: what the gates say, by node."""
    known = memory if memory is not None and _is_about(memory, target) else None
    view = view_of(nodes, target, known.left_behind if known else ())
    state = _remembered(known, view, now)
    if rollout.paused and state.state is not RolloutState.DONE:
        state = stopped(state)
        return _decision(state, view, f"held by spec.rollout.paused, {_far(view)}", Reason.PAUSED)
    if not state.progressed:
        state = state.model_copy(update={"progressed": rfc3339(now)})
    if state.state is RolloutState.FAILED:
        return _decision(state, view, f"it stays where it is, {_far(view)}", Reason.ROLLOUT_FAILED)
    if state.state is RolloutState.DONE:
        return _steady(state, view, rollout)
    failure = _failure(state, view, rollout, alarms or {}, now)
    if failure is not None:
        failed = state.model_copy(update={"state": RolloutState.FAILED})
        return _decision(failed, view, failure.message, failure.reason, failure=failure)
    if not state.soaked:
        return _canary(state, view, rollout, now)
    return _waves(state, view, rollout, now)


def stopped(memory: RolloutStatus) -> RolloutStatus:
    """The memory while a rollout is held: neither the soak nor the deadline goes on meanwhile, they begin anew."""
    return memory.model_copy(update={"progressed": "", "soaking_since": ""})


def _is_about(memory: RolloutStatus, target: Target) -> bool:
    return memory.target == target.digest and memory.back == target.back


def _remembered(memory: RolloutStatus | None, view: View, now: datetime) -> RolloutStatus:
    """The memory with today's counts; a new one for a new target. Where nothing is to be done it is done at once."""
    if memory is None:
        nothing = not view.pending and not view.moving
        memory = RolloutStatus(
            target=view.target.digest,
            back=view.target.back,
            state=RolloutState.DONE if nothing else RolloutState.WAVES if view.target.back else RolloutState.CANARY,
            soaked=nothing or view.target.back,
            started=rfc3339(now),
            progressed=rfc3339(now),
        )
    elif len(view.current) > memory.done:
        memory = memory.model_copy(update={"progressed": rfc3339(now)})
    behind = [node.name for node in view.behind]
    return memory.model_copy(update={"done": len(view.current), "total": len(view.nodes), "left_behind": behind})


def _failure(
    state: RolloutStatus, view: View, rollout: RolloutSpec, alarms: Mapping[str, str], now: datetime
) -> Failure | None:
    templates = view.target.templates
    crashes = {node.name: crash for node in view.nodes if node.opened and (crash := node.crash(templates))}
    if crashes:
        return Failure(Reason.AGENT_CRASHED, _listed(crashes))
    changed = {node.name for node in [*view.current, *view.moving]}
    raised = {name: words for name, words in alarms.items() if name in changed}
    if raised and not view.target.back:
        return Failure(Reason.GATE_FAILED, _listed(raised))
    if not view.moving or not _is_late(state, rollout, now):
        return None
    if state.soaked and _room(view, rollout) > 0 and len(view.behind) + len(view.moving) <= MOST_BEHIND:
        return None  # a few late nodes are left behind
    late = {node.name: node.waits_for(templates) for node in [*view.moving, *view.behind]}
    return Failure(
        Reason.ROLLOUT_OVERDUE, f"not verified within {rollout.progress_deadline} of the last progress: {_listed(late)}"
    )


def _is_late(state: RolloutStatus, rollout: RolloutSpec, now: datetime) -> bool:
    since = parse_rfc3339(state.progressed)
    return since is not None and now - since > parse_duration(rollout.progress_deadline)


def _room(view: View, rollout: RolloutSpec) -> int:
    """How many more nodes may be taken down."""
    return max(0, budget(rollout.max_unavailable, len(view.nodes)) - len(view.unavailable))


def _canary(state: RolloutStatus, view: View, rollout: RolloutSpec, now: datetime) -> Decision:
    """The first nodes, then their soak; without canary nodes all of them soak together at the end."""
    given = len(view.moving) + len(view.current)
    if rollout.canary.nodes == 0 and (view.pending or view.moving):
        return _waves(state, view, rollout, now)
    size = min(rollout.canary.nodes - given, len(view.pending))
    if size > 0 or view.moving:
        state = state.model_copy(update={"state": RolloutState.CANARY, "soaking_since": ""})
        if size > 0:
            return _open(state, view, view.pending[: min(size, _room(view, rollout))], rollout, now, Reason.CANARY)
        return _decision(state, view, f"canary: {_moving(view)}", Reason.CANARY, again=_until_late(state, rollout, now))
    soak = parse_duration(rollout.canary.soak)
    since = parse_rfc3339(state.soaking_since)
    if since is None or since > now:
        since = now
        state = state.model_copy(update={"state": RolloutState.SOAKING, "soaking_since": rfc3339(now)})
    # The time in status has no fractions of a second: a soak of none ends at once all the same.
    left = since + soak - now
    if left > timedelta() and soak:
        until = rfc3339(since + soak)
        well = f"{len(view.current)} nodes"
        who = f"canary of {well} is well and soaks" if rollout.canary.nodes else f"{well} are well and soak"
        said = f"{who} until {until}"
        return _decision(state, view, said, Reason.SOAKING, again=left)
    state = state.model_copy(update={"soaked": True, "progressed": rfc3339(now)})
    return _waves(state, view, rollout, now)


def _waves(state: RolloutStatus, view: View, rollout: RolloutSpec, now: datetime) -> Decision:
    state = state.model_copy(update={"state": RolloutState.WAVES})
    if view.moving and not _is_late(state, rollout, now):
        said = f"wave {state.wave}: {_moving(view)}"
        return _decision(state, view, said, Reason.WAVE, again=_until_late(state, rollout, now))
    behind = [node.name for node in [*view.behind, *view.moving]]
    state = state.model_copy(update={"left_behind": behind})
    if view.pending:
        return _open(state, view, _may_be_taken(view.pending, view, rollout), rollout, now, Reason.WAVE)
    if behind:
        said = f"{_far(view)}; {len(behind)} are late and were left behind: {in_words(behind)}"
        return _decision(state, view, said, Reason.ROLLOUT_OVERDUE)
    if not state.soaked:
        return _canary(state, view, rollout, now)
    done = state.model_copy(update={"state": RolloutState.DONE})
    return _away(done, view)


def _may_be_taken(nodes: Sequence[NodeSituation], view: View, rollout: RolloutSpec) -> list[NodeSituation]:
    """Those that serve no pods anyway, which costs nothing, and as many of the others as there is room for."""
    free = [node for node in nodes if _is_down(node, view)]
    rest = [node for node in nodes if not _is_down(node, view)]
    return free + rest[: _room(view, rollout)]


def _is_down(node: NodeSituation, view: View) -> bool:
    return node.closed if not node.opened else not node.available(view.target.templates)


def _open(
    state: RolloutStatus, view: View, nodes: Sequence[NodeSituation], rollout: RolloutSpec, now: datetime, kind: Reason
) -> Decision:
    """Open a wave, or say what keeps it from being opened."""
    if not nodes:
        down = in_words(view.unavailable)
        said = f"{len(view.unavailable)} nodes are unavailable, spec.rollout.maxUnavailable leaves no room: {down}"
        return _decision(state, view, said, Reason.NODES_UNAVAILABLE)
    given = len(view.current) + len(view.moving) + len(view.behind)
    # An operator that ended between its word and its deed opens the same wave again, and does not count it twice.
    again = state.wave > 0 and state.given == given
    opened = {"wave": state.wave if again else state.wave + 1, "given": given}
    state = state.model_copy(update={**opened, "wave_since": rfc3339(now), "progressed": rfc3339(now)})
    names = tuple(node.name for node in nodes)
    said = f"wave {state.wave} opens: {in_words(names)}"
    return _decision(state, view, said, kind, start=names, again=_until_late(state, rollout, now))


def _steady(state: RolloutStatus, view: View, rollout: RolloutSpec) -> Decision:
    """After the rollout: nodes that join are opened at once, and nodes that come back get what they missed."""
    start = [*view.fresh, *_may_be_taken(view.outdated, view, rollout)]
    if start:
        names = tuple(node.name for node in start)
        return _decision(state, view, f"nodes that joined or came back: {in_words(names)}", Reason.WAVE, start=names)
    return _away(state, view)


def _away(state: RolloutStatus, view: View) -> Decision:
    """Nothing is left to do but for the nodes that cannot be reached."""
    if not view.away:
        return _decision(state, view, "", Reason.ROLLOUT_FINISHED)
    said = f"{len(view.away)} nodes are not Ready, they get the change when they are back: "
    return _decision(state, view, said + in_words([node.name for node in view.away]), Reason.NODES_NOT_READY)


def _until_late(state: RolloutStatus, rollout: RolloutSpec, now: datetime) -> timedelta | None:
    since = parse_rfc3339(state.progressed)
    if since is None:
        return None
    return max(timedelta(seconds=1), since + parse_duration(rollout.progress_deadline) - now + timedelta(seconds=1))


def _decision(
    state: RolloutStatus,
    view: View,
    waiting_for: str,
    reason: Reason,
    *,
    start: tuple[str, ...] = (),
    failure: Failure | None = None,
    again: timedelta | None = None,
) -> Decision:
    templates = view.target.templates
    late = [*view.moving, *view.behind]
    shown = [f"{node.name}: {node.waits_for(templates)}"[:300] for node in late[:SHOWN_NODES]]
    message = waiting_for or "every node in scope has the change and is verified"
    memory = state.model_copy(update={"waiting": shown, "message": message[:1024]})
    return Decision(memory, start, waiting_for, reason, failure, again)


def _far(view: View) -> str:
    return f"{len(view.current)} of {len(view.nodes)} nodes have the change"


def _moving(view: View) -> str:
    """How far it is, and the names of the nodes that it waits for; not why, since each change of that is no news."""
    return f"{_far(view)}; waits for {in_words([node.name for node in view.moving])}"


def _listed(by_node: Mapping[str, str]) -> str:
    return in_words([f"{name}: {words}" for name, words in by_node.items()])
