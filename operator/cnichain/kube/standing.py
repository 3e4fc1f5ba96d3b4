"""How the API server answers, as the log and the events of the operator tell it: failing, slow, by another clock.

Each request that fails in passing is tried again, so that no caller sees it; an outage must show all the same.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from cnichain.api import clock
from cnichain.api.reasons import REASONS, Reason

logger = logging.getLogger(__name__)

FAILING_SECONDS = 30.0
"""While requests fail, the log says so this often."""
QUIET_SECONDS = 2.0
"""So long after the last failure a success means that it is over."""
SLOW_SECONDS = 5.0
"""Half of the time in which the Lease must be renewed."""
SLOW_TOLD_SECONDS = 60.0
CLOCK_TOLERANCE = timedelta(seconds=60)
PROMPT_SECONDS = 5.0
"""A slower answer tells nothing of the clock: nobody knows when its Date was written."""


class Standing:
    """Told of each answer and of each failure by the client.

    skewed: told how far the API server's clock is ahead of ours, 0 while they agree, whenever that changes.
    """

    def __init__(
        self,
        *,
        skewed: Callable[[float], None] = lambda _seconds: None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._skewed = skewed
        self._monotonic = monotonic
        self._wall = wall
        self._failing_since: float | None = None
        self._failed = 0
        self._last_failure = 0.0
        self._told_failing = float("-inf")
        self._told_slow = float("-inf")
        self._apart = timedelta()
        self._news: list[tuple[Reason, str]] = []

    def news(self) -> list[tuple[Reason, str]]:
        """What is worth an event since it was asked for last."""
        told, self._news = self._news, []
        return told

    def failed(self, words: str) -> None:
        """A try of a request has failed in passing. words: which, and how."""
        now = self._monotonic()
        if self._failing_since is None:
            self._failing_since, self._failed = now, 0
        self._failed += 1
        self._last_failure = now
        if now - self._told_failing >= FAILING_SECONDS:
            self._told_failing = now
            logger.warning("%s: %s. It is tried again.", Reason.API_UNAVAILABLE.value, words)

    def answered(self, request: str, seconds: float, date: str) -> None:
        """A try has got an answer of the API server. seconds: until it began. date: its header Date, "" without one."""
        now = self._monotonic()
        if self._failing_since is not None and now - self._last_failure > QUIET_SECONDS:
            lasted = self._last_failure - self._failing_since
            logger.info("the API server answers again; %d tries failed within %.0f s.", self._failed, lasted)
            self._failing_since, self._told_failing = None, float("-inf")
        if seconds >= SLOW_SECONDS and now - self._told_slow >= SLOW_TOLD_SECONDS:
            self._told_slow = now
            fix = REASONS[Reason.API_SLOW].fix
            logger.warning("%s: %s took %.1f s. %s", Reason.API_SLOW.value, request, seconds, fix)
        if seconds < PROMPT_SECONDS:
            self._compare(date)

    def _compare(self, date: str) -> None:
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return
        if theirs.tzinfo is None:  # what HTTP does not allow
            return
        apart = theirs - self._wall()
        if abs(apart) <= CLOCK_TOLERANCE:
            apart = timedelta()
        before, self._apart = self._apart, apart
        if not before and not apart:
            return
        clock.correct(apart)
        if abs(apart - before) <= CLOCK_TOLERANCE and bool(apart) == bool(before):
            return  # the same as before but for the way
        self._skewed(apart.total_seconds())
        if apart:
            way = "behind" if apart > timedelta() else "ahead of"
            words = f"This operator's clock is {_in_words(abs(apart))} {way} the API server's, which counts meanwhile."
            self._news.append((Reason.CLOCK_SKEWED, f"{words} {REASONS[Reason.CLOCK_SKEWED].fix}"))
            logger.warning("%s: %s", Reason.CLOCK_SKEWED.value, words)
        else:
            logger.info("this operator's clock and the API server's agree again.")


def _in_words(apart: timedelta) -> str:
    if apart.days:
        return f"{apart.days} d {apart.seconds // 3600} h"
    return f"{apart.seconds // 60} min" if apart.seconds >= 60 else f"{apart.seconds} s"
