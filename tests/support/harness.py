"""The operator as a process against a real control plane: started, watched, stopped, its log kept."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import auditlog
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.manifests import POOLS
from cnichain.dev.nodefolder import NodeFolder
from reads import Reads

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 150.0
LOOK_SECONDS = 0.1
AT_ONCE = {"canary": {"nodes": 0, "soak": "0s"}, "maxUnavailable": "100%"}
"""What most tests are not about: three nodes one after the other would only take longer."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}

Object = dict[str, Any]


@dataclass
class Harness:
    """A control plane of a test's own, and what tests do with it."""

    control_plane: ControlPlane
    work: Path
    chart_dir: Path
    logs: list[Path] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Every operator and agent that was started, the newest last."""
    by: tuple[str, ...] = ()
    """A command that becomes the operator, as `env` does."""
    reads: Reads = field(init=False)
    """Direct while a test waits, as it asks ten times a second then; else it sees what a user sees by kubectl."""

    def __post_init__(self) -> None:
        self.reads = Reads(self.control_plane, is_direct=False)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output of kubectl; a failure fails the test with kubectl's words."""
        return self.control_plane.run_kubectl(*arguments, stdin=stdin, timeout=60)

    def get(self, *arguments: str) -> Object:
        """An object, or a list of them, as `kubectl get` shows it as JSON, and failing as kubectl does."""
        return self.reads.get(*arguments)

    def exists(self, *arguments: str) -> bool:
        """Whether an object is there."""
        return self.reads.exists(*arguments)

    def apply_chain(self, spec: Object, name: str = "default") -> None:
        """Apply a CNIChain as a user would; if the spec does not say otherwise, with all nodes in one wave."""
        spec = {**spec, "rollout": {**AT_ONCE, **spec.get("rollout", {})}}
        body = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChain", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(body))

    def delete_chain(self, name: str = "default") -> None:
        """Delete a CNIChain and wait until it is gone."""
        self.kubectl("delete", "cnichain", name, "--timeout=30s", "--ignore-not-found")

    def conditions(self, name: str = "default") -> dict[str, Object]:
        """The conditions of a CNIChain by type."""
        status = self.get("cnichain", name).get("status") or {}
        return {item["type"]: item for item in status.get("conditions") or []}

    def reasons_of_events(self) -> set[str]:
        """Reason codes of all events that the operator has posted."""
        items = self.get("events", "--namespace=default")["items"]
        return {item["reason"] for item in items if item["source"].get("component") == "cnichain-operator"}

    def wait(self, what: str, check: Callable[[], object], seconds: float = READY_SECONDS) -> Any:
        """The first true answer of `check`; fails the test with the story so far when there is none in time."""
        deadline = time.monotonic() + seconds
        while True:
            if found := self._look(check):
                return found
            if time.monotonic() > deadline:
                said = json.dumps(self.get("cnichain"), indent=1)[-6000:]
                logs = "\n".join(path.read_text(encoding="utf-8")[-6000:] for path in self.logs)
                pytest.fail(f"not within {seconds:.0f} s: {what}\n--- CNIChains\n{said}\n--- operator\n{logs}")
            time.sleep(LOOK_SECONDS)

    def _look(self, check: Callable[[], object]) -> object:
        outer, self.reads.is_direct = self.reads.is_direct, True
        try:
            return check()
        finally:
            self.reads.is_direct = outer

    def wait_reason(self, condition: str, reason: str, name: str = "default") -> Object:
        """Wait until a condition has a reason; the condition."""
        found: Object = self.wait(
            f"{condition} with reason {reason}",
            lambda: (
                self.conditions(name).get(condition, {}).get("reason") == reason and self.conditions(name)[condition]
            ),
        )
        return found

    def wait_ready(self) -> Object:
        """Wait until the chain is Ready as its newest spec wants it; the condition."""
        self.wait_through()
        return self._ready()

    def wait_through(self, seconds: float = READY_SECONDS) -> None:
        """Wait until the chain is Ready as its newest spec wants it."""

        def is_through() -> bool:
            chain = self.get("cnichain", "default")
            found = [item for item in (chain.get("status") or {}).get("conditions") or [] if item["type"] == "Ready"]
            generation = chain["metadata"]["generation"]
            return any(item["status"] == "True" and item["observedGeneration"] == generation for item in found)

        self.wait("Ready is True for the newest spec", is_through, seconds)

    def _ready(self) -> Object:
        found: Object = self.conditions().get("Ready", {})
        return found

    def wait_quiet(self, requests: Callable[[], int]) -> None:
        """Wait until no request was made for two seconds: the last pass is over. requests: how many so far."""
        last = (-1, 0.0)

        def quiet() -> bool:
            nonlocal last
            count = requests()
            if count != last[0]:
                last = (count, time.monotonic())
            return time.monotonic() - last[1] > 2

        self.wait("the operator is quiet", quiet, 60)

    def wait_log(self, text: str, seconds: float) -> None:
        """Wait until the operator's log has a text."""
        self.wait(f"{text!r} in the operator's log", lambda: text in self.logs[-1].read_text(encoding="utf-8"), seconds)

    @contextmanager
    def operator(self, *, without: tuple[str, ...] = (), **options: str) -> Iterator[Path]:
        """The operator as a process; its log.

        Options override the usual ones (`helm="/x"` is `--helm=/x`); those named in `without` are left out.
        """
        usual = {
            "kubeconfig": str(self.control_plane.kubeconfig),
            "helm": str(self.control_plane.toolbox.path("helm")),
            "chart_dir": str(self.chart_dir),
            "cache_dir": str(self.work / "cache"),
            # Tests end one by SIGKILL and start the next at once, which would wait for the end of the lease.
            "leader_elect": "false",
        }
        flags = [
            f"--{name.replace('_', '-')}={value}" for name, value in (usual | options).items() if name not in without
        ]
        log = self.work / f"operator-{len(self.logs)}.log"
        self.logs.append(log)
        with self._process([*self.by, sys.executable, "-m", "cnichain.cli.main", "operator", *flags], log):
            yield log

    def kill_operator(self) -> None:
        """End the newest operator by SIGKILL, as a node that dies does."""
        process = next(one for one in reversed(self.processes) if "operator" in one.args)  # type: ignore[operator]
        process.kill()
        process.wait(timeout=20)

    @contextmanager
    def agents(self, kubeconfig: Path | None = None) -> Iterator[list[NodeFolder]]:
        """An agent per node; the folders of the nodes."""
        folders = [NodeFolder(path) for path in sorted(self.control_plane.nodes_dir.iterdir())]
        with ExitStack() as stack:
            for folder in folders:
                stack.enter_context(self.agent(folder, kubeconfig))
            yield folders

    @contextmanager
    def agent(
        self, folder: NodeFolder, kubeconfig: Path | None = None, *, cilium_health_url: str = "", metrics_port: int = 0
    ) -> Iterator[None]:
        """The agent of one node, which has no runtime, and no Cilium that answers unless its address is given."""
        command = [
            *(sys.executable, "-m", "cnichain.node"),
            f"--node-name={folder.root.name}",
            f"--cni-conf-dir={folder.conf_dir}",
            f"--cni-bin-dir={folder.bin_dir}",
            f"--state-dir={folder.state_dir}",
            f"--kubeconfig={kubeconfig or self.control_plane.kubeconfig}",
            "--health-port=0",
            f"--metrics-port={metrics_port}",
            f"--cilium-health-url={cilium_health_url}",
            "--cilium-down-grace=2",
            "--report-spread=0.1",
            "--runtime-socket=",
        ]
        with self._process(command, self.work / f"agent-{folder.root.name}.log"):
            yield

    @contextmanager
    def hollow_agents(self) -> Iterator[Path]:
        """An agent per node, all of them in one process; its log."""
        log = self.work / "hollow.log"
        command = [
            *(sys.executable, "-m", "cnichain.dev.hollow"),
            f"--nodes-dir={self.control_plane.nodes_dir}",
            f"--kubeconfig={self.control_plane.kubeconfig}",
        ]
        with self._process(command, log):
            yield log

    @contextmanager
    def _process(self, command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
        with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
            self.processes.append(process)
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    pytest.fail(f"{command} did not stop within 20 s of SIGTERM; its log: {log.read_text()[-2000:]}")

    def kubeconfig_of(self, account: str) -> Path:
        """A kubeconfig with a token of a service account of the operator's namespace."""
        return self.control_plane.kubeconfig_of(account, self.work)

    def audit(self, start: int = 0) -> list[Object]:
        """Everybody's requests from line `start` of the audit log on."""
        return auditlog.entries(self.control_plane.audit_log, start)

    def audited(self, start: int = 0, agent: str = "cnichain-operator") -> list[Object]:
        """The same of one program alone, by the beginning of its user agent: the operator's, if none is named."""
        return auditlog.entries(self.control_plane.audit_log, start, agent)

    def audit_length(self) -> int:
        """How many lines the audit log has."""
        return len(auditlog.whole_lines(self.control_plane.audit_log))


@contextmanager
def harness(work: Path, chart_dir: Path, *, nodes: int = 3, pools: tuple[str, ...] = POOLS) -> Iterator[Harness]:
    """A fresh control plane with EKS-like nodes of these node groups, the CRDs and the operator's namespace."""
    with ControlPlane.run(work / "cp", nodes=nodes, pools=pools, eks=True) as control_plane:
        for path in ("crds", "deploy/base/namespace.yaml"):
            control_plane.run_kubectl("apply", "--server-side", f"--filename={ROOT / path}")
        control_plane.run_kubectl("wait", "--for=condition=Established", f"--filename={ROOT / 'crds'}", "--timeout=30s")
        yield Harness(control_plane, work, chart_dir)
