"""The node agent's program: `cnichain-agent`, or `python -m cnichain.node`."""

import argparse
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cnichain import __version__
from cnichain.node.access import from_kubeconfig, in_cluster
from cnichain.node.alarm import Alarm
from cnichain.node.api_client import ApiClient, ApiConfigError
from cnichain.node.cilium import GRACE, CiliumHealthError, CiliumWatcher
from cnichain.node.guard import Guard, Options
from cnichain.node.health import EVERYWHERE, LOOPBACK, Page, PageServer, health_page
from cnichain.node.holding import UNASKED, USUAL
from cnichain.node.log import LEVELS, log
from cnichain.node.metrics import CONTENT_TYPE, Seen, exposition
from cnichain.node.report import Reporter, SpecIntake, SpecWatcher
from cnichain.node.runtime import SOCKETS, RuntimeWatcher
from cnichain.node.state import StateDir, StateDirError

_LOCK_RETRY = 0.5
"""Seconds between two tries for the lock that another agent has; the system tells nobody when it is free."""


def main(argv: list[str] | None = None) -> int:
    """Runs the agent until SIGTERM or SIGINT. argv: arguments without the program's name.

    Returns 0 after a signal, 1 when a thread failed or the state folder or a port cannot be used, 2 for wrong
    arguments.
    """
    options = _parser().parse_args(argv)
    log.set_level(options.log_level)
    # A thread that speaks with the API has the interpreter for 5 ms by default, and an event would wait for it.
    sys.setswitchinterval(0.0005)
    if not options.node_name:
        log.error("No node name: give --node-name or set NODE_NAME (in a pod: fieldRef spec.nodeName)")
        return 2
    try:
        access = (
            from_kubeconfig(options.kubeconfig, options.api_server)
            if options.kubeconfig
            else in_cluster(os.environ, options.api_server)
        )
        client = ApiClient(access, options.node_name)
    except ApiConfigError as error:
        log.error(str(error))
        return 2
    try:
        return _run(options, client)
    except CiliumHealthError as error:
        log.error(str(error))
        return 2
    except StateDirError as error:
        log.error(str(error))
        return 1


def _run(options: argparse.Namespace, client: ApiClient) -> int:
    """Two agents never guard at once: the second one waits, ready to take over, until the first one has ended."""
    state = StateDir(options.state_dir)
    holds = USUAL if options.cilium_health_url else UNASKED
    reporter = Reporter(client, replace(holds, repair=options.report_spread))
    alarm = Alarm(options.cni_conf_dir, options.cni_bin_dir)
    cilium = CiliumWatcher(options.cilium_health_url, options.cilium_down_grace, alarm.wake)
    sockets = SOCKETS if options.runtime_socket is None else (Path(options.runtime_socket),)
    runtime = RuntimeWatcher(sockets, options.poll_seconds, alarm.wake) if options.runtime_socket != "" else None
    guard = Guard(_guard_options(options), state, reporter.publish, alarm, cilium, runtime, gc.collect)
    watcher = SpecWatcher(client, SpecIntake(client, reporter, state, guard.give_spec))
    _stop_on_signal(alarm)
    crashed = _stop_on_crash(guard)
    servers: list[PageServer] = []
    try:
        if not _serve(options, guard, reporter, servers):
            return 1
        if not _wait_for_lock(state, guard):
            return 0
        fields = {"node": options.node_name, "confDir": str(options.cni_conf_dir), "pid": os.getpid()}
        log.info("Guarding", **fields)
        for thread in (reporter, watcher, cilium, *([runtime] if runtime else [])):
            thread.start()
        _collect_between_looks()
        guard.run()
    finally:
        cilium.stop()
        if runtime is not None:
            runtime.stop()
        watcher.stop()
        reporter.stop()
        client.close()
        for server in servers:
            server.close()
        state.close()
    log.info("Stopped; every file stays as it is")
    return 1 if crashed else 0


def _collect_between_looks() -> None:
    """The guard collects garbage after each look, so none is collected in the middle of a repair.

    What is loaded by now stays for ever, and no collection has to go through it. The threshold is for the other
    threads: nothing that they do between two looks comes near it.
    """
    gc.freeze()
    gc.set_threshold(20_000)


def _wait_for_lock(state: StateDir, guard: Guard) -> bool:
    """True when the lock is ours, False when the agent was told to stop first."""
    if state.lock():
        return True
    log.warning("Another agent guards this node; waiting until it ends")
    while not guard.wait_for_stop(_LOCK_RETRY):
        if state.lock():
            guard.reload()  # the other one has gone on since this one started
            return True
    return False


def _guard_options(options: argparse.Namespace) -> Options:
    return Options(options.cni_conf_dir, options.cni_bin_dir, options.poll_seconds, __version__)


