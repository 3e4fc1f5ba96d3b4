"""The project's real Dockerfile, built without Docker: mmdebstrap for the base image, buildah for the rest.

What is slow is kept in the user's cache: the base by the packages that it has, and buildah's layers.
"""

import ast
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cnichain.dev.errors import DevError
from cnichain.dev.linux import try_lock
from cnichain.dev.toolchain import cache_dir
from realnode.images import write_archive
from realnode.namespaces import DIE_WITH_ME, wait_for

BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE_SECONDS = 600
_BUILD_SECONDS = 900
_LOCK_SECONDS = 900.0
_STORAGE_LIMIT = 4 << 30
"""Bytes of old layers after which buildah's cache is emptied."""

_OWN_NAMESPACES = (
    *DIE_WITH_ME,
    *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "private", "--"),
)
"""buildah leaves its storage mounted; so it has a mount namespace that goes with it."""


def build_image(
    context: Path, name: str, archive: Path, *, arguments: Mapping[str, str], contexts: Mapping[str, Path]
) -> Path:
    """Build `context`/Dockerfile and write the image as an OCI archive; its path.

    name: what containerd will call it. arguments: build arguments. contexts: stage name to a folder whose files take
    the place of those that the stage would make; the stage is not built then. DevError with the end of the output.
    """
    with _locked(), tempfile.TemporaryDirectory(prefix="cnichain-image-") as scratch:
        folder = Path(scratch)
        storage = _cache() / "storage"
        _empty_when_large(storage)
        buildah = ["buildah", f"--root={storage}", f"--runroot={folder / 'run'}", "--storage-driver=overlay"]
        build = [
            *(*buildah, "build", "--isolation=chroot", "--format=oci", "--layers", "--pull-never", f"--tag={name}"),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            *(f"--build-context={key}={path}" for key, path in contexts.items()),
            *(f"--volume={source}:{target}:ro" for target, source in _pip_mounts(folder).items()),
            *(f"--file={context / 'Dockerfile'}", str(context)),
        ]
        push = [*buildah, "push", "--quiet", name, f"oci-archive:{archive}:{name}"]
        script = 'set -e; n=$1; shift; "${@:1:n}"; "${@:n+1}"'
        _run([*_OWN_NAMESPACES, "bash", "-c", script, "build", str(len(build)), *build, *push], _BUILD_SECONDS)
    return archive


def base_archive() -> Path:
    """An OCI archive with Debian's Python, for `FROM oci-archive:PATH`; made by mmdebstrap when it is not cached."""
    suite = _suite()
    key = hashlib.sha256("\0".join([suite, *BASE_PACKAGES]).encode()).hexdigest()[:12]
    final = _cache() / f"base-{key}.tar"
    with _locked():
        if not final.exists():
            with tempfile.TemporaryDirectory(prefix=".base-", dir=_cache()) as scratch:
                layer, archive = Path(scratch, "layer.tar"), Path(scratch, "image.tar")
                include = f"--include={','.join(BASE_PACKAGES)}"
                _run([*DIE_WITH_ME, "mmdebstrap", "--variant=minbase", include, suite, str(layer)], _BASE_SECONDS)
                write_archive(archive, f"cnichain.test/base:{key}", layer, {"Env": [_PATH]})
                archive.rename(final)
    return final


def _suite() -> str:
    """The Debian release of this machine, whose mirror is known to be reached."""
    fields = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return fields["VERSION_CODENAME"].strip('"')


def _pip_mounts(scratch: Path) -> dict[str, Path]:
    """The machine's own pip configuration for the build, mounted and so in no layer: path in the build to file here.

    Files and folders that it names (a CA bundle, local wheels) are mounted where they are.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    values: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        values.setdefault(
            name.rpartition(".")[2], str(ast.literal_eval(value))
        )  # the environment comes first, and wins
    mounts = {word: Path(word) for value in values.values() for word in value.split() if _is_here(word)}
    kept = {key: value for key, value in values.items() if not value.startswith("/") or value in mounts}
    file = scratch / "pip.conf"
    lines = ["[global]", *(f"{key} = {value.replace(chr(10), chr(10) + '  ')}" for key, value in kept.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"/etc/pip.conf": file, **mounts}


def _is_here(word: str) -> bool:
    return word.startswith("/") and Path(word).exists()


def _cache() -> Path:
    folder = cache_dir().parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _locked() -> Iterator[None]:
    """One build at a time."""
    handles = []

    def take() -> str:
        handle = try_lock(_cache() / ".lock")
        if handle is None:
            return ""
        handles.append(handle)
        return "taken"

    wait_for("another build of an image has not ended", take, _LOCK_SECONDS)
    try:
        yield
    finally:
        handles[0].close()


def _empty_when_large(storage: Path) -> None:
    size = sum(path.lstat().st_size for path in storage.rglob("*") if not path.is_symlink())
    if size > _STORAGE_LIMIT:
        shutil.rmtree(storage)


def _run(command: list[str], seconds: float) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        timeout=seconds, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        shown = " ".join(command[len(DIE_WITH_ME) :])[:200]
        raise DevError(
            f"`{shown} ...` failed (exit code {done.returncode}). The end of its output:\n{done.stdout[-4000:]}"
        )
