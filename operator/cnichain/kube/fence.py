"""The write fence: nothing is sent to the API server by a process whose lease may be another's by now.

A check before a request is not enough by itself: the request then waits for a connection, a handshake, a full socket,
and the process may be stopped (SIGSTOP, a frozen cgroup) at each of these points and go on minutes later. So there are
three, each for what the one before cannot see:

1. `Fence.check`, before a write is given to the HTTP client;
2. `FencedSocket`, at each `send` of the kernel's: what waited in this process is not sent by one that was stopped;
3. a time limit that goes with the write (`?timeout=`), after which the API server itself gives it up: what was received
   in time and waits there is not carried out after the lease's end.

What is left are the bytes that the kernel had taken when the process was stopped, and the microsecond between the look
at the clock and the system call.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from cnichain.kube.sockets import Factory

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Seconds that no one can set, and that go on while the process is stopped or the machine suspended."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True)
class Timing:
    """How a lease is held, in seconds, as client-go names it.

    lease: others wait this long after the last change that they saw. renew: without a renewal for this long the holder
    ends. retry: between two tries to renew or to acquire. Raises ValueError when they do not fit.
    """

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not (0 < self.retry * 2 <= self.renew < self.lease):
            raise ValueError(
                f"lease {self.lease:g} s, renew deadline {self.renew:g} s and retry {self.retry:g} s do not fit: the "
                "deadline must be shorter than the lease, and at least twice as long as the retry."
            )

    @property
    def writes(self) -> float:
        """How long after a renewal a write may still be carried out. The rest of the lease is for clocks that do not
        run alike and for the way to the API server."""
        return (self.renew + self.lease) / 2


class Fence:
    """Whether this process may write now. Closed until the lease is held.

    lost: ends the process, with the words that it is given; it never returns.
    """

    def __init__(
        self, timing: Timing, lost: Callable[[str], NoReturn], clock: Callable[[], float] = boot_clock
    ) -> None:
        self.timing = timing
        self.clock = clock
        self._lost = lost
        self._renewed: float | None = None
        self._unanswered_until = float("-inf")

    def renewed(self, sent: float) -> None:
        """A renewal was accepted. sent: when it was sent, not when it was answered: others may have seen it since."""
        self._renewed = sent

    def close(self) -> None:
        """No write from here on: the lease is about to be released."""
        self._renewed = None

    @property
    def left(self) -> float:
        """Seconds in which a write may still be sent; 0 when none may."""
        return 0.0 if self._renewed is None else max(0.0, self._renewed + self.timing.renew - self.clock())

    def check(self, write: str) -> float:
        """Called right before a write; the seconds after which the API server must have done with it.

        Ends the process when the lease may be another's.
        """
        if self._renewed is None:
            self.lost(f"{write} was about to be sent without the lease.")
        now = self.clock()
        if now >= self._renewed + self.timing.renew:
            self.lost(f"{write} was about to be sent {now - self._renewed:.1f} s after the last renewal of the lease.")
        return self._renewed + self.timing.writes - now

    def unanswered(self, seconds: float) -> None:
        """A write ended without an answer: for this long nobody knows whether it is still carried out."""
        self._unanswered_until = max(self._unanswered_until, self.clock() + seconds)

    @property
    def settled(self) -> bool:
        """True when no write that was sent can be carried out any more: then the lease may be given away early."""
        return self.clock() >= self._unanswered_until

    def lost(self, words: str) -> NoReturn:
        """End the process: the lease is lost, or may be."""
        self._lost(words)
        raise AssertionError("unreachable: `lost` ends the process")


class FencedSocket(socket.socket):
    """A socket that sends nothing once the fence is closed; the error is one of a connection that is lost."""

    fence: Fence

    @classmethod
    def factory(cls, fence: Fence) -> Factory:
        """What aiohttp's connector wants: a function from an entry of getaddrinfo to a socket."""

        def make(address: Any) -> socket.socket:
            family, kind, protocol, *_ = address
            made = cls(family, kind, protocol)
            made.fence = fence
            return made

        return make

    def send(self, data: Any, flags: int = 0, /) -> int:
        """asyncio sends by this one; from Python 3.12 on also by sendmsg."""
        self._check()
        return super().send(data, flags)

    def sendmsg(self, *arguments: Any) -> int:
        """See send."""
        self._check()
        return super().sendmsg(*arguments)

    def _check(self) -> None:
        if not self.fence.left:
            raise ConnectionAbortedError("the lease may be another's by now: nothing more is sent")
