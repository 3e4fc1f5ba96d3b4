"""A reader that loads the folder like a runtime, and an agent that is killed where it is told; both are processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest
from tests.node.conftest import DEFAULT_ENTRY, HISTORY, Node

from cnichain.node.conflist import parse
from cnichain.node.splice import derive

HERE = Path(__file__).resolve().parent
ANSWER_SECONDS = 30.0

CHAINS = {version: derive(parse(content), DEFAULT_ENTRY) for version, content in HISTORY.items()}
"""VPC CNI version to the chained conflist that belongs to it."""


@dataclass(frozen=True)
class Reading:
    """What a reader saw. looks: how often it loaded the folder. files: first file to looks. wrong: what was wrong."""

    looks: int
    files: dict[str, int]
    wrong: list[str]


class Reader:
    """`reader.py` on a folder; `end` gives what it saw, and may be called once."""

    def __init__(self, conf: Path, mode: str) -> None:
        command = [sys.executable, "-I", str(HERE / "reader.py"), str(conf), mode]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "reading\n", "the reader did not start"

    def end(self) -> Reading:
        """Stops reading."""
        output, _ = self._process.communicate(timeout=ANSWER_SECONDS)
        return Reading(**json.loads(output))

    def kill(self) -> None:
        """After a failure elsewhere; does nothing when it has ended."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.communicate(timeout=ANSWER_SECONDS)


@dataclass(frozen=True)
class Death:
    """One killed agent. steps: its calls to the system, the last one is where it died. signal: what ended it."""

    steps: list[str]
    signal: int

    @property
    def at(self) -> str:
        return self.steps[-1] if self.steps else "nothing"


class Killer:
    """`killer.py` in the agent's place: the real agent, forked for each order and killed at the ordered step."""

    def __init__(self, node: Node, connection: TextIO) -> None:
        self.node, self._lines = node, connection

    def kill_at(self, step: int, moment: str) -> Death:
        """One life of the agent, which ends at its `step`-th call: before it, after it, or halfway through a write."""
        self._lines.write(json.dumps({"step": step, "moment": moment}) + "\n")
        self._lines.flush()
        answer: dict[str, Any] = json.loads(self._lines.readline())
        return Death(**answer)

    def run_to_sleep(self) -> Death:
        """One life of the agent, which ends when all is done and it waits for an event."""
        return self.kill_at(0, "before")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node without files, with all binaries and a kept default spec (as in the agent's own tests)."""
    node = Node(tmp_path)
    yield node
    node.end()


@pytest.fixture
def killer(node: Node) -> Iterator[Killer]:
    """A killer on the node of the test."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(ANSWER_SECONDS)
        node.start(under=(sys.executable, str(HERE / "killer.py"), str(server.getsockname()[1])))
        connection = stack.enter_context(server.accept()[0])
        connection.settimeout(ANSWER_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Killer(node, stack.enter_context(connection.makefile("rw")))


@pytest.fixture
def reading(node: Node) -> Callable[[str], Any]:
    """`with reading("chained") as reader`: a reader on the node's folder, which is surely ended."""

    @contextmanager
    def start(mode: str) -> Iterator[Reader]:
        reader = Reader(node.conf, mode)
        try:
            yield reader
        finally:
            reader.kill()

    return start
