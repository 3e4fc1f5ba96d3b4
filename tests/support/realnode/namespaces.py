"""A node's namespaces, and programs that run in them."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cnichain.dev.errors import DevError
from cnichain.dev.layout import tail

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.02

DIE_WITH_ME = ("setpriv", "--pdeathsig", "KILL", "--")
"""Before a command: the program is killed when the thread that started it ends, however that was (prctl(2))."""


@dataclass
class Daemon:
    """A program that runs until it is told to stop. `pid` is its own on the machine, not that of what started it."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    pid: int

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end, with SIGKILL when it takes too long; the exit code."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):  # it ends by itself at this very moment
                os.kill(self.pid, number)
        try:
            return self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            return self.process.wait(timeout=STOP_SECONDS)

    def raise_if_ended(self) -> None:
        """DevError with the end of its log when it runs no more."""
        if not self.alive():
            raise DevError(
                f"{self.name} ended with exit code {self.process.returncode}. The end of {self.log}:\n{tail(self.log)}"
            )


@dataclass
class Namespaces:
    """Mount, network and PID namespace of one node. `init` is the process id of their first process on the machine."""

    init: int
    logs: Path
    daemons: list[Daemon] = field(default_factory=list)

    @classmethod
    @contextmanager
    def run(cls, folder: Path, binds: Mapping[str, Path], memory: Sequence[Path], logs: Path) -> Iterator["Namespaces"]:
        """Make the namespaces (init.py says what is in them) and end all that runs in them after the block."""
        config = {
            "folder": str(folder),
            "binds": {path: str(source) for path, source in binds.items()},
            "memory": [str(path) for path in memory],
        }
        script = Path(__file__).with_name("init.py")
        command = [
            *DIE_WITH_ME,
            *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
            *("--propagation", "private", "--", sys.executable, str(script), json.dumps(config)),
        ]
        log = logs / "init.log"
        with started("the node's first process", command, log) as unshare:
            made = cls(only_child(unshare), logs)
            try:
                yield made
            finally:
                made._end(unshare)

    def command(self, *command: str) -> list[str]:
        """The command line that runs a program in the namespaces."""
        return ["nsenter", f"--target={self.init}", "--mount", "--net", "--pid", "--", *command]

    def call(self, *command: str, timeout: float = 30.0, check: bool = True) -> str:
        """Standard output of a short program in the namespaces; DevError with its words when it fails."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            words = (done.stderr or done.stdout).strip()[-2000:]
            raise DevError(f"`{' '.join(command)[:200]}` failed in the node (exit code {done.returncode}): {words}")
        return done.stdout

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Daemon:
        """Start a program in the namespaces; its output goes to a log named after it, which is added to."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(*command),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environment or {})},
            )  # fmt: skip
        daemon = Daemon(name, log, process, process.pid)
        self.daemons.append(daemon)
        daemon.pid = only_child(process)
        return daemon

    def _end(self, unshare: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):  # somebody was faster: the end is the same
            os.kill(self.init, signal.SIGKILL)
        unshare.wait(timeout=STOP_SECONDS)  # the first process is gone only after all others are
        for daemon in self.daemons:
            daemon.process.wait(timeout=STOP_SECONDS)


@contextmanager
def started(what: str, command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has written its first line, which says that it is ready; killed after the block."""
    with (
        log.open("ab") as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            if process.stdout is None:
                raise AssertionError("started with a pipe")
            readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            if not readable or process.stdout.readline() != b"ready\n":
                raise DevError(f"{what} did not get ready. The end of {log}:\n{tail(log)}")
            yield process
        finally:
            process.kill()


def only_child(process: subprocess.Popen[bytes]) -> int:
    """Process id of the one child of `unshare` or `nsenter`: the program that was meant."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def look() -> str:
        try:
            return children.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    return int(wait_for(f"{process.args!r} started nothing", look, START_SECONDS).split()[0])


def wait_for(problem: str, look: Callable[[], str], seconds: float, check: Callable[[], None] | None = None) -> str:
    """The first non-empty answer of `look`; DevError with `problem` when there is none in time.

    check: raises when there is no point in waiting on.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if check:
            check()
        if time.monotonic() > deadline:
            raise DevError(f"After {seconds:.0f} s: {problem}")
        time.sleep(_LOOK_SECONDS)
    return found
