"""The real programs of the local control plane: found on the machine, or built once into a user cache.

Standard library only, so that a bare checkout can build. tools/tools.toml names the programs, tools/*/go.mod their
versions. Each family has a folder in the cache whose name carries a hash of its sources: another version of anything
is another folder, and a folder that is there is never rebuilt. The version of Go is not part of that hash beyond what
go.mod asks for: a newer patch release of Go is no reason to build for ten minutes again.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cnichain.dev import registry
from cnichain.dev.errors import DevError
from cnichain.dev.manifest import Family, Tool, find_tools_dir, load_manifest
from cnichain.dev.progress import Progress
from cnichain.dev.run import run_logged

GROUPS = ("controlplane", "node", "kind")
"""`controlplane`: what `cnichain dev up` runs. `node`: kubelet and CNI plugins for tests on a real node. `kind`: kind,
for tests on machines with Docker."""

BUILD_TIMEOUT = 1800.0
"""Seconds for one program; the slowest takes about five minutes on two busy cores."""
LOCK_TIMEOUT = 3600.0
"""Seconds to wait for another builder."""

_BUILD_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false")
_OFFLINE = ("dial tcp", "no such host", "i/o timeout", "connection refused", "TLS handshake timeout")


@dataclass(frozen=True)
class Toolbox:
    """Where each program is, after `ensure`."""

    paths: Mapping[str, Path]

    def path(self, name: str) -> Path:
        """The program `name`; DevError when it is not in this toolbox or has gone from the disk."""
        path = self.paths.get(name)
        if path is None:
            known = ", ".join(sorted(self.paths))
            raise DevError(f"No program {name!r} in this toolbox (it has: {known}). Ask ensure() for its group.")
        if not os.access(path, os.X_OK):
            raise DevError(
                f"The program {name} is missing or not executable: {path}. Run `cnichain dev tools` to build it again."
            )
        return path


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/cnichain/tools`, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cnichain" / "tools"


def ensure(group: str = "controlplane", *, only: Iterable[str] = (), progress: Progress | None = None) -> Toolbox:
    """Build what is missing of the group (one of GROUPS, or "all") and say where everything is.

    only: names of programs, when the group is not wanted as a whole. With nothing to build, no process is started.
    Raises DevError with what to do next: no tools/ folder, neither a Go toolchain nor a network, a failing build (with
    the end of its log).
    """
    progress = progress or Progress()
    groups = _groups(group)
    tools_dir = find_tools_dir()
    families = load_manifest(tools_dir)
    tools = [(family, tool) for family in families for tool in family.tools if tool.group in groups]
    names = set(only) or {tool.name for _, tool in tools}
    wanted = [(family, tool) for family, tool in tools if tool.name in names]
    paths = {tool.name: tool_path(family, tool) for family, tool in wanted}
    kubectl = registry.known_kubectl(cache_dir(), tools_dir)
    if kubectl is None or any(not _is_built(path) for path in paths.values()):
        with _build_lock(progress):
            _build_missing(wanted, tools_dir, progress)
            kubectl = registry.ensure_kubectl(cache_dir(), tools_dir, progress)
    return Toolbox({**paths, "kubectl": kubectl})


def tool_path(family: Family, tool: Tool) -> Path:
    """Where the built program lies, or will."""
    return cache_dir() / f"{family.name}-{family_key(family)}" / tool.name


def family_key(family: Family) -> str:
    """Twelve hex digits over everything that the build depends on: sources, flags, platform."""
    digest = hashlib.sha256()
    for path in family.sources():
        digest.update(f"{path.relative_to(family.directory)}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    digest.update("\0".join([*_BUILD_FLAGS, family.ldflags, platform.system(), platform.machine()]).encode())
    return digest.hexdigest()[:12]


def _groups(group: str) -> tuple[str, ...]:
    if group == "all":
        return GROUPS
    if group not in GROUPS:
        raise DevError(f"No group of tools is named {group!r}; there are: {', '.join(GROUPS)}, all.")
    return (group,)


def _is_built(path: Path) -> bool:
    return os.access(path, os.X_OK)


def _build_missing(wanted: Iterable[tuple[Family, Tool]], tools_dir: Path, progress: Progress) -> None:
    # Looked at again under the lock: another builder may have done the work while this one waited.
    missing = [(family, tool) for family, tool in wanted if not _is_built(tool_path(family, tool))]
    if not missing:
        return
    go = registry.find_go(cache_dir(), tools_dir, max(family.go for family, _ in missing), progress)
    progress.note(f"Building {len(missing)} programs with {go} into {cache_dir()} (once per version, some minutes).")
    for number, (family, tool) in enumerate(missing, start=1):
        with progress.step(f"[{number}/{len(missing)}] building {tool.name} {family.version}", "built"):
            _build(go, family, tool, progress)


def _build(go: Path, family: Family, tool: Tool, progress: Progress) -> None:
    """`go build` into a temporary folder, then rename: a killed build leaves no half program behind."""
    final = tool_path(family, tool)
    final.parent.mkdir(parents=True, exist_ok=True)
    for left_over in final.parent.glob(".build-*"):  # of a build that was killed; the lock says that none runs now
        shutil.rmtree(left_over)
    log = final.parent / f"{tool.name}.build.log"
    scratch = Path(tempfile.mkdtemp(prefix=f".build-{tool.name}-", dir=final.parent))
    try:
        target = scratch / tool.name
        argv = [str(go), "build", *_BUILD_FLAGS, "-ldflags", family.ldflags, "-o", str(target), tool.package]
        code = run_logged(argv, log, cwd=family.directory, env=_go_env(), timeout=BUILD_TIMEOUT, tick=progress.tick)
        if code != 0:
            raise _build_error(tool, code, log)
        target.rename(final)
    finally:
        shutil.rmtree(scratch)


def _go_env() -> dict[str, str]:
    """The user's environment (proxies, caches), less what could change the result of the build."""
    pinned = {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
    return {name: value for name, value in os.environ.items() if name not in ("GOROOT", "GOOS", "GOARCH")} | pinned


def _build_error(tool: Tool, code: int, log: Path) -> DevError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "\n".join(f"  {line}" for line in lines[-15:])
    hint = "Fix what the log says and run `cnichain dev tools` again."
    if any(mark in line for line in lines for mark in _OFFLINE):
        hint = "Go could not download modules: check the network and GOPROXY, then run `cnichain dev tools` again."
    return DevError(f"Building {tool.name} failed (go build ended with {code}). {hint}\nThe end of {log}:\n{tail}")


@contextmanager
def _build_lock(progress: Progress) -> Iterator[None]:
    """Only one builder at a time: two would write the same files and halve each other's speed."""
    path = cache_dir() / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        if not _try_flock(handle):
            with progress.step("waiting for another `cnichain dev tools`", "it has ended"):
                _wait_for_lock(handle, path, progress)
        yield


def _wait_for_lock(handle: IO[str], path: Path, progress: Progress) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not _try_flock(handle):
        if time.monotonic() > deadline:
            raise DevError(
                f"Another builder has held {path} for {LOCK_TIMEOUT / 60:.0f} minutes. "
                f"See who it is with `fuser {path}`, stop it, then try again."
            )
        time.sleep(1)  # flock(2) has no timeout of its own: ask again
        progress.tick()


def _try_flock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
