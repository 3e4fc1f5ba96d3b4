"""What the guard waits on: file events, a wake-up from another thread or a signal, or time."""

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cnichain.node.inotify import InotifyUnavailableError, Watcher
from cnichain.node.log import log

UNWATCHED_POLL = 2.0
"""Seconds between looks while the folder is not watched: inotify is not to be had, or the folder is not there."""


class Alarm:
    """`wake` and `stop` belong to any thread, the rest to the guard's."""

    def __init__(self, conf_dir: Path, bin_dir: Path, watcher: Callable[[Path, Path], Watcher] = Watcher) -> None:
        """watcher: makes one for both folders. May raise InotifyUnavailableError."""
        self._conf_dir, self._bin_dir, self._new_watcher = conf_dir, bin_dir, watcher
        self._wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watcher: Watcher | None = None
        self.stopped = False
        """Whether `stop` was called."""
        self.first_event: float | None = None
        """Monotonic time of the first event that called for a look, until the guard takes it away."""
        self.note = ""
        """Why there are no events, in brackets; empty while there are."""

    def wake(self) -> None:
        """Ends the present wait, or the next one."""
        with suppress(BlockingIOError):  # a full pipe wakes just as well
            os.write(self.wake_write, b"\0")

    def stop(self) -> None:
        """Ends every wait from now on."""
        self.stopped = True
        self.wake()

    def close(self) -> None:
        """Watches nothing any more."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    @property
    def is_watching(self) -> bool:
        """Whether events tell of a change in the folder."""
        return self._watcher is not None and self._watcher.is_watching

    def arm(self) -> None:
        """Watches what is there; falls back to polling, and says so, when the kernel gives no watch."""
        try:
            if self._watcher is None:
                self._watcher = self._new_watcher(self._conf_dir, self._bin_dir)
            self._watcher.arm()
            self.note = ""
        except InotifyUnavailableError as error:
            self.close()
            if not self.note:
                log.warning("inotify is not available; polling", error=str(error))
            self.note = f"(inotify is not available, so the folder is looked at every {UNWATCHED_POLL:g} s: {error})"

    def drain(self) -> bool:
        """Takes the waiting events, which the look that follows covers; True when one of them called for it."""
        if self._watcher is None or not self._watcher.read():
            return False
        self.first_event = self.first_event or time.monotonic()
        return True

    def wait(self, timeout: float, *, with_events: bool) -> None:
        """Returns after so many seconds, or on an event or a wake-up; without events on `stop` alone."""
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        if with_events and self._watcher is not None:
            poller.register(self._watcher.fileno(), select.POLLIN)
        deadline = time.monotonic() + timeout
        while not self.stopped:
            ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1)
            woken = any(descriptor == self._wake_read for descriptor, _ in ready)
            if woken:
                with suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            if with_events and self.drain():
                return
            if (woken and with_events) or time.monotonic() >= deadline:
                return
