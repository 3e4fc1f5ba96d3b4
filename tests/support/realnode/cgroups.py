"""A cgroup of the node's own in each hierarchy of the machine, for all its pods; version 1, 2 and hybrid alike."""

import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "cnichain-node-"
_REMOVE_SECONDS = 10.0


def hierarchies() -> list[Path]:
    """Where the hierarchies are mounted."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    found = {path.resolve() for path in _ROOT.glob("*") if (path / "cgroup.procs").exists()}
    return sorted(found)


def create(identity: str) -> str:
    """Make the cgroup of a node everywhere; its path below each hierarchy, as kubelet's `cgroupRoot` wants it."""
    name = _name(identity)
    for hierarchy in hierarchies():
        group = hierarchy / name
        group.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):  # version 1: a cpuset without them takes no process
            if (hierarchy / "cpuset.clone_children").exists():
                (group / file).write_text((hierarchy / file).read_text())
    return f"/{name}"


def remove(identity: str) -> None:
    """Remove it with all below it, once its last processes are gone. TimeoutError names what still runs."""
    for hierarchy in hierarchies():
        _remove_tree(hierarchy / _name(identity))


def remove_abandoned() -> None:
    """Remove the cgroups of nodes whose test process is gone: the kernel has ended all that was in them."""
    for hierarchy in hierarchies():
        for group in hierarchy.glob(f"{_PREFIX}*"):
            owner = group.name.removeprefix(_PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists() and not _processes(group):
                _remove_tree(group)


def all_groups() -> set[str]:
    """Every cgroup of any node, and every one that kubelet or containerd would make without a root of its own."""
    patterns = (f"{_PREFIX}*", "kubepods*", "k8s.io*")
    return {str(path) for hierarchy in hierarchies() for pattern in patterns for path in hierarchy.glob(pattern)}


def _name(identity: str) -> str:
    """Carries the id of this process, so that the next one can tell a node in use from one that was abandoned."""
    return f"{_PREFIX}{os.getpid()}-{identity}"


def _remove_tree(group: Path) -> None:
    deadline = time.monotonic() + _REMOVE_SECONDS
    while group.exists():
        for path in sorted((path for path in [group, *group.rglob("*/")] if path.is_dir()), reverse=True):
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # busy: a process in it is still on its way out
                break
        if time.monotonic() > deadline:
            raise TimeoutError(f"{group} is still in use by {_processes(group)} {_REMOVE_SECONDS:.0f} s after the end.")
        time.sleep(0.02)  # nothing tells when a cgroup has become empty in version 1


def _processes(group: Path) -> list[str]:
    """Ids of the processes in a cgroup and below."""
    return [pid for file in group.rglob("cgroup.procs") for pid in file.read_text().split()]
