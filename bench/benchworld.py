"""A control plane with fake nodes, hollow agents and the operator's process, for benchmarks."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditcount import AGENTS, AuditLog, Request
from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.dev import manifests
from cnichain.dev.cluster import apply, make_node_folders
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.kubectl import Kubectl
from cnichain.dev.nodefolder import NodeFolder
from rig import HERE, BenchError

ROOT = HERE.parent
CHAINS = "/apis/cnichain.io/v1alpha1/cnichains"
CHAIN_NODES = "/apis/cnichain.io/v1alpha1/cnichainnodes"
CILIUM_PODS = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium"
VERSION = "1.17.18"
"""Of Cilium, where none is named."""
AT_ONCE = {"canary": {"nodes": 0, "soak": "0s"}, "maxUnavailable": "100%"}
"""All nodes in one wave without a soak: what is measured is work, not waiting that the user asked for."""
ROLES = ("rbac.yaml", "rbac-calico.yaml")
LARGE = 500
"""From so many nodes on the control plane is one for many (`large` in cnichain/dev/components.py)."""
AGENTS_IN_A_PROCESS = 2500
"""Each needs four open files, and a process often has no more than 20,000."""
AT_A_TIME = 500
"""Nodes in one `kubectl apply`, and objects in one page."""
_LOOK = 0.1
ANSWER_SECONDS = 120.0
TRIES = 5
"""For one read. The machine may be so busy, with thousands of agents that all report at once, that one is not answered
in time."""
_BUSY = frozenset({429, 503, 504})
"""Codes by which the API server asks for patience."""
_IDLE = 20.0
"""Seconds without a request after which a connection is not used again: the API server ends it after 90."""

Object = dict[str, Any]


def chart_folder() -> Path:
    """The folder of the official charts: CHART_DIR, else ../shared/charts. Raises BenchError when there are none."""
    folder = Path(os.environ.get("CHART_DIR") or ROOT.parent / "shared" / "charts")
    if not (folder / f"cilium-{VERSION}.tgz").is_file():
        raise BenchError(f"no chart of Cilium {VERSION} in {folder}; name the folder of the charts with CHART_DIR")
    return folder


def say(text: str) -> None:
    """Progress, beside the result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def wait_for(what: str, check: Callable[[], object], seconds: float, look: float = _LOOK) -> float:
    """Wait until `check` is true; the monotonic time at which it was. Raises BenchError."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {seconds:.0f} s: {what}")
        time.sleep(look)
    return time.monotonic()


class Api:
    """Reads by one connection to the API server, which answers kubectl's way would take a process each."""

    def __init__(self, control_plane: ControlPlane) -> None:
        parts = urllib.parse.urlsplit(control_plane.server)
        context = ssl.create_default_context(cafile=str(control_plane.ca_file))
        self._connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=ANSWER_SECONDS, context=context
        )
        self._used = time.monotonic()
        self._headers = {"Authorization": f"Bearer {control_plane.token}", "User-Agent": "benchmark"}

    def raw(self, path: str) -> bytes | None:
        """The answer to a GET; None when there is nothing. Raises BenchError for every other answer."""
        code, body = self._answered(path)
        if code == 404:
            return None
        if code != 200:
            raise BenchError(f"GET {path} was answered {code}: {body[:300].decode(errors='replace')}")
        return body

    def _answered(self, path: str) -> tuple[int, bytes]:
        """Code and body, after as many tries as it takes."""
        attempt = 0
        while True:
            attempt += 1
            try:
                code, body = self._asked(path)
                if code not in _BUSY:
                    return code, body
                why = f"{code} {body[:300].decode(errors='replace')}"
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                why = str(error)
            if attempt == TRIES:
                raise BenchError(f"GET {path} had no answer, {TRIES} times: {why}")
            say(f"GET {path} had no answer, {attempt} of {TRIES} times: {why}")
            time.sleep(attempt)

    def _asked(self, path: str) -> tuple[int, bytes]:
        if time.monotonic() - self._used > _IDLE:
            self._connection.close()  # it is opened again with the next request
        self._used = time.monotonic()
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def get(self, path: str) -> Object | None:
        """The object at a path, if it is there."""
        body = self.raw(path)
        return None if body is None else json.loads(body)

    def all(self, path: str) -> list[Object]:
        """All objects of a list, page by page."""
        items: list[Object] = []
        more = ""
        while True:
            answer = self.get(f"{path}{'&' if '?' in path else '?'}limit={AT_A_TIME}{more}") or {}
            items += answer.get("items") or []
            following = (answer.get("metadata") or {}).get("continue")
            if not following:
                return items
            more = f"&continue={urllib.parse.quote(following)}"


