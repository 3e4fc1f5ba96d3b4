"""One inotify instance of the kernel for many agents in one process.

The kernel gives a user 128 instances by default (fs.inotify.max_user_instances), and each agent wants one of its own.
Each gets a part of the one instead: a thread reads the events and puts each into the part that has the watch, and an
eventfd of the part wakes its agent as the kernel's own descriptor would.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from cnichain.node.inotify import Event, Inotify


class Part:
    """What one agent takes for its inotify instance (`cnichain.node.inotify.Instance`)."""

    def __init__(self, shared: "SharedInotify") -> None:
        self._shared = shared
        self._wakes = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._events: deque[Event] = deque()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._wakes

    def add(self, descriptor: int, mask: int) -> int:
        """Watches what is open there; the watch's number. Raises InotifyUnavailableError."""
        return self._shared.add(self, descriptor, mask)

    def remove(self, number: int) -> None:
        """Watches it no more."""
        self._shared.remove(number)

    def read(self) -> Iterator[Event]:
        """Takes all waiting events."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakes)
        while self._events:
            yield self._events.popleft()

    def close(self) -> None:
        """Gives the descriptor back; the watches go with it."""
        self._shared.forget(self)
        os.close(self._wakes)

    def put(self, event: Event) -> None:
        """Gives it an event. The shared instance calls it, under its lock."""
        self._events.append(event)
        os.eventfd_write(self._wakes, 1)


class SharedInotify(threading.Thread):
    """The one instance, and the thread that reads it. Each folder is for one part alone: one inode has one watch."""

    def __init__(self) -> None:
        """Raises InotifyUnavailableError."""
        super().__init__(name="inotify", daemon=True)
        self._inotify = Inotify()
        self._lock = threading.Lock()
        self._parts: dict[int, Part] = {}
        self._ending = os.eventfd(0, os.EFD_CLOEXEC)

    def part(self) -> Part:
        """A new part, which watches nothing yet."""
        return Part(self)

    def add(self, part: Part, descriptor: int, mask: int) -> int:
        """For a part: under the lock, so that no event of the watch is read before it is known whose it is."""
        with self._lock:
            number = self._inotify.add(descriptor, mask)
            self._parts[number] = part
            return number

    def remove(self, number: int) -> None:
        """For a part."""
        with self._lock:
            self._parts.pop(number, None)
            self._inotify.remove(number)

    def forget(self, part: Part) -> None:
        """For a part: all its watches go."""
        with self._lock:
            for number in [number for number, owner in self._parts.items() if owner is part]:
                del self._parts[number]
                self._inotify.remove(number)

    def run(self) -> None:
        """Hands events out until `stop`."""
        poller = select.poll()
        for descriptor in (self._inotify.fileno(), self._ending):
            poller.register(descriptor, select.POLLIN)
        while all(descriptor != self._ending for descriptor, _ in poller.poll()):
            with self._lock:
                for event in self._inotify.read():
                    self._hand_out(event)

    def stop(self) -> None:
        """Ends the thread, and gives everything back."""
        os.eventfd_write(self._ending, 1)
        self.join()
        self._inotify.close()
        os.close(self._ending)

    def _hand_out(self, event: Event) -> None:
        """An overflow of the queue belongs to no watch: all of them may have lost events."""
        owner = self._parts.get(event.number)
        for part in [owner] if owner else set(self._parts.values()) if event.number < 0 else []:
            part.put(event)
