"""The guard: looks at the node, decides, acts, verifies, reports; then waits for an event. Level-triggered.

One thread, no network: an API that is slow or away never delays a repair. Each pass looks at everything anew, so a
lost event costs at most one poll interval.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cnichain.api.chainnode import LastRepair, NodeState, NodeStatus
from cnichain.api.reasons import REASONS, Reason
from cnichain.node import files
from cnichain.node.act import Actor, failed
from cnichain.node.brake import Brake
from cnichain.node.decide import Decision, Known, View, decide
from cnichain.node.files import ChangedMeanwhileError
from cnichain.node.folder import Folder, digest
from cnichain.node.inotify import InotifyUnavailableError, Watcher
from cnichain.node.log import log, now_rfc3339
from cnichain.node.state import GivenSpec, StateDir, counted
from cnichain.node.status import Seen, build, with_ready
from cnichain.node.timing import Pace

SETTLE = 0.25
"""Seconds that something passing (a file caught half-written) may last before it is reported."""
UNWATCHED_POLL = 2.0
"""Seconds between looks while the folder is not watched: inotify is not to be had, or the folder is not there."""
_ATTEMPTS = 5


@dataclass(frozen=True)
class Options:
    """Where the guard works. poll: seconds between looks without an event. version: of the agent, for the status."""

    conf_dir: Path
    bin_dir: Path
    poll: float
    version: str


class Guard:
    """Keeps one node's chain. `run` belongs to one thread; `give_spec`, `stop` and the properties to any."""

    def __init__(self, options: Options, state: StateDir, publish: Callable[[NodeStatus], None]) -> None:
        """publish takes each new status and must not block."""
        self._options, self._state, self._publish = options, state, publish
        self._given = state.load_spec()
        self._memory = self._saved = state.load_memory()
        self._last_good: bytes | None = None
        self._lock = threading.Lock()
        self._wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._watcher: Watcher | None = None
        self._note = ""
        self._brake, self._pace = Brake(), Pace(burst=5, interval=0.1)
        self._actor = Actor(options.conf_dir, state)
        self._first_event: float | None = None
        self._passing_since: float | None = None
        self._published: NodeStatus | None = None
        self.progress = time.monotonic()
        """Monotonic time of the last finished look."""
        self.verified = False
        """Whether that look found the node as it should be."""

    def give_spec(self, given: GivenSpec) -> None:
        """Takes a new spec and looks at once."""
        with self._lock:
            self._given = given
        self._wake()

    def stop(self) -> None:
        """Makes `run` return; a write that has begun is finished, no other file is touched."""
        self._stopping = True
        self._wake()

    def wait_for_stop(self, seconds: float) -> bool:
        """Waits so long for `stop`; True once it was called."""
        self._poll(seconds, with_events=False)
        self.progress = time.monotonic()
        return self._stopping

    def reload(self) -> None:
        """Reads anew what is kept on the node, after another agent has worked on it. Only before `run`."""
        self._given = self._state.load_spec()
        self._memory = self._saved = self._state.load_memory()
        self._last_good = None

    def run(self) -> None:
        """Guards until `stop`."""
        try:
            self._clean_up_after_a_crash()
            while not self._stopping:
                self._pace.spend(time.monotonic())
                decision = self._look()
                self.progress = time.monotonic()
                self._wait(decision)
        finally:
            if self._watcher is not None:
                self._watcher.close()

    def _look(self) -> Decision:
        """One pass: look, decide, act, and look again, until there is nothing more to do."""
        begun = time.monotonic()
        with self._lock:
            given = self._given
        repairs: list[tuple[NodeState, str]] = []
        seen, decision = self._see(given)
        for _ in range(_ATTEMPTS):
            if decision.action is None or seen.folder is None or self._stopping:
                break
            replaced = seen.folder.get(seen.conflist_file)
            error = self._actor.act(decision, seen.folder, seen.conflist_file)
            if error is not None and not isinstance(error, ChangedMeanwhileError):
                decision = failed(decision, error)
                break
            if error is None:
                repairs.append((decision.cause or decision.state, replaced.digest if replaced else ""))
            seen, decision = self._see(given)
        if decision.action is not None:
            message = f"Changed again each time before it could be verified; looking again. {decision.message}"
            decision = replace(decision, state=NodeState.VERIFY, message=message)
        for cause, previous in repairs:
            self._count(cause, previous, self._first_event or begun, decision)
        self._settle(decision, seen, begun)
        self._save_memory()
        return decision

    def _see(self, given: GivenSpec | None) -> tuple[Seen, Decision]:
        self._drain()
        self._arm()
        spec = given.spec if given else None
        conflist_file = spec.conflist_file if spec else ""
        folder: Folder | None = None
        binaries = files.executables(self._options.bin_dir)
        try:
            folder = files.scan(self._options.conf_dir)
        except files.ConfDirError as error:
            decision = Decision(NodeState.UNKNOWN, error.reason, f"{error}.", passing=True)
        else:
            if self._last_good is None and conflist_file:
                self._last_good = self._state.load_last_good(conflist_file)
            known = Known(self._memory.source_file, self._memory.source_digest, self._memory.chained, self._last_good)
            view = View(folder, binaries, known, braked=self._brake.remaining(time.monotonic()) > 0)
            decision = decide(view, spec)
            if decision.foreign is not None and decision.action is not None:
                self._brake.seen(time.monotonic(), decision.foreign)
                decision = decide(replace(view, braked=self._brake.remaining(time.monotonic()) > 0), spec)
        generation = given.generation if given else 0
        return Seen(folder, binaries, generation, conflist_file, self._note, self._options.version), decision

    def _count(self, cause: NodeState, previous: str, started: float, decision: Decision) -> None:
        milliseconds = round((time.monotonic() - started) * 1000)
        if cause is not NodeState.UNINSTALLING:
            self._memory = counted(self._memory, LastRepair(now_rfc3339(), cause.value, milliseconds, previous))
        fields = {"cause": cause.value, "durationMilliseconds": milliseconds, "previousDigest": previous}
        outcome = "The chained conflist was removed" if cause is NodeState.UNINSTALLING else "The chain was repaired"
        log.info(outcome, state=decision.state.value, detail=decision.message, **fields)

    def _settle(self, decision: Decision, seen: Seen, begun: float) -> None:
        """Remembers and reports what was found, unless it may be over in a moment."""
        if decision.in_place and decision.source is not None:
            self._brake.stands(time.monotonic())
            chained = seen.folder.get(seen.conflist_file) if seen.folder else None
            self._keep_last_good(seen.conflist_file, chained.content if chained else None)
            source = decision.source.file
            self._memory = replace(self._memory, source_file=source.name, source_digest=source.digest, chained=True)
        elif decision.state is NodeState.UNCHAINED:
            self._memory = replace(self._memory, chained=False)
        self._passing_since = (self._passing_since or begun) if decision.passing else None
        if self._settles_in() > 0:
            return
        self._first_event = None
        self.verified = decision.verified
        self._memory = with_ready(self._memory, decision, now_rfc3339())
        self._report(build(decision, seen, self._memory))

    def _settles_in(self) -> float:
        """Seconds that something passing may still last unreported."""
        return 0.0 if self._passing_since is None else max(0.0, self._passing_since + SETTLE - time.monotonic())

    def _report(self, status: NodeStatus) -> None:
        last = self._published
        if status == last:
            return
        self._published = status
        self._publish(status)
        if last is None or (last.state, last.reason, last.message) != (status.state, status.reason, status.message):
            say = log.warning if REASONS[Reason(status.reason)].warning else log.info
            fields = {"state": status.state.value, "reason": status.reason, "effectiveFile": status.effective_file}
            say(status.message, **fields)

    def _wait(self, decision: Decision) -> None:
        """Returns when it is time for the next look. Waits for the pace of a burst first, for a reason second."""
        now = time.monotonic()
        is_watching = self._watcher is not None and self._watcher.is_watching
        held = self._brake.remaining(now) if decision.state is NodeState.CONFLICT else 0.0
        further = (self._settles_in(), held, self._actor.retry_in(now), 0.0 if is_watching else UNWATCHED_POLL)
        self._poll(min([self._options.poll, *(seconds for seconds in further if seconds > 0)]), with_events=True)
        # The pace: what comes in a burst is looked at together, once the burst has used up its free looks.
        while not self._stopping and (pause := self._pace.wait(time.monotonic())) > 0:
            self._poll(pause, with_events=False)

    def _poll(self, timeout: float, *, with_events: bool) -> None:
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        if with_events and self._watcher is not None:
            poller.register(self._watcher.fileno(), select.POLLIN)
        deadline = time.monotonic() + timeout
        while not self._stopping:
            ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1)
            woken = any(descriptor == self._wake_read for descriptor, _ in ready)
            if woken:
                with suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            if with_events and self._drain():
                return
            if (woken and with_events) or time.monotonic() >= deadline:
                return

    def _drain(self) -> bool:
        """Takes the waiting events, which the look that follows covers; True when one of them called for it."""
        if self._watcher is None or not self._watcher.read():
            return False
        self._first_event = self._first_event or time.monotonic()
        return True

    def _arm(self) -> None:
        """Watches what is there; falls back to polling, and says so, when the kernel gives no watch."""
        try:
            if self._watcher is None:
                self._watcher = Watcher(self._options.conf_dir, self._options.bin_dir)
            self._watcher.arm()
            self._note = ""
        except InotifyUnavailableError as error:
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None
            if not self._note:
                log.warning("inotify is not available; polling", error=str(error))
            self._note = f"(inotify is not available, so the folder is looked at every {UNWATCHED_POLL:g} s: {error})"

    def _clean_up_after_a_crash(self) -> None:
        given = self._given
        if given is None or given.spec.frozen:
            return
        with suppress(files.ConfDirError, OSError), files.open_folder(self._options.conf_dir) as folder:
            files.clean_temporaries(folder, given.spec.conflist_file)  # the next write tries again and reports

    def _keep_last_good(self, name: str, content: bytes | None) -> None:
        if content is not None and digest(content) != digest(self._last_good):
            self._last_good = content
            self._state.save_last_good(name, content)

    def _save_memory(self) -> None:
        """Keeps what is known, once a look and only when it changed: the chain is repaired by now."""
        if self._memory != self._saved:
            self._saved = self._memory
            self._state.save_memory(self._memory)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a full pipe wakes just as well
            os.write(self.wake_write, b"\0")