@dataclass
class World:
    """One cluster. operator, agents: their processes, once they are started."""

    control_plane: ControlPlane
    work: Path
    charts: Path
    nodes: int
    api: Api
    audit: AuditLog
    pids: dict[str, int] = field(default_factory=dict)
    """operator and agents, while they run."""
    metrics_port: int = 0
    health_port: int = 0

    def folders(self) -> list[NodeFolder]:
        """The folder of each node."""
        return [NodeFolder(path) for path in sorted(self.control_plane.nodes_dir.iterdir())]

    def chain(self) -> Object:
        """The CNIChain, or nothing."""
        return self.api.get(f"{CHAINS}/default") or {}

    def is_ready(self) -> bool:
        """Whether the CNIChain is Ready for its newest spec, with every node verified."""
        chain = self.chain()
        status = chain.get("status") or {}
        generation = (chain.get("metadata") or {}).get("generation")
        ready = [item for item in status.get("conditions") or [] if item["type"] == "Ready"]
        verified = (status.get("nodes") or {}).get("verified")
        return verified == self.nodes and any(
            item["status"] == "True" and item.get("observedGeneration") == generation for item in ready
        )

    def settle(
        self,
        quiet: float,
        at_most: float,
        counts: Callable[[Request], bool] = lambda one: one.is_change,
        look: float = 1.0,
    ) -> None:
        """Wait until there was no request that counts for `quiet` seconds; after `at_most` seconds go on all the same.

        counts: left out, what neither operator nor agents may do at rest. look: seconds between two looks.
        """
        last, place = time.monotonic(), self.audit.here()
        deadline = last + at_most
        while time.monotonic() < min(deadline, last + quiet):
            time.sleep(look)
            here = self.audit.here()
            if any(counts(one) for one in self.audit.since(place)):
                last = time.monotonic()
            place = here

    def chain_text(self, **spec: Any) -> str:
        """The CNIChain that is installed here, as JSON."""
        wanted = {"cilium": {"version": VERSION}, "rollout": AT_ONCE, **spec}
        body = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChain", "metadata": {"name": "default"}}
        return json.dumps(body | {"spec": wanted})

    def install(self, seconds: float, look: float = _LOOK, **spec: Any) -> float:
        """Seconds from `kubectl apply` of the CNIChain until it is Ready."""
        begun = time.monotonic()
        self.control_plane.run_kubectl("apply", "--filename=-", stdin=self.chain_text(**spec))
        return wait_for("the CNIChain is Ready", self.is_ready, seconds, look) - begun

    @contextmanager
    def operator(self, *options: str, kubeconfig: Path | None = None) -> Iterator[int]:
        """The operator as it is deployed, with leader election, metrics and health; its process id.

        kubeconfig: of the account that it runs under; left out: an administrator's.
        """
        self.metrics_port, self.health_port = free_port(), free_port()
        command = [
            *(sys.executable, "-m", "cnichain.cli.main", "operator"),
            f"--kubeconfig={kubeconfig or self.control_plane.kubeconfig}",
            f"--helm={self.control_plane.toolbox.path('helm')}",
            f"--chart-dir={self.charts}",
            f"--cache-dir={self.work / 'cache'}",
            f"--metrics-port={self.metrics_port}",
            f"--health-port={self.health_port}",
            *options,
        ]
        with self._process("operator", command) as pid:
            yield pid

    @contextmanager
    def agents(self, nodes_dir: Path | None = None, kubeconfig: Path | None = None) -> Iterator[list[int]]:
        """The agent of each node, thousands in one process (cnichain.dev.hollow); the ids of the processes.

        nodes_dir: the folders of the nodes that get one, if not all do. kubeconfig: as the operator's.
        """
        parts = -(-self.nodes // AGENTS_IN_A_PROCESS)
        with ExitStack() as stack:
            pids = []
            names = [AGENTS] if parts == 1 else [f"{AGENTS}-{part}" for part in range(1, parts + 1)]
            for part, name in enumerate(names, 1):
                command = [
                    # On nodes of their own they take no CPU from the API server.
                    *("nice", "-n", "10", sys.executable, "-m", "cnichain.dev.hollow"),
                    f"--nodes-dir={nodes_dir or self.control_plane.nodes_dir}",
                    f"--kubeconfig={kubeconfig or self.control_plane.kubeconfig}",
                    f"--part={part}/{parts}",
                ]
                pids.append(stack.enter_context(self._process(name, command)))
            guarding = [self.work / f"{name}.log" for name in names]
            wait_for("the agents guard their nodes", lambda: all(map(_is_guarding, guarding)), 30 + self.nodes * 0.05)
            yield pids

    @contextmanager
    def agent(self, folder: NodeFolder, kubeconfig: Path) -> Iterator[int]:
        """The agent of one node as a process of its own, with what there is on a fake node; its process id."""
        command = [
            *(sys.executable, "-m", "cnichain.node"),
            f"--node-name={folder.root.name}",
            f"--cni-conf-dir={folder.conf_dir}",
            f"--cni-bin-dir={folder.bin_dir}",
            f"--state-dir={folder.state_dir}",
            f"--kubeconfig={kubeconfig}",
            *("--runtime-socket=", "--cilium-health-url="),
            f"--health-port={free_port()}",
            f"--metrics-port={free_port()}",
        ]
        with self._process("agent", command) as pid:
            yield pid

    def accounts(self) -> tuple[Path, Path]:
        """Make the service accounts of operator and agents, with the roles that are deployed; a kubeconfig of each.

        Their tokens are good for a day.
        """
        for name in ROLES:
            self.control_plane.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy' / 'base' / name}")
        operator, agent = (
            self.control_plane.kubeconfig_of(account, self.work, hours=24)
            for account in ("cnichain-operator", "cnichain-agent")
        )
        return operator, agent

    @contextmanager
    def _process(self, name: str, command: list[str]) -> Iterator[int]:
        log = self.work / f"{name}.log"
        # As in the image: a program whose modules are compiled at its start keeps some MB of the compiler's.
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output, env=env) as process:
            self.pids[name] = process.pid
            try:
                yield process.pid
            except BenchError as error:
                end = log.read_text(encoding="utf-8", errors="replace")[-3000:]
                raise BenchError(f"{error}\n--- the end of the log of {name}\n{end}") from error
            finally:
                del self.pids[name]
                process.terminate()
                try:
                    process.wait(timeout=40)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(timeout=20)


