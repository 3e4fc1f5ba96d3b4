"""The CNI configuration folder: looking at it without ever blocking, and writing to it without ever breaking it.

Every access goes through a descriptor of the folder itself, so a folder that is replaced meanwhile is not mixed up
with its successor. Nothing is followed through a symbolic link, and a FIFO or device is never opened for reading.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cnichain.api.reasons import Reason
from cnichain.node.conflist import RUNTIME_EXTENSIONS
from cnichain.node.folder import CILIUM_BACKUP, Folder, FolderFile, Kind, byte_order

MAX_SIZE = 1 << 20
"""Bytes. Real conflists have two or three thousand; more than this is a mistake or an attack, and is not read."""

_NUDGE = ".chain-nudge.tmp"
_MAX_CHILDREN = 32
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NodeFileError(Exception):
    """Something in the folder stands in the way. `reason` is its code; the message says what, where and what next."""

    reason = Reason.CONFLIST_WRITE_FAILED


class ConfDirError(NodeFileError):
    """The folder itself is missing, is something else, or cannot be read."""

    reason = Reason.CONF_DIR_UNUSABLE


class WriteFailedError(NodeFileError):
    """The system refused a step of the write; the file on disk is as it was."""


class UnsafeFileError(NodeFileError):
    """Something that is not a regular file has the name of our file."""

    reason = Reason.CONFLIST_UNSAFE_FILE


class ChangedMeanwhileError(NodeFileError):
    """The folder or the source changed between look and write: look again. Not a failure."""


def system_error(error: OSError) -> str:
    """The system's words and code, as operators search for them: `No space left on device (ENOSPC)`."""
    return f"{error.strerror or error} ({errno.errorcode.get(error.errno or 0, error.errno)})"


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder. Raises ConfDirError."""
    try:
        descriptor = os.open(path, _FOLDER_FLAGS)
    except OSError as error:
        raise ConfDirError(_folder_problem(path, error)) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def identity(descriptor: int) -> tuple[int, int]:
    """Device and inode of an open file or folder."""
    state = os.fstat(descriptor)
    return state.st_dev, state.st_ino


def scan(path: Path) -> Folder:
    """One look at the folder: every entry named, every conflist read (MAX_SIZE at most). Raises ConfDirError."""
    with open_folder(path) as folder:
        try:
            names = byte_order(os.listdir(folder))  # noqa: PTH208 - a descriptor, which pathlib cannot list
        except OSError as error:
            raise ConfDirError(f"{path} cannot be listed: {system_error(error)}") from error
        files = (_look(folder, name) for name in names)
        return Folder(str(path), identity(folder), tuple(file for file in files if file is not None))


def executables(path: Path) -> frozenset[str]:
    """Names of the executable files in the CNI binary folder; symbolic links are followed, as a runtime does."""
    try:
        with os.scandir(path) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file() and os.access(entry.path, os.X_OK))
    except OSError:
        return frozenset()  # no folder, no plugins: the decision then names each missing plugin


def write_atomic(
    path: Path,
    name: str,
    content: bytes,
    *,
    folder_identity: tuple[int, int],
    check: Callable[[bytes], object],
    source: tuple[str, bytes] | None,
) -> str:
    """Puts `content` under `name`, whole or not at all. Returns the new file's mark (see FolderFile).

    The temporary file stands in the same folder (containerd reloads only for a rename within it) under a name that no
    runtime loads. `check` gets the bytes read back from it and raises ConflistError for bad ones. `source` is the name
    and content of the file that `content` was derived from, if any: if it has changed since, nothing is published.
    Raises ConfDirError, UnsafeFileError, WriteFailedError, ChangedMeanwhileError.
    """
    with open_folder(path) as folder:
        if identity(folder) != folder_identity:
            raise ChangedMeanwhileError(f"{path} was replaced while the chain was derived")
        mode = _mode_for(folder, path, name)
        temporary = f".{name}.chain-{os.getpid()}-{os.urandom(4).hex()}.tmp"
        try:
            clean_temporaries(folder, name)
            _write_temporary(folder, temporary, content, mode)
            check(read(folder, temporary) or b"")
            if source is not None and read(folder, source[0]) != source[1]:
                raise ChangedMeanwhileError(f"{source[0]} changed while the chain was derived from it")
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
            if read(folder, name) != content:
                raise ChangedMeanwhileError(f"{name} was changed again right after it was written")
            return _mark(os.stat(name, dir_fd=folder, follow_symlinks=False))
        except OSError as error:
            raise WriteFailedError(f"{path / name} could not be written: {system_error(error)}") from error
        finally:
            with suppress(OSError):  # renamed away, or the folder is gone: in both cases there is nothing to remove
                os.unlink(temporary, dir_fd=folder)


def remove(path: Path, name: str, content: bytes, *, folder_identity: tuple[int, int]) -> None:
    """Removes the file, if it is still the one that was looked at. Raises as `write_atomic`."""
    with open_folder(path) as folder:
        try:
            if identity(folder) != folder_identity or read(folder, name) != content:
                raise ChangedMeanwhileError(f"{path / name} changed before it was removed")
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)
        except OSError as error:
            raise WriteFailedError(f"{path / name} could not be removed: {system_error(error)}") from error


def nudge(path: Path) -> None:
    """Makes a runtime load the folder anew that has missed a change: containerd does so at any write or removal in it.

    A file that no runtime loads is made, written and removed. Raises ConfDirError, WriteFailedError.
    """
    with open_folder(path) as folder:
        try:
            with suppress(FileNotFoundError):
                os.unlink(_NUDGE, dir_fd=folder)
            descriptor = os.open(_NUDGE, _CREATE_FLAGS, 0o600, dir_fd=folder)
            try:
                os.write(descriptor, b"\n")
            finally:
                os.close(descriptor)
                os.unlink(_NUDGE, dir_fd=folder)
        except OSError as error:
            raise WriteFailedError(f"{path / _NUDGE} could not be written: {system_error(error)}") from error


def clean_temporaries(folder: int, name: str) -> None:
    """Removes what an agent that was killed in the middle of a write left behind."""
    for entry in os.listdir(folder):
        if entry == _NUDGE or (entry.startswith(f".{name}.chain-") and entry.endswith(".tmp")):
            with suppress(FileNotFoundError):
                os.unlink(entry, dir_fd=folder)


def write_all(descriptor: int, content: bytes) -> None:
    """Writes every byte and brings it to disk; a short write goes on where it stopped. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _look(folder: int, name: str, *, is_inner: bool = False) -> FolderFile | None:
    try:
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None  # gone between listing and looking
    except OSError as error:
        return FolderFile(name, Kind.OTHER, problem=f"cannot be looked at: {system_error(error)}")
    mode = stat.S_IMODE(state.st_mode)
    if stat.S_ISDIR(state.st_mode):
        return FolderFile(name, Kind.FOLDER, mode=mode, children=() if is_inner else _children(folder, name))
    if stat.S_ISLNK(state.st_mode):
        return FolderFile(name, Kind.SYMLINK, mode=mode)
    if not stat.S_ISREG(state.st_mode):
        return FolderFile(name, Kind.OTHER, mode=mode)
    is_read = name.endswith((*RUNTIME_EXTENSIONS, CILIUM_BACKUP))
    content, problem = _content(folder, name, state.st_size) if is_read else (None, "")
    stranger = None if state.st_uid in (0, os.geteuid()) else state.st_uid
    return FolderFile(name, Kind.REGULAR, content, problem, mode, mark=_mark(state), stranger=stranger)


