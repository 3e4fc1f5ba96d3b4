"""`kubectl port-forward` as a child process: started, waited for until it listens, and ended with us.

Kubernetes forwards ports over a stream of WebSockets or SPDY, which our own client does not speak; kubectl does.
"""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cnichain.cli.common import UnansweredError

LISTENS = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) -> ")
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Target:
    """What is forwarded to. port: that of the Service. local: on this machine, 0 for a free one."""

    namespace: str
    service: str
    port: int
    local: int


@dataclass
class Forward:
    """A port-forward that listens. local: the port on 127.0.0.1."""

    process: subprocess.Popen[str]
    local: int
    said: list[str]

    def until_it_ends(self) -> str:
        """Waits until kubectl ends by itself; why, in its own words."""
        self.process.wait()
        return _words(self.said)


@contextmanager
def forwarded(target: Target, kubeconfig: Path | None, seconds: float) -> Iterator[Forward]:
    """A port-forward, ended on the way out.

    Raises UnansweredError when kubectl is not there, ends, or does not listen in time; the message has its words.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise UnansweredError(
            "the program kubectl is not in PATH, and it is what forwards the port. Install it "
            "(https://kubernetes.io/docs/tasks/tools/), or add its folder to PATH."
        )
    command = [kubectl, *([f"--kubeconfig={kubeconfig}"] if kubeconfig else []), "port-forward"]
    command += [f"--namespace={target.namespace}", "--address=127.0.0.1", f"service/{target.service}"]
    command.append(f"{target.local or ''}:{target.port}")
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            yield _listening(process, target, seconds)
        finally:
            _stop(process)


def _listening(process: subprocess.Popen[str], target: Target, seconds: float) -> Forward:
    """The forward once kubectl says that it listens."""
    said: list[str] = []
    ports: list[int] = []
    listens = threading.Event()
    output = process.stdout
    if output is None:
        raise AssertionError("unreachable: the process has a pipe for its output")
    # kubectl writes a line for each connection: somebody has to read on, or it would stand still one day.
    threading.Thread(target=_read, args=(output, said, ports, listens), daemon=True).start()
    if not listens.wait(seconds):
        raise UnansweredError(
            f"kubectl does not forward to service {target.namespace}/{target.service} after {seconds:.0f} s. "
            f"{_words(said)}"
        )
    if not ports:
        process.wait(STOP_SECONDS)
        raise UnansweredError(f"kubectl port-forward failed: {_words(said)}")
    return Forward(process, ports[0], said)


def _read(output: IO[str], said: list[str], ports: list[int], listens: threading.Event) -> None:
    """Read to the end. listens: set when the port is known, or when nothing more can come."""
    with suppress(ValueError):  # the pipe was closed under us: we are done
        for line in output:
            if found := LISTENS.match(line):
                ports.append(int(found[1]))
                listens.set()
            elif not line.startswith(("Handling connection", "Forwarding from")):
                said[:] = [*said[-9:], line.strip()]
    listens.set()


def _words(said: list[str]) -> str:
    return " ".join(line for line in said if line) or "It said nothing."


def _stop(process: subprocess.Popen[str]) -> None:
    """End the child. A Ctrl-C in a terminal has reached it as well, so it may be gone."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
