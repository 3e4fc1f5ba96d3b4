"""What a node could leave on a machine, to be compared before and after."""

import json
import subprocess
from pathlib import Path

from realnode import cgroups

_PATHS = (
    *("/etc/cni", "/opt/cni", "/opt/containerd", "/run/netns", "/run/containerd", "/run/aws-node", "/run/cilium"),
    *("/var/lib/cni", "/var/lib/cnichain", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods"),
    *("/var/log/containers", "/var/log/aws-routed-eni", "/usr/libexec/kubernetes"),
)
_SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def snapshot() -> dict[str, set[str]]:
    """Kind of thing to what there is of it on this machine, outside of all nodes."""
    return {
        "mounts": {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "links": {link["ifname"] for link in json.loads(_output("ip", "-json", "link"))},
        "addresses": set(_output("ip", "-oneline", "-4", "address").splitlines()),
        "routing rules": set(_output("ip", "rule").splitlines()),
        "iptables": {line for line in _output("iptables-save").splitlines() if not line.startswith("#")},
        "cgroups": cgroups.all_groups(),
        "paths": {f"{path}: {_entries(Path(path))}" for path in _PATHS},
        "sysctls": {f"{name} = {Path('/proc/sys', name).read_text().strip()}" for name in _SYSCTLS},
    }


def left_over(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is new, or different, since `before`; empty when nothing is."""
    return {kind: found - before[kind] for kind, found in after.items() if found - before[kind]}


def processes_of(folder: Path) -> set[str]:
    """Command lines of the processes that name a folder, or were told of it in their environment."""
    needle = str(folder).encode()
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if needle in command or needle in environment:
            found.add(command.replace(b"\0", b" ").decode(errors="replace")[:300])
    return found


def _entries(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else ["(not there)"]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
