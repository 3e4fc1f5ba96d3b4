"""Progress of long steps: one line per step with its time; a ticking line where the output is a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET_INTERVAL = 60.0
"""Seconds between "still" lines where the output is no terminal (a CI log, a file)."""


def duration(seconds: float) -> str:
    """`7.3 s` or `4 min 38 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s"


class Progress:
    """Prints the steps of one command to `out` (default: standard error, so that data on standard output is clean)."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out if out is not None else sys.stderr
        self._tty = self._out.isatty()
        self._label = ""
        self._started = 0.0
        self._next_line = 0.0

    def note(self, text: str) -> None:
        """One line that belongs to no step."""
        print(text, file=self._out, flush=True)

    def start(self, label: str) -> None:
        """Begin a step; `label` reads as "building helm"."""
        self._label = label
        self._started = time.monotonic()
        self._next_line = QUIET_INTERVAL
        if self._tty:
            self._rewrite(f"{label} ...")
        else:
            self.note(f"{label} ...")

    def tick(self) -> None:
        """Say that the step goes on; call it about once a second."""
        elapsed = time.monotonic() - self._started
        if self._tty:
            self._rewrite(f"{self._label} ... {duration(elapsed)}")
        elif elapsed >= self._next_line:
            self._next_line += QUIET_INTERVAL
            self.note(f"{self._label} ... still at it after {duration(elapsed)}")

    @contextmanager
    def step(self, label: str, result: str) -> Iterator[None]:
        """`label` reads as "building helm", `result` as "built"; a step that raises ends as FAILED."""
        self.start(label)
        try:
            yield
        except BaseException:
            self.done("FAILED")
            raise
        self.done(result)

    def done(self, result: str) -> None:
        """End the step of `start`."""
        line = f"{self._label}: {result} in {duration(time.monotonic() - self._started)}"
        if self._tty:
            self._rewrite(f"{line}\n")
        else:
            self.note(line)

    def _rewrite(self, line: str) -> None:
        self._out.write(f"\r\x1b[K{line}")
        self._out.flush()
