"""The first process of a node's namespaces. Run by path, in new mount, network and PID namespaces, as root.

Gives the node what it may write to, and then only reaps: whoever wants a program in the node enters its namespaces.
When this process is killed the kernel kills every process of the PID namespace, and the rest goes with the last one.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

_TIMEOUT = 30

_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What kubelet sets. These belong to the whole machine: the node gets files of its own in their place."""


def main() -> int:
    """argv: a JSON object {folder, binds: {path in the node: folder on the machine}, memory: [folder]}.

    folder: for files of the node's own. memory: folders that are kept in memory and so end with the node.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    config = json.loads(sys.argv[1])
    _prepare(Path(config["folder"]), config["binds"], config["memory"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        _reap()
        signal.sigwait({signal.SIGCHLD})


def _prepare(folder: Path, binds: dict[str, str], memory: list[str]) -> None:
    _run("mount", "--make-rshared", "/")  # among the node's own namespaces alone: containers may ask for propagation
    for path in ("/run", *memory):
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
    for name in ("lock", "netns"):
        Path("/run", name).mkdir()
    for path in ("/etc", "/opt", "/var/lib"):
        _overlay(Path(path), Path("/run/overlay", path.strip("/").replace("/", "-")))
    for path, source in binds.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", source, path)
    for name, value in _SYSCTLS.items():
        _shadow_sysctl(Path("/proc/sys", name), value, folder / "sysctl" / name)
    _run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")  # the network namespace has its own


def _overlay(path: Path, scratch: Path) -> None:
    """Make a folder of the machine writable for the node alone. The end of an overlay syncs the disk that it is on."""
    for name in ("upper", "work"):
        (scratch / name).mkdir(parents=True)
    options = f"lowerdir={path},upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
    _run("mount", "-t", "overlay", "-o", options, "overlay", str(path))


def _shadow_sysctl(path: Path, value: str, file: Path) -> None:
    if path.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n", encoding="ascii")
        _run("mount", "--bind", str(file), str(path))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def _reap() -> None:
    """Take every ended child off the kernel's list; orphans of the whole namespace become children of this process."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


if __name__ == "__main__":
    sys.exit(main())
