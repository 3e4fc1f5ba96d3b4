"""Whether a sampled figure stands still: a line through the samples, and what is beside it. No I/O.

How a leak is told from noise. The memory of a Python process never stands still: the interpreter takes memory from the
system in arenas of 1 MB and gives one back only when it is empty, so a process that leaks nothing moves by an arena or
two as its work changes. A leak of what each event leaves behind, however little, goes on. So:

- The first third is warm-up and is left out: caches fill, and each kind of event happens for the first time.
- Through the rest goes the line of least squares. Its rise from end to end is what counts, not the difference of two
  samples, which noise decides, nor the maximum, which one event decides.
- The bound is on that rise, in MB, and is two arenas for the operator. One arena taken for good in the middle of the
  window bends the line by 1.5 MB and passes; three of them, or a slow leak that comes to as much, do not. In the 20
  minutes that are left of 30, 2 MB are 6 MB/h; a run of four hours finds what leaks 0.75 MB/h. A shorter run says less,
  and a bound in MB/h would hide that.
- Noise can hide a rise. With n samples and noise of standard deviation s, the rise is off by s * sqrt(12 / n): 0.4 s of
  80 samples. So the noise has a bound too, four times that of the rise, at its 95th percentile (about two standard
  deviations): beyond it the run tells nothing, and fails.

Open files and threads are counted and not noisy, but they fall at once when connections end, which would bend a line.
What a leak raises is how many there are at most: so their largest number in the first half of what is left after the
warm-up is held against that in the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import linear_regression

WARM_UP = 1 / 3
"""Part of the time that is left out."""
NOISE = 4.0
"""How many times the bound of the rise the noise may be."""
FEWEST = 8
"""Samples, without which there is no verdict."""


@dataclass(frozen=True)
class Trend:
    """The line through samples. first, last: where it begins and ends. noise: 95 of 100 samples are this close."""

    hours: float
    first: float
    last: float
    noise: float

    @property
    def rise(self) -> float:
        """From end to end."""
        return self.last - self.first

    @property
    def per_hour(self) -> float:
        """The slope."""
        return self.rise / self.hours

    def is_flat(self, bound: float) -> bool:
        """Whether it rises by no more than the bound, with so little noise that this can be told."""
        return self.rise <= bound and self.noise <= NOISE * bound


def after_warm_up(seconds: Sequence[float]) -> int:
    """Index of the first sample that counts. seconds: when each was taken, in order."""
    begin = seconds[0] + (seconds[-1] - seconds[0]) * WARM_UP
    return next(index for index, at in enumerate(seconds) if at >= begin)


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """The line through all samples after the warm-up. ValueError for too few of them."""
    begin = after_warm_up(seconds) if seconds else 0
    times, kept = seconds[begin:], values[begin:]
    if len(kept) < FEWEST:
        raise ValueError(f"{len(kept)} samples after the warm-up are too few for a line; it takes {FEWEST}")
    slope, intercept = linear_regression(times, kept)
    off = sorted(abs(value - (intercept + slope * at)) for at, value in zip(times, kept, strict=True))
    return Trend(
        hours=(times[-1] - times[0]) / 3600,
        first=intercept + slope * times[0],
        last=intercept + slope * times[-1],
        noise=off[ceil(0.95 * len(off)) - 1],
    )


def peaks(seconds: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The largest value in the first half of the time after the warm-up, and in the second. ValueError as `trend`."""
    begin = after_warm_up(seconds) if seconds else 0
    times, kept = seconds[begin:], values[begin:]
    if len(kept) < FEWEST:
        raise ValueError(f"{len(kept)} samples after the warm-up are too few to compare; it takes {FEWEST}")
    half = (times[0] + times[-1]) / 2
    halves = [[v for at, v in zip(times, kept, strict=True) if (at > half) is later] for later in (False, True)]
    return max(halves[0]), max(halves[1])
