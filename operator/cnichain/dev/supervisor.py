"""The process that owns the components: starts them in order, watches them, stops them in reverse order.

Run as `python -m cnichain.dev.supervisor`; controlplane.py is its only caller. It is a process of one thread on
purpose: each child is told by the kernel (PR_SET_PDEATHSIG) to die with the thread that started it, so even a
`kill -9` of the supervisor leaves nothing behind. In attached mode it ends with its parent: standard input, a pipe,
reaches its end however the parent died.

On standard input it takes one command a line, and answers each with one line on standard output:
`stop NAME`, `kill NAME` (SIGKILL) and `start NAME` of a component -> `ok`, or `error ...`.
"""

import argparse
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

from cnichain.dev import pki as pki_module
from cnichain.dev.components import (
    READY_TIMEOUT,
    STOP_TIMEOUT,
    Component,
    Config,
    Ports,
    components,
    server_url,
    write_kubeconfig,
)
from cnichain.dev.errors import DevError
from cnichain.dev.layout import Layout, Phase, State, tail, write_private, write_state
from cnichain.dev.linux import die_with_parent, free_ports, port_is_free, require_linux, try_lock

POLL = 0.05
"""Seconds between two looks at a component that gets ready; each look is one HTTP request at most."""
HEARTBEAT = 1.0
"""Seconds between two looks at the parent when nothing happens."""

EXIT_FAILED = 1
EXIT_LOCKED = 3


class StopRequested(Exception):  # noqa: N818 - not an error: the orderly way out of any wait
    """SIGTERM or SIGINT came, or the parent has gone."""


class Supervisor:
    """One run of a control plane in one folder; the caller holds the folder's lock."""

    def __init__(self, layout: Layout, config: Config) -> None:
        self._layout = layout
        self._config = config
        self._state = State(config.run_id, os.getpid(), Phase.STARTING)
        self._components: dict[str, Component] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._parent = os.getppid()
        self._stop = False
        self._input = b""
        self._wakeup = _wake_on_signals(self._on_signal)

    def run(self) -> int:
        """Start, serve, stop. Returns the exit code; the state file says why it is not 0."""
        error = ""
        try:
            self._start_all()
            self._serve()
        except StopRequested:
            _say("stopping, as asked")
        except (DevError, OSError) as problem:
            error = str(problem)
            _say(error)
        self._publish(Phase.STOPPING, error)
        for name in reversed(list(self._running)):
            self._stop_component(name)
        self._publish(Phase.FAILED if error else Phase.STOPPED, error)
        return EXIT_FAILED if error else 0

    def _start_all(self) -> None:
        self._publish(Phase.STARTING)
        _clear(self._layout)
        ports = _choose_ports(self._config.port)
        pki = pki_module.create(self._layout.pki)
        server = server_url(ports)
        write_kubeconfig(self._layout.kubeconfig, server, pki, pki_module.ADMIN)
        self._state = replace(self._state, server=server, token=pki.tokens[pki_module.ADMIN])
        self._components = {part.name: part for part in components(self._layout, self._config, ports, pki)}
        store, apiserver, *others = self._components
        for name in (store, apiserver):  # each needs the one before
            self._start_component(name)
            self._wait_ready(name)
        for name in others:
            self._start_component(name)
        for name in others:
            self._wait_ready(name)
        self._publish(Phase.READY)
        _say(f"ready: {server}")

    def _serve(self) -> None:
        while True:
            self._pause(HEARTBEAT)

    def _start_component(self, name: str) -> None:
        component = self._components[name]
        component.log.parent.mkdir(parents=True, exist_ok=True)
        with component.log.open("ab") as log:
            try:
                self._running[name] = subprocess.Popen(
                    component.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    preexec_fn=die_with_parent(),  # noqa: PLW1509 - safe: this process has one thread
                )
            except OSError as problem:
                raise DevError(
                    f"{name} cannot be started: {problem}. Run `cnichain dev tools` to build what is missing."
                ) from problem
        self._publish(self._state.phase)

    def _wait_ready(self, name: str) -> None:
        component = self._components[name]
        deadline = time.monotonic() + READY_TIMEOUT
        while (why := component.not_ready()) is not None:
            if time.monotonic() > deadline:
                raise DevError(
                    f"{name} was not ready within {READY_TIMEOUT:.0f} s: {why}.\n"
                    f"The end of {component.log}:\n{tail(component.log)}"
                )
            self._pause(POLL)

    def _stop_component(self, name: str, *, kill: bool = False) -> None:
        process = self._running.pop(name)
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            _say(f"{name} did not end within {STOP_TIMEOUT:.0f} s of SIGTERM; killing it")
            process.kill()
            process.wait(timeout=STOP_TIMEOUT)

    def _pause(self, seconds: float) -> None:
        """Wait for a signal, a command or the time; then raise when the run is over, else obey the command."""
        watched = [self._wakeup, *([sys.stdin.fileno()] if self._config.attached else [])]
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._wakeup in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 4096)
        if self._stop or (self._config.attached and os.getppid() != self._parent):
            raise StopRequested
        self._check_alive()
        if self._config.attached and sys.stdin.fileno() in readable:
            self._read_commands()

    def _check_alive(self) -> None:
        for name, process in self._running.items():
            code = process.poll()
            if code is None:
                continue
            del self._running[name]
            log = self._components[name].log
            how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
            raise DevError(
                f"{name} ended with {how}; everything else is stopped as well. Start again with `cnichain dev up`.\n"
                f"The end of {log}:\n{tail(log)}"
            )

    def _read_commands(self) -> None:
        chunk = os.read(sys.stdin.fileno(), 4096)
        if not chunk:
            raise StopRequested
        *lines, self._input = (self._input + chunk).split(b"\n")
        for line in lines:
            print(self._obey(line.decode("utf-8", errors="replace")), flush=True)

    def _obey(self, command: str) -> str:
        verb, _, name = command.partition(" ")
        if verb not in ("stop", "kill", "start") or name not in self._components:
            return f"error not a command: {command!r}"
        if (verb != "start") != (name in self._running):
            return f"error {name} is {'' if verb == 'start' else 'not '}running"
        if verb != "start":
            self._stop_component(name, kill=verb == "kill")
            self._publish(self._state.phase)
        else:
            self._start_component(name)
            self._wait_ready(name)
        return "ok"

    def _publish(self, phase: Phase, error: str = "") -> None:
        pids = {name: process.pid for name, process in self._running.items()}
        self._state = replace(self._state, phase=phase, error=error, components=pids)
        write_state(self._layout, self._state)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:  # a child's end needs no more than to wake the loop
            self._stop = True


