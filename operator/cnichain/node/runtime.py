"""The thread that asks the container runtime what it has loaded. The guard never waits for it.

Which file the runtime loads is known from the folder (its file is "effective"); whether it has loaded the file's newest
content only it can tell: containerd does not notice a file that is renamed into the folder from elsewhere, or a
symlink (containerd#11715).
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from cnichain.node.conflist import Conflist
from cnichain.node.folder import FolderFile
from cnichain.node.log import log
from cnichain.node.runtimeview import Loaded, RuntimeSeen, judge

SOCKETS = (Path("/run/containerd/containerd.sock"), Path("/run/crio/crio.sock"))
"""Where the runtimes' packages put their sockets; the first that exists is asked."""
PATIENCE = 2.0
"""Seconds that a runtime has to load a changed file before it counts as stale; real ones take some milliseconds."""
_TIMEOUT = 2.0
_FIRST, _LONGEST = 0.05, 0.5
"""Seconds between two questions while an answer differs from the file."""


class RuntimeWatcher(threading.Thread):
    """Asks after each change of the effective file until the runtime shows it, and each `poll` seconds."""

    def __init__(self, sockets: tuple[Path, ...], poll: float, wake: Callable[[], None]) -> None:
        """wake: called when there is something new to see."""
        super().__init__(name="runtime", daemon=True)
        self._sockets, self._poll, self._wake = sockets, poll, wake
        self._changed = threading.Condition()
        self._wanted: tuple[str, Conflist | None] | None = None
        self._round = 0
        self._seen = RuntimeSeen()
        self._stopping = False

    @property
    def newest(self) -> RuntimeSeen:
        """The newest that is known, whichever file it was about."""
        with self._changed:
            return self._seen

    def seen(self, effective: FolderFile | None, drop_ins: str = "") -> RuntimeSeen:
        """The newest that is known about this file; never blocks.

        Another file or content than before is asked for, and so are other drop_ins (`dropins.mark`).
        """
        wanted = (f"{effective.name}/{effective.digest}/{drop_ins}", effective.conflist) if effective else ("", None)
        with self._changed:
            if self._wanted is None or self._wanted[0] != wanted[0]:
                # A runtime that gives no answer gives none for this file either: nothing waits for it then.
                if self._wanted is not None and self._seen.answers:
                    self._seen = RuntimeSeen(Loaded.PENDING, self._seen.name, self._seen.version)
                self._wanted = wanted
                self._ask()
            return self._seen

    def ask_again(self) -> None:
        """The runtime was nudged: its next answers count anew."""
        with self._changed:
            self._ask()

    def stop(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Asks until `stop`."""
        while (job := self._next()) is not None:
            number, wanted = job
            self._until_shown(number, wanted)

    def _ask(self) -> None:
        self._round += 1
        self._changed.notify()

    def _next(self) -> tuple[int, Conflist | None] | None:
        """What is to be asked for; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._wanted is not None)
            return None if self._stopping or self._wanted is None else (self._round, self._wanted[1])

    def _until_shown(self, number: int, wanted: Conflist | None) -> None:
        """One round: asks at short intervals while the answer differs, at `poll` otherwise, until the next round."""
        pause, doubted_at, deadline = _FIRST, 0.0, 0.0
        while not self._wait(number, pause):
            answer = self._answer(wanted)
            now = time.monotonic()
            if not answer.is_wrong:
                pause, doubted_at = self._poll, 0.0
            elif not doubted_at:
                pause, doubted_at, deadline = _FIRST, now, now + PATIENCE
                continue
            elif now < deadline:
                pause = min(pause * 2, _LONGEST)
                continue
            else:
                pause = self._poll
            self._take(number, answer)

    def _wait(self, number: int, seconds: float) -> bool:
        """Waits so long; True when the round is over."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping or self._round != number, timeout=seconds)

    def _take(self, number: int, answer: RuntimeSeen) -> None:
        with self._changed:
            if self._round != number or self._seen == answer:
                return
            before, self._seen = self._seen, answer
        if Loaded.UNKNOWN in (before.loaded, answer.loaded) and answer.message:
            log.info("The runtime's own view is not known", because=answer.message)
        self._wake()

    def _answer(self, wanted: Conflist | None) -> RuntimeSeen:
        path = next((path for path in self._sockets if path.exists()), None)
        if path is None:
            shown = ", ".join(str(path) for path in self._sockets)
            return self._silent(f"no runtime's socket is there: {shown}")
        from cnichain.node.cri import CRIError, ask, networks  # noqa: PLC0415 - h2 is loaded only where it is of use

        try:
            answer = ask(path, _TIMEOUT)
            loaded = networks(answer)
        except CRIError as error:
            return self._silent(str(error))
        conditions = [(kind, item.ready, item.message) for kind, item in answer.conditions.items()]
        load_status = answer.info.get("lastCNILoadStatus")
        return judge(answer.name, answer.version, conditions, load_status, loaded, wanted)

    def _silent(self, message: str) -> RuntimeSeen:
        """It cannot be asked; what it is stays known."""
        return RuntimeSeen(Loaded.UNKNOWN, self._seen.name, self._seen.version, message, answers=False)
