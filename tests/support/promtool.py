"""The real promtool: the one on the machine, or that of Debian's package `prometheus`, unpacked into the tool cache.

The package is downloaded and unpacked, not installed: its daemon never runs. apt checks its digest against Debian's
signed index. The index that is read is one of our own, so that neither root nor a prepared machine is needed. (Building
promtool from its Go module, as the control plane's programs are, takes four minutes of CPU time.)
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cnichain.dev.toolchain import cache_dir

FLOOR = (2, 42)
"""Debian 12's; every rule and test here is in its language."""
PACKAGE = "prometheus"
SECONDS = 300


class UnavailableError(Exception):
    """There is no promtool, and none can be had: why."""


def promtool() -> Path:
    """A promtool of FLOOR or later. Raises UnavailableError."""
    found = shutil.which("promtool")
    if found and version_of(Path(found)) >= FLOOR:
        return Path(found)
    program = cache_dir() / "debian-prometheus" / "promtool"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=program.parent) as scratch:
            _unpack(Path(scratch)).replace(program)
    return program


def version_of(program: Path) -> tuple[int, ...]:
    """(2, 42, 0). Raises UnavailableError when it does not say."""
    said = _run([str(program), "--version"], program.parent)
    match = re.search(r"promtool, version (\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        raise UnavailableError(f"{program} does not tell its version: {said[:200]}")
    return tuple(map(int, match.groups()))


def _unpack(folder: Path) -> Path:
    if not shutil.which("apt-get") or not Path("/etc/debian_version").exists():
        raise UnavailableError("there is no promtool in PATH, and this is not Debian, whose package could be unpacked")
    for needed in ("lists/partial", "cache/archives/partial"):
        (folder / needed).mkdir(parents=True)
    apt_get = ["apt-get", "--quiet", f"-oDir::State::lists={folder / 'lists'}", f"-oDir::Cache={folder / 'cache'}"]
    # apt would hand the download to a user of its own, who may not write here.
    apt_get += ["-oAPT::Sandbox::User=root", "-oDebug::NoLocking=1"]
    _run([*apt_get, "update"], folder)
    _run([*apt_get, "download", PACKAGE], folder)
    (archive,) = folder.glob(f"{PACKAGE}_*.deb")
    _run(["dpkg", "-x", str(archive), str(folder / "root")], folder)
    unpacked = folder / "root/usr/bin/promtool"
    if (version := version_of(unpacked)) < FLOOR:
        raise UnavailableError(f"{archive.name} has promtool {version}, older than {FLOOR}: put a newer one in PATH")
    return unpacked


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode != 0:
        raise UnavailableError(f"`{' '.join(command)}` failed ({done.returncode}): {done.stderr.strip()[-1000:]}")
    return done.stdout + done.stderr
