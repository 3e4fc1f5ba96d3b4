"""The local control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok, each the real one.

    with ControlPlane.run(Path("/tmp/x"), nodes=3) as cp:
        subprocess.run([cp.kubectl, f"--kubeconfig={cp.kubeconfig}", "get", "nodes"], timeout=30, check=True)

`run` is for tests and scripts: the control plane ends with the `with` block, and with this process however that ends.
`up` is for the command line: the control plane runs on in the background until `background.down`. Each start begins
with an empty cluster. A supervisor process owns the components (supervisor.py).
"""

import json
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.dev.background import DOWN_TIMEOUT, down
from cnichain.dev.cluster import populate
from cnichain.dev.components import READY_TIMEOUT, Config
from cnichain.dev.errors import DevError
from cnichain.dev.kubectl import Kubectl
from cnichain.dev.layout import Layout, Phase, State, read_state, tail
from cnichain.dev.linux import is_locked, require_linux
from cnichain.dev.manifests import POOLS
from cnichain.dev.supervisor import EXIT_LOCKED
from cnichain.dev.toolchain import Toolbox, ensure

UP_TIMEOUT = 3 * READY_TIMEOUT
"""Seconds until ready: three groups of components start one after the other."""
_POLL = 0.05


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that is ready. Everything is on 127.0.0.1; `token` belongs to the group system:masters."""

    directory: Path
    server: str
    token: str
    kubectl: Path
    toolbox: Toolbox
    _supervisor: "_Attached | None" = None

    @property
    def kubeconfig(self) -> Path:
        return Layout(self.directory).kubeconfig

    @property
    def ca_file(self) -> Path:
        """The CA of the apiserver's certificate, PEM."""
        return Layout(self.directory).pki / "ca.crt"

    @property
    def audit_log(self) -> Path:
        """One JSON object a line, level Metadata, without the stage RequestReceived."""
        return Layout(self.directory).audit_log

    @property
    def nodes_dir(self) -> Path:
        """One folder per node, when the nodes were made with `eks`."""
        return Layout(self.directory).nodes

    @classmethod
    @contextmanager
    def run(
        cls,
        directory: Path,
        *,
        nodes: int = 0,
        pools: tuple[str, ...] = POOLS,
        eks: bool = False,
        port: int = 0,
        toolbox: Toolbox | None = None,
        large: bool = False,
    ) -> Iterator["ControlPlane"]:
        """A control plane in `directory` (made if missing) for the time of the block.

        nodes: how many EKS-like fake nodes to make, over three zones. pools: their node groups. eks: also aws-node and
        kube-proxy, a folder per node under `nodes_dir`, and the stand-ins. port: of the apiserver, 0 for a free one.
        large: for thousands of nodes, see components.Config.
        Raises DevError when it cannot be started, or when a component ended by itself during the block.
        """
        layout = Layout(directory.resolve())
        toolbox = toolbox or ensure("controlplane")
        config = _config(toolbox, port=port, attached=True, stand_ins=eks, large=large)
        with _attached(layout, config) as supervisor:
            state = _wait_ready(layout, config.run_id, supervisor.process.poll)
            control_plane = cls._of(layout, state, toolbox, supervisor)
            control_plane.populate(nodes, eks=eks, pools=pools)
            yield control_plane
            _raise_if_ended(layout, supervisor.process)

    @classmethod
    def up(
        cls,
        directory: Path,
        *,
        nodes: int = 0,
        pools: tuple[str, ...] = POOLS,
        eks: bool = False,
        port: int = 0,
        toolbox: Toolbox | None = None,
    ) -> "ControlPlane":
        """As `run`, but it goes on in the background until `down`."""
        layout = Layout(directory.resolve())
        toolbox = toolbox or ensure("controlplane")
        config = _config(toolbox, port=port, attached=False, stand_ins=eks)
        _launch_detached(layout, config)
        try:
            state = _wait_ready(layout, config.run_id, lambda: None if is_locked(layout.lock) else 1)
            control_plane = cls._of(layout, state, toolbox, None)
            control_plane.populate(nodes, eks=eks, pools=pools)
        except BaseException:  # Ctrl-C too: no half of a cluster goes on in the background
            down(directory)
            raise
        return control_plane

    @classmethod
    def _of(cls, layout: Layout, state: State, toolbox: Toolbox, supervisor: "_Attached | None") -> "ControlPlane":
        return cls(layout.root, state.server, state.token, toolbox.path("kubectl"), toolbox, supervisor)

    def run_kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 30.0) -> str:
        """Standard output of kubectl as administrator. DevError with kubectl's own words when it fails."""
        return Kubectl(self.kubectl, self.kubeconfig).run(*arguments, stdin=stdin, timeout=timeout)

    def kubeconfig_of(self, account: str, folder: Path, *, hours: int = 1) -> Path:
        """A kubeconfig with a token of a service account of the operator's namespace, in a folder. DevError: see above.

        hours: for which the token is good.
        """
        arguments = ("create", "token", account, f"--namespace={SYSTEM_NAMESPACE}", f"--duration={hours}h")
        token = self.run_kubectl(*arguments, timeout=60.0).strip()
        config = json.loads(self.kubeconfig.read_text(encoding="utf-8"))
        config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
        path = folder / f"{account}.kubeconfig"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def populate(self, nodes: int, *, eks: bool, pools: tuple[str, ...] = POOLS) -> None:
        """Make the nodes 0 to `nodes` - 1 and wait until they are Ready (cluster.populate); none: nothing happens."""
        if nodes:
            populate(Kubectl(self.kubectl, self.kubeconfig), self.nodes_dir, nodes, eks=eks, pools=pools)

    def pid(self, component: str) -> int:
        """Process id of a component, as "kube-scheduler"; DevError when it is not running."""
        state = read_state(Layout(self.directory))
        if state is None or component not in state.components:
            raise DevError(f"{component} does not run in {self.directory}.")
        return state.components[component]

    def stop_apiserver(self) -> None:
        """End the apiserver alone (SIGTERM, then wait): connections are refused until `start_apiserver`."""
        self._command("stop kube-apiserver")

    def start_apiserver(self) -> None:
        """Start it again on the same port with the same data, and wait until it is ready."""
        self._command("start kube-apiserver")

    def kill(self, component: str) -> None:
        """End a component alone by SIGKILL, as "etcd"; what it has written to its disk stays."""
        self._command(f"kill {component}")

    def start(self, component: str) -> None:
        """Start a component that was ended on purpose, with the data that it had, and wait until it is ready."""
        self._command(f"start {component}")

    def _command(self, command: str) -> None:
        if self._supervisor is None:
            raise DevError("Only a control plane of ControlPlane.run takes commands.")
        self._supervisor.command(command)


