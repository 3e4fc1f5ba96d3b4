"""Backoff and pace: pure bookkeeping over a monotonic clock that the caller reads."""

import os


def random_share() -> float:
    """A number from 0 to 1, each agent its own. Of the kernel's: `random` would cost half a megabyte of memory."""
    return os.urandom(1)[0] / 255


class Backoff:
    """Delays that double up to a cap, each with jitter, so that a thousand agents do not come back at one moment."""

    def __init__(self, first: float, cap: float) -> None:
        """first, cap: seconds."""
        self._first, self._cap = first, cap
        self._next = first

    def delay(self) -> float:
        """Seconds to wait now: between half of the current step and all of it. The next step is twice as long."""
        step = self._next
        self._next = min(step * 2, self._cap)
        return step * (0.5 + random_share() / 2)

    def reset(self) -> None:
        """What failed has worked: the next delay is a short one again."""
        self._next = self._first


class Pace:
    """Lets the first looks of a burst through at once, and then one each `interval` seconds."""

    def __init__(self, burst: int, interval: float) -> None:
        """burst: looks that need not wait."""
        self._burst, self._interval = burst, interval
        self._full_at = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next look may start; 0.0 means now."""
        return max(0.0, self._full_at - now - (self._burst - 1) * self._interval)

    def spend(self, now: float) -> None:
        """A look starts."""
        self._full_at = max(self._full_at, now) + self._interval
