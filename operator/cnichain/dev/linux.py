"""What the control plane asks of the kernel: children that die with their parent, locks that die with their holder."""

import ctypes
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cnichain.dev.errors import DevError

_PR_SET_PDEATHSIG = 1


def require_linux() -> None:
    """Raise DevError elsewhere: nothing but Linux tells a child of its parent's death."""
    if not sys.platform.startswith("linux"):
        raise DevError(
            f"The local control plane runs on Linux only (this is {sys.platform}). Use a Linux machine, a container or "
            "a VM; or point KUBECONFIG at a cluster of your own, such as one of kind."
        )


def die_with_parent() -> Callable[[], None]:
    """A `preexec_fn`: SIGKILL the child as soon as the calling thread is gone, however that ended.

    prctl(2) counts the death of the parent *thread*, so call this and start the child in a thread that lives as long
    as the process. Only for processes of one thread (preexec_fn is not safe beside other threads).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl: nobody would send the signal
            os._exit(1)

    return in_child


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports of 127.0.0.1 that are free now; all are held until the last is known."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is not "taken"
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def try_lock(path: Path) -> IO[str] | None:
    """Take an exclusive lock on the file; None when another process holds it.

    The kernel drops it with the last descriptor of the holder, so no stale lock outlives a kill -9. The descriptor is
    not inherited by children (PEP 446).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    except BaseException:
        handle.close()
        raise
    return handle


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of `try_lock`."""
    if not path.exists():
        return False
    handle = try_lock(path)
    if handle is None:
        return True
    handle.close()
    return False
