"""From single answers of Cilium's health check to a verdict that does not flap. Pure."""

from enum import StrEnum

_RETURN = 2
"""So many good answers in a row end a downtime."""
_LEAST = 3
"""So many failures in a row at least make a downtime, also where the agent itself was stopped for the grace time."""


class Health(StrEnum):
    """The verdict. OFF: it is not asked. UNKNOWN: not yet known after the agent's start."""

    OFF = "Off"
    UNKNOWN = "Unknown"
    GOOD = "Healthy"
    DOWN = "Down"


class Track:
    """Makes a verdict of single answers: pure bookkeeping over a monotonic clock that the caller reads."""

    def __init__(self, grace: float) -> None:
        """grace: seconds."""
        self._grace = grace
        self._good = self._bad = 0
        self._failing_since = 0.0
        self.verdict = Health.UNKNOWN

    def answered(self, now: float, *, is_good: bool) -> Health:
        """Takes one answer in; returns the verdict."""
        if is_good:
            self._good, self._bad = self._good + 1, 0
            if self.verdict is Health.UNKNOWN or self._good >= _RETURN:
                self.verdict = Health.GOOD
            return self.verdict
        if not self._bad:
            self._failing_since = now
        self._good, self._bad = 0, self._bad + 1
        if self._bad >= _LEAST and now - self._failing_since >= self._grace:
            self.verdict = Health.DOWN
        return self.verdict
