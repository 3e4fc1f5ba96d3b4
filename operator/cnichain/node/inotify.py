"""inotify through libc: wakes the guard when the CNI configuration folder changes or is replaced.

Watched are the folder, its parent (a folder that is renamed away and made anew gives one event and then silence) and,
when it is there, the folder of plugin binaries. An event only says "look again", so an overflow of the queue costs
nothing but a look. Sources: inotify(7); rules: facts on drift detection in docs/architecture.md.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from cnichain.node.conflist import RUNTIME_EXTENSIONS
from cnichain.node.files import system_error

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_ATTRIB, _DELETE_SELF, _MOVE_SELF = 0x4, 0x400, 0x800
_UNMOUNT, _Q_OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR = 0x01000000

_NAMES = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_FOLDER_MASK = _NAMES | _CLOSE_WRITE | _ATTRIB | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_PARENT_MASK = _NAMES | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_BINARIES_MASK = _NAMES | _CLOSE_WRITE | _ATTRIB | _DELETE_SELF | _MOVE_SELF | _ONLYDIR

_HEADER = struct.Struct("iIII")  # wd, mask, cookie, length of the name that follows
_BUFFER = 64 * 1024
_WATCHED_ITSELF = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED


class InotifyUnavailableError(Exception):
    """The kernel gives no inotify instance or watch; the message names the limit to raise."""


class Event(NamedTuple):
    """What the kernel tells. number: of the watch, -1 for none. name: of the entry in a watched folder, or empty."""

    number: int
    mask: int
    name: bytes


class Instance(Protocol):
    """An inotify instance, or a part of one."""

    def fileno(self) -> int:
        """The descriptor to poll."""

    def add(self, descriptor: int, mask: int) -> int:
        """Watches what is open there; the watch's number. Raises InotifyUnavailableError."""

    def remove(self, number: int) -> None:
        """Watches it no more; nothing happens when the kernel has dropped the watch already."""

    def read(self) -> Iterator[Event]:
        """Takes all waiting events."""

    def close(self) -> None:
        """Gives it back; its watches go with it."""


class Inotify:
    """The kernel's own instance."""

    def __init__(self) -> None:
        """Raises InotifyUnavailableError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise _unavailable(ctypes.get_errno())

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._descriptor

    def add(self, descriptor: int, mask: int) -> int:
        """Watches what is open there; the watch's number. Raises InotifyUnavailableError."""
        # By descriptor: what is watched is then surely what was opened, whatever the path means a moment later.
        number: int = self._libc.inotify_add_watch(self._descriptor, f"/proc/self/fd/{descriptor}".encode(), mask)
        if number < 0:
            raise _unavailable(ctypes.get_errno())
        return number

    def remove(self, number: int) -> None:
        """Watches it no more; nothing happens when the kernel has dropped the watch already."""
        self._libc.inotify_rm_watch(self._descriptor, number)

    def read(self) -> Iterator[Event]:
        """Takes all waiting events."""
        while True:
            try:
                data = os.read(self._descriptor, _BUFFER)
            except BlockingIOError:
                return
            place = 0
            while place < len(data):
                number, mask, _, length = _HEADER.unpack_from(data, place)
                begin = place + _HEADER.size
                yield Event(number, mask, data[begin : begin + length].rstrip(b"\0"))
                place = begin + length

    def close(self) -> None:
        """Gives the descriptor back; the watches go with it."""
        os.close(self._descriptor)


@dataclass(frozen=True)
class _Watch:
    """What a watch descriptor stands for. path: what was watched; identity: device and inode it was then."""

    path: Path
    identity: tuple[int, int]
    mask: int


class Watcher:
    """Watches on the folder, its parent and the binaries, re-armed whenever one of them is another than before."""

    def __init__(self, folder: Path, binaries: Path, instance: Instance | None = None) -> None:
        """Nothing is watched until `arm`. instance: one of the watcher's own, a new one if none is given.

        Raises InotifyUnavailableError.
        """
        self._instance = instance or Inotify()
        self._folder = folder
        self._wanted = {binaries: _BINARIES_MASK, folder.parent: _PARENT_MASK, folder: _FOLDER_MASK}
        # One inode has one watch: should two of these be the same folder, the last one counts.
        self._watches: dict[int, _Watch] = {}

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._instance.fileno()

    @property
    def is_watching(self) -> bool:
        """Whether the folder itself is watched now."""
        return any(watch.path == self._folder for watch in self._watches.values())

    def close(self) -> None:
        """Gives the instance back; the watches go with it."""
        self._instance.close()

    def arm(self) -> bool:
        """Watches what is there now and is not watched yet; True when a watch was added.

        To be called before each look, so that no change can fall between look and watch. What does not exist is left
        out: its parent tells when it comes, or else the next look does. Raises InotifyUnavailableError.
        """
        added = False
        for path, mask in self._wanted.items():
            number = next((number for number, watch in self._watches.items() if watch.path == path), None)
            try:
                state = path.stat(follow_symlinks=False)
            except OSError:
                continue
            now = (state.st_dev, state.st_ino)
            if number is not None and self._watches[number].identity == now:
                continue
            if number is not None:
                self._drop(number)
            added |= self._add(path, mask)
        return added

    def read(self) -> bool:
        """Takes all waiting events; True when one of them calls for a look."""
        relevant = False
        for event in self._instance.read():
            relevant |= self._is_relevant(event)
        return relevant

    def _add(self, path: Path, mask: int) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            state = os.fstat(descriptor)
            number = self._instance.add(descriptor, mask)
        finally:
            os.close(descriptor)
        self._watches[number] = _Watch(path, (state.st_dev, state.st_ino), mask)
        return True

    def _drop(self, number: int) -> None:
        del self._watches[number]
        self._instance.remove(number)

    def _is_relevant(self, event: Event) -> bool:
        number, mask, name = event
        if mask & _Q_OVERFLOW:
            return True
        watch = self._watches.get(number)
        if watch is None:
            return False  # the last events of a watch that was dropped
        if mask & _WATCHED_ITSELF:
            self._watches.pop(number)
            if not mask & _IGNORED:
                self._instance.remove(number)
            return True
        if watch.path == self._folder:
            # Temporary files, ours and others', end differently: their rename into place is an event of its own.
            return not name or name.endswith(_EXTENSIONS) or b"." not in name
        if watch.path == self._folder.parent:
            return name == os.fsencode(self._folder.name)
        return True


_EXTENSIONS = tuple(extension.encode() for extension in RUNTIME_EXTENSIONS)


def _unavailable(number: int) -> InotifyUnavailableError:
    limits = {errno.EMFILE: "fs.inotify.max_user_instances", errno.ENOSPC: "fs.inotify.max_user_watches"}
    hint = f"; raise the node's sysctl {limits[number]}" if number in limits else ""
    return InotifyUnavailableError(system_error(OSError(number, os.strerror(number))) + hint)