def _is_guarding(log: Path) -> bool:
    """Whether hollow agents have said in their log that all of them run."""
    return '"Guarding"' in log.read_text(encoding="utf-8", errors="replace")


def free_port() -> int:
    """A TCP port of this machine that nobody has."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@contextmanager
def benchmark_world(work: Path, nodes: int) -> Iterator[World]:
    """A fresh control plane with so many EKS-like nodes, the CRDs and the operator's namespace."""
    charts = chart_folder()
    with ControlPlane.run(work / "cp", nodes=0, eks=True, large=nodes >= LARGE) as control_plane:
        kubectl = Kubectl(control_plane.kubectl, control_plane.kubeconfig)
        world = World(control_plane, work, charts, nodes, Api(control_plane), AuditLog(control_plane.audit_log))
        _populate(world, kubectl)
        for path in ("crds", "deploy/base/namespace.yaml"):
            kubectl.run("apply", "--server-side", f"--filename={ROOT / path}")
        kubectl.run("wait", "--for=condition=Established", f"--filename={ROOT / 'crds'}", "--timeout=30s")
        yield world


def _populate(world: World, kubectl: Kubectl) -> None:
    """As ControlPlane.populate with `eks`, whose one request and whose time limit are for tests' few nodes."""
    make_node_folders(world.control_plane.nodes_dir, world.nodes)
    say(f"{world.nodes} nodes: making them ...")
    bodies = [manifests.node(index) for index in range(world.nodes)]
    for begin in range(0, world.nodes, AT_A_TIME):
        apply(kubectl, bodies[begin : begin + AT_A_TIME])
    apply(kubectl, [*manifests.aws_node(), *manifests.kube_proxy()])
    say(f"{world.nodes} nodes: waiting for aws-node and kube-proxy on them ...")
    seconds = 60 + world.nodes * 0.5
    for name in ("aws-node", "kube-proxy"):
        path = f"/apis/apps/v1/namespaces/kube-system/daemonsets/{name}"

        def is_there(path: str = path) -> bool:
            status = (world.api.get(path) or {}).get("status") or {}
            return bool(status.get("numberReady") == world.nodes)

        wait_for(f"{name} is Ready on {world.nodes} nodes", is_there, seconds, look=0.5)


SYSTEM = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}"