def _wake_on_signals(handler: Callable[[int, FrameType | None], None]) -> int:
    """Install the handler, and return a descriptor that is readable after each signal: none is lost before select."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, handler)
    return reader


def _choose_ports(apiserver: int) -> Ports:
    if apiserver and not port_is_free(apiserver):
        raise DevError(
            f"Port {apiserver} of 127.0.0.1 is taken. See by whom with `ss -ltnp sport = :{apiserver}`, stop it or "
            "choose another --port; without --port a free one is chosen."
        )
    others = free_ports(6)
    return Ports(apiserver or others[0], *others[1:])


def _clear(layout: Layout) -> None:
    """Every run begins with an empty cluster. Only our own names are removed: the folder may be the user's."""
    for directory in (layout.etcd_data, layout.pki, layout.conf, layout.logs, layout.nodes):
        if directory.exists():
            shutil.rmtree(directory)
    for file in (layout.kubeconfig, layout.audit_log):
        file.unlink(missing_ok=True)
    layout.nodes.mkdir()


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _detach() -> None:
    """Go on in a child of our own, so that the caller's wait for this process returns. The lock goes with it."""
    if os.fork() > 0:
        os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Supervisor of a local control plane; started by `cnichain dev up`.")
    parser.add_argument("--dir", type=Path, required=True, help="the folder of the control plane")
    parser.add_argument("--config", required=True, help="components.Config as JSON")
    arguments = parser.parse_args()
    require_linux()
    layout, config = Layout(arguments.dir.resolve()), Config.from_json(arguments.config)
    lock = try_lock(layout.lock)
    if lock is None:
        return EXIT_LOCKED
    write_private(layout.root / ".gitignore", "*\n")  # keys and tokens lie here
    if not config.attached:
        _detach()
    code = Supervisor(layout, config).run()
    sys.stderr.flush()
    os._exit(code)  # the kernel drops the lock: who sees it free knows that this process is no more


if __name__ == "__main__":
    sys.exit(main())
