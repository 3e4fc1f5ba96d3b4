"""What is told of an API server that fails, is slow, or goes by another clock; and how seldom."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cnichain.api import clock
from cnichain.api.reasons import Reason
from cnichain.kube.standing import Standing

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@dataclass
class Times:
    """The clocks of a test, and the skew that was told last."""

    at: float = 1000.0
    wall: datetime = NOON
    skews: list[float] = field(default_factory=list)

    def standing(self) -> Standing:
        return Standing(skewed=self.skews.append, monotonic=lambda: self.at, wall=lambda: self.wall)


@pytest.fixture
def times() -> Iterator[Times]:
    yield Times()
    clock.correct(timedelta())


def date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def test_an_outage_is_told_at_its_begin_now_and_then_and_at_its_end(
    times: Times, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    standing = times.standing()
    for _ in range(61):
        standing.failed("PUT /x: 0 TimeoutError: no answer in time")
        times.at += 1
    told = [record.getMessage() for record in caplog.records]
    assert told == ["ApiUnavailable: PUT /x: 0 TimeoutError: no answer in time. It is tried again."] * 3
    standing.answered("GET /x", 0.01, "")
    assert len(caplog.records) == 3, "one that gets through among those that fail is no end"
    times.at += 3
    standing.answered("GET /x", 0.01, "")
    standing.answered("GET /x", 0.01, "")
    assert caplog.records[-1].getMessage() == "the API server answers again; 61 tries failed within 60 s."
    assert len(caplog.records) == 4


def test_slow_answers_are_told_once_a_minute(times: Times, caplog: pytest.LogCaptureFixture) -> None:
    standing = times.standing()
    standing.answered("GET /fast", 4.9, "")
    for _ in range(70):
        standing.answered("GET /x", 6.04, "")
        times.at += 1
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(". ")[0] for line in told] == ["ApiSlow: GET /x took 6.0 s"] * 2
    assert Reason.API_SLOW.value in told[0]


@pytest.mark.parametrize("apart", [timedelta(days=400), timedelta(days=-400), timedelta(minutes=3)])
def test_the_api_servers_clock_counts_where_ours_is_wrong(times: Times, apart: timedelta) -> None:
    standing = times.standing()
    theirs = datetime.now(UTC)
    times.wall = theirs - apart
    standing.answered("GET /x", 0.1, date(theirs))
    assert abs(clock.now() - datetime.now(UTC) - apart) < timedelta(seconds=5)
    ((reason, words),) = standing.news()
    assert reason is Reason.CLOCK_SKEWED
    assert ("behind" if apart > timedelta() else "ahead of") in words
    standing.answered("GET /x", 0.1, date(theirs))
    assert standing.news() == [], "it is told once"
    times.wall = theirs
    standing.answered("GET /x", 0.1, date(theirs))
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert [round(skew) for skew in times.skews] == [round(apart.total_seconds()), 0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1, date(NOON + timedelta(seconds=59))),
        (0.1, ""),
        (0.1, "yesterday"),
        (6.0, date(NOON + timedelta(days=1))),
    ],
    ids=["within a minute", "no Date", "no date", "too late to tell"],
)
def test_what_tells_nothing_of_the_clock(times: Times, seconds: float, text: str) -> None:
    standing = times.standing()
    standing.answered("GET /x", seconds, text)
    assert standing.news() == []
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