@dataclass(frozen=True)
class _Attached:
    """The supervisor as a child of this process; it ends when the pipe to its standard input is closed."""

    process: subprocess.Popen[bytes]

    def command(self, line: str) -> None:
        if self.process.stdin is None or self.process.stdout is None:
            raise AssertionError("the supervisor was started with pipes")
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise DevError(f"The control plane has ended; {line!r} came too late.") from error
        readable, _, _ = select.select([self.process.stdout], [], [], UP_TIMEOUT)
        answer = self.process.stdout.readline().decode().strip() if readable else ""
        if answer != "ok":
            raise DevError(f"The supervisor did not {line}: {answer or 'no answer'}.")


def _config(toolbox: Toolbox, *, port: int, attached: bool, stand_ins: bool, large: bool = False) -> Config:
    names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "cilium-crds")
    return Config(
        run_id=secrets.token_hex(8),
        programs={name: str(toolbox.path(name)) for name in names},
        port=port,
        attached=attached,
        stand_ins=stand_ins,
        large=large,
    )


def _prepare(layout: Layout, config: Config) -> list[str]:
    """Check what can be checked before the start; returns the supervisor's command line."""
    require_linux()
    if layout.root.exists() and not layout.lock.exists() and any(layout.root.iterdir()):
        raise DevError(
            f"{layout.root} is not empty and not the folder of a control plane: nothing in it was touched. "
            "Choose another --dir, or empty it."
        )
    layout.root.mkdir(parents=True, exist_ok=True)
    module = [sys.executable, "-m", "cnichain.dev.supervisor"]
    return [*module, f"--dir={layout.root}", f"--config={config.to_json()}"]


def _launch_detached(layout: Layout, config: Config) -> None:
    argv = _prepare(layout, config)
    with layout.supervisor_log.open("ab") as log:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, timeout=60, check=False
        )
    if done.returncode == EXIT_LOCKED:
        raise _already_runs(layout)
    if done.returncode != 0:
        raise DevError(f"The supervisor did not start (exit code {done.returncode}). {_supervisor_tail(layout)}")


@contextmanager
def _attached(layout: Layout, config: Config) -> Iterator[_Attached]:
    argv = _prepare(layout, config)
    with (
        layout.supervisor_log.open("ab") as log,
        # A session of its own: Ctrl-C reaches this process alone, which then ends the control plane in order.
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            yield _Attached(process)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            _wait_end(process)


def _wait_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=DOWN_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()  # its children die with it


def _wait_ready(layout: Layout, run_id: str, exit_code: Callable[[], int | None]) -> State:
    """The state of the run once it is ready. exit_code: of the supervisor, None while it lives."""
    deadline = time.monotonic() + UP_TIMEOUT
    while True:
        code = exit_code()  # before the state is read: the state is final once the supervisor has gone
        state = read_state(layout)
        if state is not None and state.run_id == run_id:
            if state.phase is Phase.READY:
                return state
            if state.phase is Phase.FAILED:
                raise DevError(state.error)
        if code == EXIT_LOCKED:
            raise _already_runs(layout)
        if code is not None:
            raise DevError(f"The supervisor ended before the control plane was ready. {_supervisor_tail(layout)}")
        if time.monotonic() > deadline:
            raise DevError(f"The control plane was not ready within {UP_TIMEOUT:.0f} s. {_supervisor_tail(layout)}")
        time.sleep(_POLL)  # between two looks at the state file


def _raise_if_ended(layout: Layout, supervisor: subprocess.Popen[bytes]) -> None:
    """A control plane that ended during the block is the cause of whatever else went wrong there: say so."""
    state = read_state(layout)
    if state is not None and state.phase is not Phase.READY:
        raise DevError(state.error or f"The control plane was stopped from outside. {_supervisor_tail(layout)}")
    if supervisor.poll() is not None:
        raise DevError(f"The supervisor was killed during the run. {_supervisor_tail(layout)}")


def _supervisor_tail(layout: Layout) -> str:
    return f"The end of {layout.supervisor_log}:\n{tail(layout.supervisor_log)}"


def _already_runs(layout: Layout) -> DevError:
    return DevError(
        f"A control plane already runs in {layout.root}. Use it (`export KUBECONFIG={layout.kubeconfig}`), stop it "
        f"with `cnichain dev down --dir {layout.root}`, or choose another --dir."
    )
