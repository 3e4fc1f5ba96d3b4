"""Runs the agent again and again, each time killed (SIGKILL) at the call to the system that it is told.

A program of the tests alone, started in the agent's place: `killer.py PORT PYTHON -m cnichain.node ARGUMENTS`. It
imports the agent once and forks it for each order that comes over the connection to PORT on this machine's loopback. In
the fork the functions of `os` are wrapped with a counter; the product has no hook for this.

Order, one JSON line: {"step": 7, "moment": "before"}. The agent is killed around its 7th counted call: before it, after
it, or (moment "half", a write) when half of the bytes are written. Only calls of the main thread count, which is the
one that looks at the folder and writes, from the first file that it opens to the call by which it goes to sleep.
Answer, one JSON line: {"steps": [names of the calls so far, the last one is where it ended], "signal": 9}.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from cnichain.node.main import main as agent_main

COUNTED = (
    "open",
    "close",
    "read",
    "write",
    "fsync",
    "rename",
    "unlink",
    "fchmod",
    "fchown",
    "listdir",
    "stat",
    "mkdir",
)
SLEEP = "sleep"
"""Name of the last step: the agent has done what it could and waits for an event."""
PATIENCE = 20
"""Seconds after which an agent that was not killed is ended by SIGALRM."""


class Counter:
    """Counts the main thread's calls and kills the process at the ordered one."""

    def __init__(self, step: int, moment: str, report: int) -> None:
        """report: descriptor that gets each step's name, one a line."""
        self._step, self._moment, self._report = step, moment, report
        self._count = 0
        self._write = os.write
        self._paths: dict[int, str] = {}

    def install(self) -> None:
        """Puts a counting function in the place of each of COUNTED, and of the agent's way to sleep."""
        for name in COUNTED:
            setattr(os, name, partial(self._call, name, getattr(os, name)))
        select.poll = self._sleep  # type: ignore[assignment,misc]  # the test's own stand-in

    def _call(self, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return function(*arguments, **options)
        is_killed = self._next(f"{name} {self._target(name, arguments)}")
        if is_killed and self._moment == "half" and name == "write":
            function(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        if is_killed and self._moment != "after":
            self._die()
        try:
            result = function(*arguments, **options)
        finally:
            if is_killed:
                self._die()  # a call that fails is a step too
        if name == "open":
            self._paths[result] = _last_name(arguments[0])
        return result

    def _sleep(self) -> NoReturn:
        self._next(SLEEP)
        self._die()

    def _next(self, name: str) -> bool:
        if not self._count and not name.startswith("open "):
            return False
        self._count += 1
        self._write(self._report, f"{name}\n".encode("utf-8", "surrogateescape"))
        return self._count == self._step

    def _target(self, name: str, arguments: tuple[Any, ...]) -> str:
        """The file that a call is about, by its last name."""
        if not arguments:
            return "."
        if isinstance(arguments[0], int):
            return self._paths.get(arguments[0], str(arguments[0]))
        return " -> ".join(_last_name(path) for path in arguments[: 2 if name == "rename" else 1])

    @staticmethod
    def _die() -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL was survived")


def _last_name(path: str | os.PathLike[str]) -> str:
    return os.fspath(path).rpartition("/")[2]


def run_once(order: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    """One life of the agent."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        signal.alarm(PATIENCE)
        Counter(order["step"], order["moment"], writing).install()
        os._exit(agent_main(arguments))
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        steps = report.read().decode("utf-8", "replace").splitlines()
    _, status = os.waitpid(process, 0)
    return {"steps": steps, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}


def serve(port: int, arguments: list[str]) -> None:
    """Carries out one order after the other, until the tests close the connection."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rw") as lines:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for line in lines:
            lines.write(json.dumps(run_once(json.loads(line), arguments)) + "\n")
            lines.flush()


if __name__ == "__main__":
    gc.freeze()  # so that the forks share the memory of what is imported
    serve(int(sys.argv[1]), sys.argv[5:])