def _stop_on_signal(alarm: Alarm) -> None:
    """A signal only asks to stop and wakes the loop: a write that has begun is finished, nothing else is changed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: alarm.stop())
    signal.set_wakeup_fd(alarm.wake_write, warn_on_full_buffer=False)


def _stop_on_crash(guard: Guard) -> list[str]:
    """Half an agent is worse than none that is started anew: a thread that dies ends the process. Its name is kept."""
    crashed: list[str] = []

    def stop(args: threading.ExceptHookArgs) -> None:
        import traceback  # noqa: PLC0415 - only for a crash; it costs 0.15 MB

        name = args.thread.name if args.thread else "unknown"
        trace = "".join(traceback.format_exception(args.exc_value)) if args.exc_value else str(args.exc_type)
        log.error("A thread failed; stopping, to be started anew", thread=name, exception=trace)
        crashed.append(name)
        guard.stop()

    threading.excepthook = stop
    return crashed


def _serve(options: argparse.Namespace, guard: Guard, reporter: Reporter, servers: list[PageServer]) -> bool:
    """Serves health on the loopback and metrics on all addresses, each where a port is given; False when one is taken.

    Two servers, since anyone in the network may keep the one for metrics busy. servers: takes those that run.
    """
    metrics = {"/metrics": lambda: Page(exposition(_seen(guard, reporter)), content_type=CONTENT_TYPE)}
    for name, host, port, pages in (
        ("health", LOOPBACK, options.health_port, _health_pages(options, guard, reporter)),
        ("metrics", EVERYWHERE, options.metrics_port, metrics),
    ):
        if not port:
            continue
        try:
            server = PageServer(name, host, port, pages)
        except OSError as error:
            log.error(f"The {name} port cannot be used", port=port, error=str(error))
            return False
        servers.append(server)
        server.start()
    return True


def _seen(guard: Guard, reporter: Reporter) -> Seen:
    return Seen(
        version=__version__,
        status=guard.status,
        verified=guard.verified,
        verified_at=guard.verified_at,
        held_back=guard.held_back,
        reported=reporter.reported,
        report_errors=reporter.errors,
    )


def _health_pages(options: argparse.Namespace, guard: Guard, reporter: Reporter) -> dict[str, Callable[[], Page]]:
    patience = 2 * options.poll_seconds + 30

    def alive() -> str:
        idle = time.monotonic() - guard.progress
        return f"no look at the node for {idle:.0f} s" if idle > patience else ""

    def ready() -> str:
        return "" if guard.verified or reporter.reported else "the chain is neither verified nor its state reported"

    return {"/healthz": health_page(alive), "/readyz": health_page(ready)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cnichain-agent",
        description="Keeps the chained CNI configuration of one node right: the primary CNI first, then cilium-cni.",
        # With a width of its own argparse does not load shutil, bz2 and lzma to find that of a terminal.
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100),
    )
    add = parser.add_argument
    add("--node-name", default=os.environ.get("NODE_NAME", ""), help="name of this node (default: $NODE_NAME)")
    add("--cni-conf-dir", type=Path, default=Path("/etc/cni/net.d"), help="CNI configuration folder (%(default)s)")
    add("--cni-bin-dir", type=Path, default=Path("/opt/cni/bin"), help="CNI plugin binaries (%(default)s)")
    add("--state-dir", type=Path, default=Path("/var/lib/cnichain"), help="the agent's own folder (%(default)s)")
    add("--kubeconfig", type=Path, help="kubeconfig with a token or client certificate (default: service account)")
    add("--api-server", help="URL that takes the place of the one in the kubeconfig or the pod's environment")
    add("--poll-seconds", type=_seconds, default=30.0, help="seconds between looks without an event (%(default)s)")
    shown = " or ".join(str(path) for path in SOCKETS)
    add("--runtime-socket", help=f"the container runtime's CRI socket; empty asks none (default: {shown})")
    url = "http://127.0.0.1:9879/healthz"
    add("--cilium-health-url", default=url, help="Cilium's health check; empty asks nothing (%(default)s)")
    help_ = "seconds without an answer after which Cilium is down (%(default)s)"
    add("--cilium-down-grace", type=_seconds, default=GRACE, help=help_)
    help_ = "a repair is reported within so many seconds, each agent at a moment of its own (%(default)s)"
    add("--report-spread", type=_seconds, default=USUAL.repair, help=help_)
    add("--health-port", type=_port, default=0, help="127.0.0.1 port for /healthz and /readyz; 0 is off (%(default)s)")
    add("--metrics-port", type=_port, default=0, help="port of all addresses for /metrics; 0 is off (%(default)s)")
    add("--log-level", choices=LEVELS, default="info", help="(%(default)s)")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 3600 seconds")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return value
