"""When to stop correcting an object that another writer keeps changing back. Pure: the caller tells the time.

After STRIKES corrections within WINDOW_SECONDS an object is left alone for a while that doubles each time; all others
go on. Without it two controllers would write against each other as fast as their watches allow.
"""

from dataclasses import dataclass, field

from cnichain.api.objects import ObjectKey

STRIKES = 3
WINDOW_SECONDS = 600.0
FIRST_SECONDS = 30.0
CAP_SECONDS = 600.0


@dataclass
class _Record:
    """times: corrections within the window. level: 0 while nobody fights. until: end of the current pause."""

    times: list[float] = field(default_factory=list)
    level: int = 0
    until: float = 0.0

    @property
    def pause(self) -> float:
        return min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(self.level - 1, 16)) if self.level else 0.0


class Fights:
    """The corrections of each object, in memory: after a restart an object gets STRIKES new ones."""

    def __init__(self) -> None:
        self._records: dict[ObjectKey, _Record] = {}

    def may_correct(self, key: ObjectKey, now: float) -> bool:
        """Whether the object may be corrected now. now: seconds of a monotonic clock."""
        record = self._records.get(key)
        return record is None or now >= record.until

    def corrected(self, key: ObjectKey, now: float) -> None:
        """Note that the object was corrected."""
        record = self._records.setdefault(key, _Record())
        if record.level and now - record.until < WINDOW_SECONDS:
            record.level += 1
        else:
            record.times = [*(time for time in record.times if now - time < WINDOW_SECONDS), now]
            record.level = 1 if len(record.times) >= STRIKES else 0
        record.until = now + record.pause

    def pause(self, key: ObjectKey) -> float:
        """How long the object is left alone after its last correction, in seconds; 0 while nobody fights over it."""
        record = self._records.get(key)
        return record.pause if record else 0.0

    def fought_over(self, now: float) -> list[ObjectKey]:
        """Objects in a pause: another writer is still to be reckoned with, also while they stand as applied."""
        return sorted(key for key, record in self._records.items() if record.level and now < record.until)

    def next_try(self, now: float) -> float | None:
        """Seconds until the first pause ends; None when there is none."""
        waits = [self._records[key].until - now for key in self.fought_over(now)]
        return min(waits, default=None)
