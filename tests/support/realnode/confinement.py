"""What the kernel says of a container's first process: its user, capabilities, filters, namespaces and mounts."""

import json
from dataclasses import dataclass

from realnode.node import RealNode

_RUNTIMES_OWN = ("/dev/", "/proc/", "/sys/", "/etc/hosts/")
"""What every container has, whatever its pod asks for."""


@dataclass(frozen=True)
class Confinement:
    """users, groups: real, effective, saved, of the file system, and the supplementary groups; without repeats.

    capabilities: the bits of all five sets. seccomp: 0 none, 2 a filter. shared: namespaces that are those of the node.
    writable: where a file system is mounted that can be written to.
    """

    users: set[int]
    groups: set[int]
    capabilities: int
    no_new_privileges: bool
    seccomp: int
    shared: set[str]
    writable: set[str]


def confinement(node: RealNode, namespace: str, selector: str) -> Confinement:
    """Of the one container of the one pod that a selector finds."""
    pid = process_of(node, namespace, selector)
    status = dict(line.split(":", 1) for line in node.namespaces.call("cat", f"/proc/{pid}/status").splitlines())
    capabilities = 0
    for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        capabilities |= int(status[f"Cap{kind}"], 16)
    return Confinement(
        users=_numbers(status["Uid"]),
        groups=_numbers(status["Gid"]) | _numbers(status["Groups"]),
        capabilities=capabilities,
        no_new_privileges=int(status["NoNewPrivs"]) == 1,
        seccomp=int(status["Seccomp"]),
        shared={kind for kind in ("ipc", "mnt", "net", "pid", "uts") if _same_namespace(node, kind, pid)},
        writable=_writable(node.namespaces.call("cat", f"/proc/{pid}/mountinfo")),
    )


def process_of(node: RealNode, namespace: str, selector: str) -> int:
    """The process id, as the node sees it, of a pod's container."""
    found = node.control_plane.run_kubectl(
        "get", "pods", f"--namespace={namespace}", f"--selector={selector}",
        f"--field-selector=spec.nodeName={node.name}", "--output=json",
    )  # fmt: skip
    (pod,) = [item for item in json.loads(found)["items"] if "deletionTimestamp" not in item["metadata"]]
    (container,) = pod["status"]["containerStatuses"]
    identifier = container["containerID"].partition("://")[2]
    listed = [line.split() for line in node.ctr("tasks", "list").splitlines()]
    return next(int(columns[1]) for columns in listed if columns[0] == identifier)


def _numbers(text: str) -> set[int]:
    return {int(word) for word in text.split()}


def _same_namespace(node: RealNode, kind: str, pid: int) -> bool:
    """Whether a process is in the namespace of kubelet, which is the node's own."""
    first, other = (node.namespaces.call("readlink", f"/proc/{one}/ns/{kind}") for one in (1, pid))
    return first == other


def _writable(mountinfo: str) -> set[str]:
    """Mount points whose mount and file system can both be written to (proc_pid_mountinfo(5))."""
    found = set()
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point, options = before.split()[4:6]
        super_options = after.split()[2]
        ours = not f"{point}/".startswith(_RUNTIMES_OWN)
        if ours and "rw" in options.split(",") and "rw" in super_options.split(","):
            found.add(point)
    return found
