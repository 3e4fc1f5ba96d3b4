"""`cnichain dev`: the real parts of a cluster on this machine, for trying things out. Wired into the main program."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.dev.background import Status
from cnichain.dev.background import down as stop_control_plane
from cnichain.dev.background import status as control_plane_status
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from cnichain.dev.kubectl import Kubectl
from cnichain.dev.layout import Phase, default_dir, tail
from cnichain.dev.manifests import POOLS
from cnichain.dev.parts import Parts
from cnichain.dev.progress import Progress, duration
from cnichain.dev.toolchain import GROUPS, ensure
from cnichain.interrupt import sigterm_interrupts

PREREQUISITES = (
    ("kubectl apply --server-side -f crds/", "crd", "cnichains.cnichain.io"),
    ("kubectl apply --server-side -f deploy/base/namespace.yaml", "namespace", SYSTEM_NAMESPACE),
)
"""What `run` does not bring, since a cluster gets it the same way: the command, and what is then there."""
SETTLED_SECONDS = 2.0
"""For so long `run` looks whether operator and agents stay."""

_dir_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_dir,
    show_default="$XDG_STATE_HOME/cnichain/default",
    help="Folder of the control plane; each has its own cluster.",
)


@click.group()
def dev() -> None:
    """A local control plane with fake nodes: no container runtime, no root.

    \b
    cnichain dev up --nodes 3 --eks     a cluster like EKS, in some seconds
    export KUBECONFIG=...               as `up` prints it
    cnichain dev run                    operator and agents (CRDs first)
    cnichain dev down                   everything is gone again

    etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real programs; kwok plays kubelet. They are
    built from source once, which takes some minutes.
    """


@dev.command()
@click.option(
    "--group",
    type=click.Choice([*GROUPS, "all"]),
    default="controlplane",
    show_default=True,
    help="`node`: kubelet and the CNI plugins, for tests on a real node. `kind`: kind, for tests with Docker.",
)
def tools(group: str) -> None:
    """Build the programs, and print where they are.

    They go into $XDG_CACHE_HOME/cnichain/tools (default: ~/.cache). What is there already is not built again. Go and
    kubectl are taken from the machine when they are recent enough, else from the Python registry.
    """
    with _errors():
        toolbox = ensure(group)
        for name in sorted(toolbox.paths):
            click.echo(f"{name}\t{toolbox.path(name)}")


@dev.command()
@_dir_option
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API server on 127.0.0.1 [default: a free one]")
@click.option("--nodes", type=click.IntRange(0), default=0, show_default=True, help="Number of fake nodes.")
@click.option(
    "--pool", "pools", multiple=True, metavar="NAME", default=POOLS, show_default=True,
    help="Name of a node group; give it more than once and the nodes are shared out.",
)  # fmt: skip
@click.option(
    "--eks", is_flag=True, help="Like EKS: aws-node, kube-proxy, a folder per node, and stand-ins for Cilium."
)
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C, then stop everything.")
def up(directory: Path, port: int | None, nodes: int, pools: tuple[str, ...], eks: bool, foreground: bool) -> None:
    """Start a control plane, with an empty cluster, and return when it is ready.

    It runs on in the background until `cnichain dev down`. With --eks, the pods run no programs, so two stand-ins do
    what a chain waits for: they register Cilium's CRDs once cilium-operator is available, and put a placeholder named
    cilium-cni into a node's folder once its cilium pod is Running.
    """
    with _errors():
        toolbox = ensure("controlplane")
        started = time.monotonic()
        if foreground:
            with (
                sigterm_interrupts(),
                ControlPlane.run(
                    directory, nodes=nodes, pools=pools, eks=eks, port=port or 0, toolbox=toolbox
                ) as control_plane,
            ):
                _report_up(control_plane, eks, time.monotonic() - started)
                click.echo("Ctrl-C stops it.", err=True)
                _watch(directory)
            return
        control_plane = ControlPlane.up(directory, nodes=nodes, pools=pools, eks=eks, port=port or 0, toolbox=toolbox)
        _report_up(control_plane, eks, time.monotonic() - started)


@dev.command()
@_dir_option
@click.option(
    "--chart-dir",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    envvar="CNICHAIN_CHART_DIR",
    help="Folder of charts; left out: Cilium's Helm repository.",
)
def run(directory: Path, chart_dir: Path | None) -> None:
    """Run the operator, and an agent for each node, on the control plane that `up --eks` has started.

    They are what deploy/base runs in a cluster, as processes on this machine, since the pods of the local control plane
    run no programs. They go on in the background until `cnichain dev down`. CRDs and namespace must be there before:

    \b
    kubectl apply --server-side -f crds/
    kubectl apply --server-side -f deploy/base/namespace.yaml
    """
    with _errors():
        layout = control_plane_status(directory).layout
        toolbox = ensure("controlplane")
        parts = Parts(layout, toolbox.path("helm"))
        if not control_plane_status(directory).running:
            raise DevError(f"No control plane runs in {layout.root}. `cnichain dev up --nodes 3 --eks` starts one.")
        if not parts.folders:
            raise DevError(
                f"The control plane in {layout.root} has no node folders. Stop it with `cnichain dev down`, and start "
                "it with `cnichain dev up --nodes 3 --eks`."
            )
        if parts.running():
            raise DevError(f"The operator runs already; its log is {parts.log_of('operator')}.")
        kubectl = Kubectl(toolbox.path("kubectl"), layout.kubeconfig)
        for command, *wanted in PREREQUISITES:
            if not kubectl.run("get", *wanted, "--ignore-not-found", "--output=name").strip():
                raise DevError(f"The cluster has no {wanted[-1]} yet: {command}")
        _start(parts, chart_dir)
    click.echo(f"Operator and {len(parts.folders)} agents run. Logs: {layout.logs}", err=True)


def _start(parts: Parts, chart_dir: Path | None) -> None:
    """Start operator and agents, and look whether they end at once, as with a helm that is not there."""
    parts.start_operator(chart_dir=chart_dir)
    parts.start_agents()
    deadline = time.monotonic() + SETTLED_SECONDS
    while time.monotonic() < deadline:
        if ended := parts.ended():
            parts.stop()
            raise DevError(
                f"{ended} has ended. The end of its log, {parts.log_of(ended)}:\n{tail(parts.log_of(ended))}"
            )
        time.sleep(0.1)  # between two looks at the processes


@dev.command()
@_dir_option
def down(directory: Path) -> None:
    """Stop the control plane and wait until its last process has ended."""
    with _errors():
        progress = Progress()
        started = time.monotonic()
        if stop_control_plane(directory):
            progress.note(f"Stopped in {duration(time.monotonic() - started)}: {directory}")
        else:
            progress.note(f"No control plane runs in {directory}.")


@dev.command()
@_dir_option
def status(directory: Path) -> None:
    """Say what runs, which versions, how many nodes, and where the kubeconfig is. Exit code 1 when nothing runs."""
    with _errors():
        current = control_plane_status(directory)
        _show_status(current)
        if not current.running:
            sys.exit(1)


def _show_status(current: Status) -> None:
    state, layout = current.state, current.layout
    click.echo(f"folder      {layout.root}")
    if state is None or not current.running:
        click.echo("state       not running")
        if state is not None and state.phase is Phase.FAILED:
            click.echo(f"last run    failed: {state.error}")
        return
    click.echo(f"state       {state.phase}")
    click.echo(f"supervisor  pid {state.pid}, log {layout.supervisor_log}")
    for name, pid in state.components.items():
        click.echo(f"            {name}, pid {pid}, log {layout.logs / name}.log")
    if state.phase is not Phase.READY:
        return
    click.echo(f"server      {state.server}")
    click.echo(f"kubeconfig  {layout.kubeconfig}")
    kubectl = Kubectl(ensure("controlplane").path("kubectl"), layout.kubeconfig)
    versions = kubectl.run("version").splitlines()
    click.echo("\n".join(f"version     {line}" for line in versions))
    nodes = kubectl.run("get", "nodes", "--no-headers", "--ignore-not-found").splitlines()
    ready = sum(1 for line in nodes if line.split()[1].split(",")[0] == "Ready")
    click.echo(f"nodes       {len(nodes)}, {ready} of them Ready")


def _report_up(control_plane: ControlPlane, eks: bool, seconds: float) -> None:
    click.echo(f"Ready in {duration(seconds)}: {control_plane.server}", err=True)
    if eks:
        click.echo(f"Node folders, named as the nodes: {control_plane.nodes_dir}", err=True)
        click.echo(
            "Stand-ins run for cilium-operator (CRDs) and for cilium's install container (cilium-cni).", err=True
        )
    click.echo(f"export KUBECONFIG={control_plane.kubeconfig}")


def _watch(directory: Path) -> None:
    """Return when the control plane has ended by itself; its end is then reported by ControlPlane.run."""
    while control_plane_status(directory).running:
        time.sleep(0.5)  # between two looks at the lock


@contextmanager
def _errors() -> Iterator[None]:
    """A DevError is for the reader: its text and exit code 1, no traceback."""
    try:
        yield
    except DevError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        os._exit(1)  # the reader of our output has gone: nobody to tell