def _mark(state: os.stat_result) -> str:
    return f"{state.st_ino}:{state.st_mtime_ns}"


def _content(folder: int, name: str, size: int) -> tuple[bytes | None, str]:
    """Content of a regular file, or None and why."""
    if size > MAX_SIZE:
        return None, f"has {size} bytes, more than {MAX_SIZE}"
    try:
        return read(folder, name), "was replaced by something else while it was looked at"
    except OSError as error:
        return None, f"cannot be read: {system_error(error)}"


def _children(folder: int, name: str) -> tuple[FolderFile, ...]:
    """The .conf files of a folder in the folder, which may be drop-ins; folders there are none, whatever their name."""
    try:
        inner = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    except OSError:
        return ()  # a folder that we may not enter: only its drop-ins stay unreported
    try:
        names = [entry for entry in os.listdir(inner) if entry.endswith(".conf")]  # noqa: PTH208 - a descriptor
        files = (_look(inner, entry, is_inner=True) for entry in byte_order(names)[:_MAX_CHILDREN])
        return tuple(file for file in files if file is not None and file.kind is not Kind.FOLDER)
    finally:
        os.close(inner)


def read(folder: int, name: str) -> bytes | None:
    """The content of a regular file; None if there is none of that name, or it is special or too large."""
    try:
        descriptor = os.open(name, _READ_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        parts, size = [], 0
        while part := os.read(descriptor, MAX_SIZE + 1 - size):
            parts.append(part)
            size += len(part)
        return b"".join(parts) if size <= MAX_SIZE else None
    finally:
        os.close(descriptor)


def _write_temporary(folder: int, name: str, content: bytes, mode: int) -> None:
    descriptor = os.open(name, _CREATE_FLAGS, 0o600, dir_fd=folder)
    try:
        os.fchmod(descriptor, mode)
        if os.geteuid() == 0:
            os.fchown(descriptor, 0, 0)
        write_all(descriptor, content)
    finally:
        os.close(descriptor)


def _mode_for(folder: int, path: Path, name: str) -> int:
    """Mode of the new file: that of the old one without rights that nobody needs (Cilium keeps it too), else 0600."""
    try:
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0o600
    except OSError as error:
        raise WriteFailedError(f"{path / name} cannot be looked at: {system_error(error)}") from error
    if not stat.S_ISREG(state.st_mode):
        raise UnsafeFileError(f"{path / name} is not a regular file")
    return (stat.S_IMODE(state.st_mode) & 0o644) | 0o600


def _folder_problem(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return f"{path} is a symbolic link; give the folder that it points to (--cni-conf-dir)"
    if error.errno == errno.ENOTDIR:
        return f"{path} is not a folder"
    if error.errno == errno.ENOENT:
        return f"{path} does not exist; the primary CNI or the runtime's package makes it"
    return f"{path} cannot be opened: {system_error(error)}"
