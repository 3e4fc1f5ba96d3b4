"""A node made of folders, the agent on it as a process, and the clocks that it is measured with."""

import ctypes
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from cnichain.api.chainnode import CiliumEntry
from cnichain.dev.nodefolder import PRIMARY_FILE, NodeFolder, aws_conflist, make_node_folder, write_placeholder
from cnichain.dev.pki import create
from cnichain.node.conflist import parse
from cnichain.node.splice import cilium_entry, derive

HERE = Path(__file__).resolve().parent
CHAINED = "05-cilium.conflist"
PATIENCE = 30.0
_IN_MOVED_TO = 0x80


class BenchError(Exception):
    """The measurement did not work out; the message says which part."""


def source_text(mtu: int) -> bytes:
    """VPC CNI's conflist with an MTU of its own, so that each is another content."""
    return aws_conflist(egress_mtu=str(mtu), pod_annotations=True).encode()


def chain_of(source: bytes) -> bytes:
    """What the chained conflist has to be for it."""
    return derive(parse(source), cilium_entry(CiliumEntry(), "aws-cni"))


class Node:
    """The folders. `prepare` is everything of an event but its last step, which is the rename."""

    def __init__(self, root: Path) -> None:
        self.folder: NodeFolder = make_node_folder(root, "node-1", egress_mtu="9001")
        write_placeholder(self.folder.bin_dir / "cilium-cni")
        self.root, self.source = root, self.folder.conf_dir / PRIMARY_FILE
        self.chained = self.folder.conf_dir / CHAINED

    def prepare(self, content: bytes) -> Path:
        """The temporary file that `Path.rename` then puts in the place of the primary's."""
        temporary = self.source.with_name(f"{PRIMARY_FILE}.tmp")
        temporary.write_bytes(content)
        return temporary

    def reset(self) -> None:
        """A node on which no agent has been."""
        for path in (self.chained, *self.folder.state_dir.iterdir()):
            path.unlink(missing_ok=True)


class Renames:
    """Tells when a file was renamed into a folder, without looking at it all the time."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self.descriptor, os.fsencode(folder), _IN_MOVED_TO) < 0:
            raise BenchError(f"{folder} cannot be watched: {os.strerror(ctypes.get_errno())}")

    def take(self) -> bytes:
        """The waiting events, as raw bytes in which names can be found."""
        with suppress(BlockingIOError):
            return os.read(self.descriptor, 65536)
        return b""


class Agent:
    """The agent's process, its log lines, and what the kernel says about it."""

    def __init__(self, command: list[str], node: Node, kubeconfig: Path) -> None:
        folder = node.folder
        arguments = ["--node-name=node-1", f"--cni-conf-dir={folder.conf_dir}", f"--cni-bin-dir={folder.bin_dir}"]
        arguments += [f"--state-dir={folder.state_dir}", f"--kubeconfig={kubeconfig}"]
        # As in the image: what is imported is compiled already, which saves 5 MB and 0.3 s.
        cache = {"PYTHONPYCACHEPREFIX": str(node.root / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
        self.started = time.monotonic()
        self._process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, env={**os.environ, **cache})
        if self._process.stderr is None:
            raise BenchError("the agent's log cannot be read")
        self._stderr: IO[bytes] = self._process.stderr
        os.set_blocking(self._stderr.fileno(), False)
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def descriptor(self) -> int:
        """To poll for log lines."""
        return self._stderr.fileno()

    def lines(self) -> list[dict[str, Any]]:
        """The log lines that have come since the last call."""
        with suppress(BlockingIOError):
            data = os.read(self.descriptor, 1 << 20)
            if not data:
                raise BenchError(f"the agent ended with code {self._process.wait(timeout=PATIENCE)}")
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]

    def wait_for(self, **fields: object) -> tuple[float, dict[str, Any]]:
        """Monotonic time at which a log line with these fields came, and the line."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            poller.poll(1000)
            now = time.monotonic()
            for line in self.lines():
                if all(line.get(key) == value for key, value in fields.items()):
                    return now, line
        raise BenchError(f"no log line with {fields} within {PATIENCE:g} s")

    def cpu_seconds(self) -> float:
        """CPU time of all threads so far: utime and stime, by the scheduler's clock where there is one."""
        try:
            parts = [Path(task, "schedstat").read_text().split() for task in Path(f"/proc/{self.pid}/task").iterdir()]
            return sum(int(part[0]) for part in parts) / 1e9
        except FileNotFoundError:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def main_thread(self) -> tuple[float, float]:
        """Seconds that the thread which repairs has run so far, and has waited for a CPU; zeros where nobody counts."""
        try:
            run, waited, _ = Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()
        except FileNotFoundError:
            return 0.0, 0.0
        return int(run) / 1e9, int(waited) / 1e9

    def memory(self) -> dict[str, float]:
        """MB: `VmRSS`, `VmHWM` (the most it ever was), and `Pss` (shared pages divided among those who share)."""
        text = Path(f"/proc/{self.pid}/status").read_text() + Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = (line.partition(":") for line in text.splitlines())
        sizes = {key: value.split()[0] for key, _, value in found if key in ("VmRSS", "VmHWM", "Pss")}
        return {key: int(size) / 1024 for key, size in sizes.items()}

    def stop(self) -> None:
        """As the kubelet does."""
        self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=PATIENCE)
        self._stderr.close()


@contextmanager
def api_server(root: Path) -> Iterator[Path]:
    """A stand-in for the API server; gives a kubeconfig for it."""
    (root / "pki").mkdir()
    pki = create(root / "pki")
    command = [sys.executable, str(HERE / "standin_api.py"), str(pki.serving_cert), str(pki.serving_key)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise BenchError("the stand-in's port cannot be read")
        cluster = {"server": f"https://127.0.0.1:{int(process.stdout.readline())}"}
        kubeconfig = root / "kubeconfig"
        named: dict[str, object] = {
            "current-context": "bench",
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            "clusters": [{"name": "bench", "cluster": {**cluster, "certificate-authority": str(pki.ca_cert)}}],
            "users": [{"name": "bench", "user": {"token": "bench"}}],
        }
        kubeconfig.write_text(json.dumps(named))
        yield kubeconfig
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@contextmanager
def agent_on(command: list[str], node: Node, kubeconfig: Path) -> Iterator[Agent]:
    """The agent, ended in any case."""
    agent = Agent(command, node, kubeconfig)
    try:
        yield agent
    finally:
        agent.stop()
