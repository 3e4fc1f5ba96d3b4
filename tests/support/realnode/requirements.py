"""What a real node needs of the machine: root on Debian, cgroups, and some packages, which are installed if missing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from realnode.cgroups import hierarchies

NODE_PROGRAMS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "gcc": "gcc",
}
"""Program to Debian package. The CNI plugins and kubelet come from Go modules (tools/tools.toml)."""

IMAGE_PROGRAMS = {"mmdebstrap": "mmdebstrap", "buildah": "buildah"}
"""What builds images without Docker."""

INSTALL_TIMEOUT = 900
_STATIC_LIBC = "libc6-dev"


class UnavailableError(Exception):
    """This machine cannot carry a real node: why."""


def ensure_packages(
    programs: Mapping[str, str] = NODE_PROGRAMS, *, say: Callable[[str], None] = lambda text: print(text, flush=True)
) -> None:
    """Install the packages of those programs that are missing; no process is started when all are there.

    say: is told before anything is installed. Raises UnavailableError where a real node cannot be, or when apt fails.
    """
    if reason := why_unavailable():
        raise UnavailableError(reason)
    missing = {package for program, package in programs.items() if not _find(program)}
    if "gcc" in programs and not _has_static_libc():
        missing.add(_STATIC_LIBC)
    if not missing:
        return
    names = sorted(missing)
    say(
        f"The tests on a real node need Debian's {', '.join(names)}: installing with apt-get, which may also start the "
        "services of these packages (the tests use none of them)."
    )
    _apt_get("update", "--quiet")
    _apt_get("install", "--yes", "--quiet", "--no-install-recommends", *names)


def why_unavailable() -> str:
    """Why no real node can run here, whatever is installed; empty when one can."""
    if not sys.platform.startswith("linux"):
        return f"a real node needs Linux, this is {sys.platform}"
    if os.geteuid() != 0:
        return "a real node needs root (namespaces, mounts, cgroups)"
    if not shutil.which("apt-get") or not Path("/etc/debian_version").exists():
        return "a real node needs Debian's packages, and this is not Debian"
    writable = [path for path in hierarchies() if os.access(path, os.W_OK)]
    if not writable:
        return "a real node needs cgroups: /sys/fs/cgroup has no hierarchy that can be written to"
    return ""


def _find(program: str) -> str | None:
    """Also where root's own programs are: a root shell of `su` has no sbin in its PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _has_static_libc() -> bool:
    return any(Path("/usr/lib").glob("*-linux-gnu*/libc.a"))


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", *arguments],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[-1500:]
        raise UnavailableError(
            f"`apt-get {' '.join(arguments)}` failed ({done.returncode}): {words}. Install the packages by hand, then "
            "run the tests again."
        )
