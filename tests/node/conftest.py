"""Sample conflists written from the history of the primary CNIs, and a node made of real folders and a real agent."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cnichain.api.chainnode import CiliumEntry, NodeSpec, to_wire
from cnichain.dev.toolchain import ensure
from cnichain.node.conflist import RUNTIME_EXTENSIONS, ConflistError
from cnichain.node.decide import decide
from cnichain.node.decision import Decision, View, Write
from cnichain.node.files import scan
from cnichain.node.folder import Folder, FolderFile, Kind, byte_order
from cnichain.node.splice import cilium_entry
from preload import fault_library

SOURCE = "10-aws.conflist"
CHAINED = "05-cilium.conflist"
DEFAULT_ENTRY = cilium_entry(CiliumEntry(), "aws-cni")
ALL_BINARIES = frozenset(
    {
        "aws-cni",
        "egress-cni",
        "egress-v4-cni",
        "portmap",
        "bandwidth",
        "tuning",
        "cilium-cni",
        "istio-cni",
        "linkerd-cni",
    }
)


def _aws(version: str, *plugins: dict[str, Any]) -> bytes:
    value = {"cniVersion": version, "name": "aws-cni", "disableCheck": True, "plugins": list(plugins)}
    return json.dumps(value, indent=2).encode() + b"\n"


def _aws_cni(**more: Any) -> dict[str, Any]:
    log = {"pluginLogFile": "/var/log/aws-routed-eni/plugin.log", "pluginLogLevel": "DEBUG"}
    return {"name": "aws-cni", "type": "aws-cni", "vethPrefix": "eni", "mtu": "9001", **log, **more}


def _egress(kind: str, mtu: int | str) -> dict[str, Any]:
    ranges = {"type": "host-local", "ranges": [[{"subnet": "fd00::ac:00/118"}]], "routes": [{"dst": "::/0"}]}
    return {"name": kind, "type": kind, "mtu": mtu, "enabled": "false", "nodeIP": "", "ipam": ranges}


_PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
_NEW = _aws_cni(podSGEnforcingMode="strict", capabilities={"io.kubernetes.cri.pod-annotations": True})

HISTORY: dict[str, bytes] = {
    "1.7.10": _aws("0.3.1", _aws_cni(), _PORTMAP),
    "1.11.2": _aws("0.4.0", _aws_cni(), _egress("egress-v4-cni", 9001), _PORTMAP),
    "1.12.6": _aws("0.4.0", _aws_cni(), _egress("egress-v4-cni", "9001"), _PORTMAP),
    "1.13.0": _aws("0.4.0", _aws_cni(), _egress("egress-cni", "9001"), _PORTMAP),
    "1.16.0": _aws("1.0.0", _aws_cni(), _egress("egress-cni", "9001"), _PORTMAP),
    "1.16.2": _aws("0.4.0", _aws_cni(podSGEnforcingMode="strict"), _egress("egress-cni", "9001"), _PORTMAP),
    "1.18.3": _aws("0.4.0", _aws_cni(mtu="8921"), _egress("egress-cni", "8921"), _PORTMAP),
    "1.20.0": _aws("0.4.0", _NEW, _egress("egress-cni", "9001"), _PORTMAP),
    "1.20.0+bandwidth": _aws(
        "0.4.0",
        _NEW,
        _egress("egress-cni", "9001"),
        _PORTMAP,
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
    ),
    "1.20.0+tuning": _aws(
        "0.4.0",
        _NEW,
        _egress("egress-cni", "9001"),
        _PORTMAP,
        {"type": "tuning", "sysctl": {"net.ipv6.conf.all.disable_ipv6": "1"}},
    ),
}
"""VPC CNI version to the file of that version, in the shape that its releases have had."""

NEWEST = HISTORY["1.20.0"]


@pytest.fixture(params=HISTORY, ids=str)
def any_aws(request: pytest.FixtureRequest) -> bytes:
    """Each VPC CNI file in turn."""
    return HISTORY[request.param]


def with_tail(chained: bytes, *entries: dict[str, Any]) -> bytes:
    """A chained conflist after further plugins were put behind cilium-cni, the way a mesh installer does it."""
    value = json.loads(chained)
    value["plugins"] += entries
    return json.dumps(value, indent=2).encode()


def folder_of(files: dict[str, bytes | Kind], children: dict[str, dict[str, bytes]] | None = None) -> Folder:
    """A look at a folder that was never on a disk: name to content, or to the kind of a thing that is no file.

    children: by the name of a folder, the .conf files in it.
    """
    entries = []
    for name in byte_order(files):
        value = files[name]
        if isinstance(value, Kind):
            inner = (children or {}).get(name, {})
            files_in = tuple(FolderFile(child, Kind.REGULAR, inner[child]) for child in byte_order(inner))
            entries.append(FolderFile(name, value, children=files_in))
        else:
            entries.append(FolderFile(name, Kind.REGULAR, content=value))
    return Folder("/etc/cni/net.d", (1, 1), tuple(entries))


def decided(files: dict[str, bytes | Kind], spec: NodeSpec | None = None, **view: Any) -> Decision:
    """What is decided for such a folder; `view` gives the other fields of a View."""
    return decide(View(folder_of(files), view.pop("binaries", ALL_BINARIES), **view), spec or NodeSpec())


def written(decision: Decision) -> bytes:
    """The bytes that the decision writes."""
    assert isinstance(decision.action, Write), f"nothing is written: {decision.state}, {decision.message}"
    return decision.action.content


def wait_until(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    """Polls a condition up to a bound; fails with the words of `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.005)


def fill_disk(file: Path) -> None:
    """Writes into a file until the file system is full."""
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    assert os.statvfs(file).f_bavail == 0, "the file system is not full"


class Reader(threading.Thread):
    """Loads the folder in a tight loop, as a runtime does, and notes each time that there was no network."""

    def __init__(self, conf: Path) -> None:
        super().__init__()
        self.conf, self.looks, self.bad = conf, 0, list[str]()
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            # One listing is one moment. A scan is not: it looks at each name later, and may be held up in between.
            listed = os.listdir(self.conf)  # noqa: PTH208 - one call of the system, and the names are all that counts
            first = scan(self.conf).effective()
            self.looks += 1
            if not any(name.endswith(RUNTIME_EXTENSIONS) for name in listed):
                self.bad.append(f"no file among {sorted(listed)}")
            if first is not None and isinstance(first.parsed, ConflistError) and (self.conf / first.name).exists():
                self.bad.append(f"{first.name} {first.parsed}")

    def end(self) -> None:
        self._ending.set()
        self.join(timeout=10)


class Node:
    """Real folders that stand for a node's, and a real agent process on them, with an API server that is away."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf, self.bin, self.state = root / "cni" / "net.d", root / "bin", root / "state"
        self.conf.mkdir(parents=True)
        self.bin.mkdir()
        self.kubeconfig = root / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(_nowhere()))
        self.install(*ALL_BINARIES)
        self.give_spec(NodeSpec())
        self._agents: list[subprocess.Popen[bytes]] = []

    @property
    def chained(self) -> Path:
        return self.conf / CHAINED

    @property
    def source(self) -> Path:
        return self.conf / SOURCE

    def install(self, *names: str) -> None:
        """Plugin binaries."""
        for name in names:
            (self.bin / name).write_text("#!/bin/sh\n")
            (self.bin / name).chmod(0o755)

    def give_spec(self, spec: NodeSpec, generation: int = 1) -> None:
        """A spec that the agent kept when it last saw the API."""
        self.state.mkdir(exist_ok=True)
        (self.state / "spec.json").write_text(json.dumps({"generation": generation, "spec": to_wire(spec)}))

    def replace(self, name: str, content: bytes) -> None:
        """What aws-node does: a temporary file in the same folder, then a rename."""
        temporary = self.conf / f"{name}.tmp"
        temporary.write_bytes(content)
        temporary.rename(self.conf / name)

    def start(
        self, *arguments: str, under: tuple[str, ...] = (), env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """The agent; its log goes to agent.log. env: in addition to the test's own."""
        command = [*under, sys.executable, "-m", "cnichain.node", "--node-name", "node-1"]
        # Neither this machine's own runtime nor what may listen on Cilium's port has a part in a test that names none.
        command += ["--runtime-socket", "", "--cilium-health-url", "", "--report-spread", "0.1", *arguments]
        command += ["--cni-conf-dir", str(self.conf), "--cni-bin-dir", str(self.bin), "--state-dir", str(self.state)]
        with (self.root / "agent.log").open("ab") as log:
            agent = subprocess.Popen(
                [*command, "--kubeconfig", str(self.kubeconfig)], stderr=log, env={**os.environ, **(env or {})}
            )
        self._agents.append(agent)
        return agent

    def log(self) -> list[dict[str, Any]]:
        """The agent's log lines."""
        path = self.root / "agent.log"
        written = path.read_text() if path.exists() else ""
        whole = written[: written.rfind("\n") + 1]  # the last line may be half-written
        return [json.loads(line) for line in whole.splitlines()]

    def said(self, **fields: object) -> bool:
        """Whether some log line has these fields."""
        return any(all(line.get(key) == value for key, value in fields.items()) for line in self.log())

    def wait_said(self, **fields: object) -> None:
        """Waits for such a log line."""
        wait_until(lambda: self.said(**fields), f"a log line with {fields}; the log is {self.log()[-5:]}")

    def wait_chained(self, content: bytes) -> None:
        """Waits until the chained conflist has this content."""
        wait_until(
            lambda: self.chained.is_file() and self.chained.read_bytes() == content,
            f"{self.chained} has the expected content; the log is {self.log()[-5:]}",
        )

    def names(self) -> list[str]:
        """What is in the folder."""
        return sorted(path.name for path in self.conf.iterdir())

    def snapshot(self) -> dict[str, tuple[bytes, int, int]]:
        """Content, inode and mode of each file in the folder."""
        states = {path.name: path.stat() for path in self.conf.iterdir()}
        return {
            name: ((self.conf / name).read_bytes(), s.st_ino, stat.S_IMODE(s.st_mode)) for name, s in states.items()
        }

    def stop(self) -> None:
        """The newest agent, the way the kubelet ends it."""
        self._agents[-1].send_signal(signal.SIGTERM)
        assert self._agents[-1].wait(timeout=10) == 0, "the agent failed on its way out"

    def kept(self) -> dict[str, Any]:
        """The agent's memory."""
        state: dict[str, Any] = json.loads((self.state / "state.json").read_text())
        return state

    def end(self) -> None:
        """No agent is left behind."""
        for agent in self._agents:
            if agent.poll() is None:
                os.kill(agent.pid, signal.SIGKILL)
            agent.wait(timeout=10)


Load = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def load() -> Load:
    """What the real containerd loader (cni-load) makes of each folder: network, plugins and error."""
    program = ensure("controlplane").path("cni-load")

    def run(*folders: Path) -> list[dict[str, Any]]:
        command = [str(program), *(str(folder) for folder in folders)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node without files, with all binaries and a kept default spec."""
    node = Node(tmp_path)
    yield node
    node.end()


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], dict[str, str]]:
    """The environment of an agent whose file calls below a folder fail in the given way (see faults.c)."""
    library = fault_library(tmp_path_factory.mktemp("faults"))
    return lambda below, fault: {"LD_PRELOAD": str(library), "FAULT_DIR": str(below), "FAULT": fault}


def _nowhere() -> dict[str, Any]:
    """A kubeconfig for a port that nobody listens on."""
    return {
        "current-context": "nowhere",
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
        "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "nobody", "user": {"token": "unused"}}],
    }
