"""Aims and tables of the benchmarks. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MISSED = "MISSED"


@dataclass(frozen=True)
class Aim:
    """What was wanted, and what it is."""

    what: str
    measured: str
    limit: str
    held: bool


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Lines with columns as wide as needed, figures to the right; a line below the first row."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table that a page can take as it is and a terminal shows in columns; figures to the right."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    lines = [
        " | ".join(
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "|".join("-" * (width + 2) if not column else "-" * (width + 1) + ":" for column, width in enumerate(widths))
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def verdicts(aims: Sequence[Aim]) -> str:
    """All aims, with a word beside each that is missed."""
    rows = [[aim.what, aim.measured, aim.limit, "" if aim.held else MISSED] for aim in aims]
    return grid([["aim", "is", "should be", ""], *rows])


def spread(values: Sequence[float], form: str) -> str:
    """`2.1 (1.9-2.4)`: the median, the smallest and the largest."""
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"
