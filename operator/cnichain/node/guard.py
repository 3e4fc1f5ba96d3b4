"""The guard: looks at the node, decides, acts, verifies, reports; then waits for an event. Level-triggered.

One thread, no network: an API, a runtime or a Cilium that is slow or away never delays a repair. Each pass looks at
everything anew, so a lost event costs at most one poll interval.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cnichain.api.chainnode import LastRepair, NodeState, NodeStatus
from cnichain.api.reasons import REASONS, Reason
from cnichain.node import files, movedaside
from cnichain.node.act import Actor, failed, outcome
from cnichain.node.alarm import UNWATCHED_POLL, Alarm
from cnichain.node.brake import Brake
from cnichain.node.cilium import CiliumWatcher
from cnichain.node.decide import decide
from cnichain.node.decision import Action, Decision, Nudge, SetAside, View, Write
from cnichain.node.dropins import mark as drop_in_mark
from cnichain.node.files import ChangedMeanwhileError
from cnichain.node.folder import Folder, FolderFile, digest
from cnichain.node.log import log, now_rfc3339
from cnichain.node.remember import known, remember
from cnichain.node.runtime import RuntimeWatcher
from cnichain.node.runtimeview import Loaded, RuntimeSeen
from cnichain.node.state import GivenSpec, StateDir, counted
from cnichain.node.status import Seen, build, with_ready
from cnichain.node.timing import Backoff, Pace

SETTLE = 0.25
"""Seconds that something passing (a file caught half-written) may last before it is reported."""
_ATTEMPTS = 5


@dataclass(frozen=True)
class Options:
    """Where the guard works. poll: seconds between looks without an event. version: of the agent, for the status."""

    conf_dir: Path
    bin_dir: Path
    poll: float
    version: str


@dataclass(frozen=True)
class _Done:
    """An action that was carried out. previous: digest of the file that was replaced or removed."""

    action: Action
    cause: NodeState
    previous: str


class Guard:
    """Keeps one node's chain. `run` belongs to one thread; `give_spec`, `stop` and the properties to any."""

    def __init__(
        self,
        options: Options,
        state: StateDir,
        publish: Callable[[NodeStatus, str], None],
        alarm: Alarm,
        cilium: CiliumWatcher,
        runtime: RuntimeWatcher | None,
        after_look: Callable[[], object],
    ) -> None:
        """publish takes each new status and its object's uid, without blocking. runtime: None if not to be asked.
        after_look is called once a look is over, when nothing is urgent."""
        self._options, self._state, self._publish, self._alarm = options, state, publish, alarm
        self._cilium, self._runtime, self._after_look = cilium, runtime, after_look
        self._given = state.load_spec()
        self._memory = self._saved = state.load_memory()
        self._last_good: tuple[str, bytes | None] = ("", None)
        self._lock = threading.Lock()
        self._brake, self._pace = Brake(), Pace(burst=5, interval=0.1)
        self._actor = Actor(options.conf_dir, state)
        self._nudge_backoff, self._nudge_at = Backoff(4, 60), 0.0
        self._passing_since: float | None = None
        self._unreported = False
        self._first: tuple[str, float] = ("", 0.0)
        self._published: tuple[NodeStatus | None, str] = None, ""
        self.progress = time.monotonic()
        """When the last look ended, monotonic."""
        self.verified = False
        """Whether that look found the node as it should be."""
        self.verified_at = 0.0
        """When a look found that last, in seconds since 1970; 0.0 before the first time."""

    @property
    def status(self) -> NodeStatus | None:
        """The newest status that was published; None before the first look has ended."""
        return self._published[0]

    @property
    def held_back(self) -> float:
        """Seconds that the brake still holds; 0.0 when it is off."""
        return self._brake.remaining(time.monotonic())

    def give_spec(self, given: GivenSpec) -> None:
        """Takes a new spec and looks at once."""
        with self._lock:
            self._given = given
        self._alarm.wake()

    def stop(self) -> None:
        """Makes `run` return; a write that has begun is finished, no other file is touched."""
        self._alarm.stop()

    def wait_for_stop(self, seconds: float) -> bool:
        """Waits so long for `stop`; True once it was called."""
        self._alarm.wait(seconds, with_events=False)
        self.progress = time.monotonic()
        return self._alarm.stopped

    def reload(self) -> None:
        """Reads anew what is kept on the node, after another agent has worked on it. Only before `run`."""
        self._given = self._state.load_spec()
        self._memory = self._saved = self._state.load_memory()
        self._last_good = ("", None)

    def run(self) -> None:
        """Guards until `stop`."""
        try:
            self._clean_up_after_a_crash()
            while not self._alarm.stopped:
                self._pace.spend(time.monotonic())
                decision = self._look()
                self.progress = time.monotonic()
                self._after_look()
                self._wait(decision)
        finally:
            self._alarm.close()

    def _look(self) -> Decision:
        """One pass: look, decide, act, and look again, until there is nothing more to do."""
        begun = time.monotonic()
        with self._lock:
            given = self._given
        done: list[_Done] = []
        seen, decision = self._see(given)
        for _ in range(_ATTEMPTS):
            action = decision.action
            if action is None or seen.folder is None or self._alarm.stopped:
                break
            error = self._actor.act(action, seen.folder)
            if error is not None and not isinstance(error, ChangedMeanwhileError):
                decision = failed(decision, error)
                break
            if error is None:
                replaced = None if isinstance(action, Nudge) else seen.folder.get(action.name)
                done.append(_Done(action, decision.cause or decision.state, replaced.digest if replaced else ""))
                self._after(action)
                self._brake.answered()
            seen, decision = self._see(given)
        if decision.action is not None:
            message = f"Changed again each time before it could be verified; looking again. {decision.message}"
            decision = replace(decision, state=NodeState.VERIFY, settled=False, verified=False, message=message)
        for item in done:
            self._count(item, self._alarm.first_event or begun, decision)
        if done:
            self._alarm.first_event = None
        self._settle(decision, seen, begun)
        self._save_memory()
        return decision

    def _see(self, given: GivenSpec | None) -> tuple[Seen, Decision]:
        self._alarm.drain()
        self._alarm.arm()
        spec = given.spec if given else None
        conflist_file = spec.conflist_file if spec else ""
        folder: Folder | None = None
        effective: FolderFile | None = None
        runtime: RuntimeSeen | None = None
        binaries = files.executables(self._options.bin_dir)
        try:
            folder = files.scan(self._options.conf_dir)
        except files.ConfDirError as error:
            decision = Decision(NodeState.UNKNOWN, error.reason, f"{error}.", passing=True)
        else:
            view = self._view(folder, binaries, conflist_file)
            effective, runtime = view.effective, view.runtime
            view = replace(view, first_is_settled=self._has_settled(effective))
            decision = decide(view, spec)
            if decision.foreign is not None and decision.action is not None:
                self._brake.seen(time.monotonic(), decision.foreign)
                decision = decide(replace(view, braked=self._brake.remaining(time.monotonic()) > 0), spec)
        generation, note = given.generation if given else 0, self._alarm.note
        version, cilium, uid = self._options.version, self._cilium.verdict, given.uid if given else ""
        seen = Seen(folder, effective, binaries, generation, conflist_file, cilium, runtime, note, version, uid)
        return seen, decision

    def _view(self, folder: Folder, binaries: frozenset[str], conflist_file: str) -> View:
        if conflist_file != self._last_good[0]:
            self._last_good = (conflist_file, self._state.load_last_good(conflist_file))
        now = time.monotonic()
        view = View(
            folder,
            binaries,
            known(self._memory, self._last_good[1]),
            braked=self._brake.remaining(now) > 0,
            cilium=self._cilium.verdict,
            runtime=self._runtime.newest if self._runtime else None,
        )
        if self._runtime is None:
            return view
        runtime = self._runtime.seen(view.effective, drop_in_mark(folder, view.effective))
        if runtime.loaded is Loaded.VERIFIED:
            self._nudge_backoff.reset()
            self._nudge_at = 0.0
        return replace(view, runtime=runtime, may_nudge=now >= self._nudge_at)

    def _has_settled(self, first: FolderFile | None) -> bool:
        """Whether the file that the runtime picks has been the same for a while: nobody is in the middle of it."""
        mark, now = (f"{first.shown} {first.mark}" if first else ""), time.monotonic()
        if mark != self._first[0]:
            self._first = (mark, now)
        return now - self._first[1] >= SETTLE

    def _after(self, action: Action) -> None:
        """What follows from an action that was carried out."""
        if isinstance(action, Nudge) and self._runtime is not None:
            self._nudge_at = time.monotonic() + self._nudge_backoff.delay()
            self._runtime.ask_again()
        elif isinstance(action, Write) and action.is_chain:
            self._memory = replace(self._memory, written=self._actor.written)

    def _count(self, done: _Done, started: float, decision: Decision) -> None:
        milliseconds = round((time.monotonic() - started) * 1000)
        fields: dict[str, object] = {"cause": done.cause.value, "durationMilliseconds": milliseconds}
        words, is_repair = outcome(done.action)
        if is_repair:
            repair = LastRepair(now_rfc3339(), done.cause.value, milliseconds, done.previous)
            self._memory = counted(self._memory, repair)
        if isinstance(done.action, Write) and done.action.is_chain and not done.previous:
            # There was no chain, whatever was reported last (by an agent before this one, say). Pods that started
            # meanwhile went without it; the operator tells them by the time of Ready, which has to move for that.
            self._memory = replace(self._memory, ready="")
        if isinstance(done.action, SetAside):
            fields["file"] = ascii(done.action.name)
        if done.previous:
            fields["previousDigest"] = done.previous
        log.info(words, state=decision.state.value, detail=decision.message, **fields)

    def _settle(self, decision: Decision, seen: Seen, begun: float) -> None:
        """Remembers and reports what was found, unless it may be over in a moment."""
        if (decision.in_place or decision.settled) and decision.cause is not NodeState.SHADOWED:
            self._brake.stands(time.monotonic())
        if decision.in_place and decision.source is not None:
            chained = seen.folder.get(seen.conflist_file) if seen.folder else None
            self._keep_last_good(seen.conflist_file, chained.content if chained else None)
        self._memory = remember(self._memory, decision, seen.folder, seen.conflist_file, seen.cilium)
        self._passing_since = (self._passing_since or begun) if decision.passing else None
        self._unreported = self._settles_in() > 0
        if self._unreported:
            return
        self._alarm.first_event = None
        self.verified = decision.verified
        if decision.verified:
            self.verified_at = time.time()
        self._memory = with_ready(self._memory, decision, now_rfc3339())
        self._report(build(decision, seen, self._memory, self._state.aside()), seen.uid)

    def _settles_in(self) -> float:
        """Seconds that something passing may still last unreported."""
        return 0.0 if self._passing_since is None else max(0.0, self._passing_since + SETTLE - time.monotonic())

    def _report(self, status: NodeStatus, uid: str) -> None:
        if (status, uid) == self._published:
            return
        last, self._published = self._published[0], (status, uid)
        self._publish(status, uid)
        if last is None or (last.state, last.reason, last.message) != (status.state, status.reason, status.message):
            say = log.warning if REASONS[Reason(status.reason)].warning else log.info
            fields = {"state": status.state.value, "reason": status.reason, "effectiveFile": status.effective_file}
            say(status.message, **fields)

    def _wait(self, decision: Decision) -> None:
        """Returns when it is time for the next look. Waits for the pace of a burst first, for a reason second."""
        now = time.monotonic()
        held = self._brake.remaining(now) if decision.state is NodeState.CONFLICT else 0.0
        is_stale = decision.reason in (Reason.RUNTIME_STALE, Reason.RUNTIME_NOT_READY)
        nudge = self._nudge_at - now if is_stale else 0.0
        unwatched = 0.0 if self._alarm.is_watching else UNWATCHED_POLL
        # At least a moment: the time may be over since the look, which then has to be done again all the same.
        report = max(0.001, self._settles_in()) if self._unreported else 0.0
        is_awaited = decision.cause is NodeState.SHADOWED and decision.passing
        settling = max(0.001, self._first[1] + SETTLE - now) if is_awaited else 0.0
        further = (report, settling, held, self._actor.retry_in(now), nudge, unwatched)
        self._alarm.wait(min([self._options.poll, *(seconds for seconds in further if seconds > 0)]), with_events=True)
        # The pace: what comes in a burst is looked at together, once the burst has used up its free looks.
        while not self._alarm.stopped and (pause := self._pace.wait(time.monotonic())) > 0:
            self._alarm.wait(pause, with_events=False)

    def _clean_up_after_a_crash(self) -> None:
        given = self._given
        if given is None or given.spec.frozen:
            return
        # What fails here is tried again, and reported, by the next write.
        with suppress(files.NodeFileError, OSError), files.open_folder(self._options.conf_dir) as folder:
            files.clean_temporaries(folder, given.spec.conflist_file)
            movedaside.keep_aside(folder, self._state.keep_aside)

    def _keep_last_good(self, name: str, content: bytes | None) -> None:
        if content is not None and digest(content) != digest(self._last_good[1]):
            self._last_good = (name, content)
            self._state.save_last_good(name, content)

    def _save_memory(self) -> None:
        """Keeps what is known, once a look and only when it changed: the chain is repaired by now."""
        if self._memory != self._saved:
            self._saved = self._memory
            self._state.save_memory(self._memory)
