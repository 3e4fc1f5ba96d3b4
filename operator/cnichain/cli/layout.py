"""Text for a terminal of 80 columns: wrapped lines, labelled fields, tables, signs with colour. Pure."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import click

from cnichain.api.names import DOCS_URL
from cnichain.api.reasons import REASONS, Reason
from cnichain.cli.common import COLUMNS

ELLIPSIS = "..."
GAP = "  "


class Mark(StrEnum):
    """What a sign before a line says."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    NONE = "none"
    """Neither: not known, or switched off."""


SIGNS = {Mark.GOOD: "√", Mark.WARN: "‼", Mark.BAD: "×", Mark.NONE: "·"}
PLAIN_SIGNS = {Mark.GOOD: "+", Mark.WARN: "!", Mark.BAD: "x", Mark.NONE: "-"}
COLOURS = {Mark.GOOD: "green", Mark.WARN: "yellow", Mark.BAD: "red", Mark.NONE: "cyan"}


@dataclass(frozen=True)
class Style:
    """How a report is drawn. colour: with escape sequences. plain: ASCII alone."""

    colour: bool = False
    plain: bool = False

    def sign(self, mark: Mark) -> str:
        """The sign of a mark, one column wide."""
        text = (PLAIN_SIGNS if self.plain else SIGNS)[mark]
        return click.style(text, fg=COLOURS[mark], bold=True) if self.colour else text

    def strong(self, text: str, mark: Mark | None = None) -> str:
        """A text that stands out, in the colour of a mark if there is one."""
        return click.style(text, fg=COLOURS[mark] if mark else None, bold=True) if self.colour else text

    @property
    def arrow(self) -> str:
        """Between the plugins of a chain."""
        return " > " if self.plain else " → "


def link(reason: Reason | str) -> str:
    """The page of the documentation that is about a reason code."""
    return f"{DOCS_URL}/reasons.html#{str(reason).lower()}"


def fix_of(reason: str) -> str:
    """What to do about a reason, from the registry; empty for one that this release does not know or needs nothing."""
    try:
        found = REASONS[Reason(reason)].fix
    except ValueError:
        return ""
    return "" if found == "Nothing to do." else found


def wrap(text: str, first: str = "", then: str | None = None, width: int = COLUMNS) -> list[str]:
    """A text on lines of at most `width` columns; what has no place to break, such as a long name, is cut hard.

    first, then: what the first line and the others begin with.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if then is None else then,
        break_on_hyphens=False,
    )


def wrap_whole(text: str, first: str, then: str) -> list[str]:
    """As wrap, within 79 columns, but a long word stays whole: a link or command that is broken cannot be copied."""
    return textwrap.wrap(
        text,
        COLUMNS - 1,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def cut(text: str, width: int) -> str:
    """A text of at most `width` columns, cut at its end."""
    return text if len(text) <= width else text[: max(0, width - len(ELLIPSIS))] + ELLIPSIS


def fields(pairs: Iterable[tuple[str, str]], indent: str = "", label_width: int = 13) -> Iterator[str]:
    """Labelled values, the values below each other; a pair without a value is left out."""
    for label, value in pairs:
        if value:
            yield from wrap(value, f"{indent}{label:<{label_width}}", f"{indent}{'':<{label_width}}")


@dataclass(frozen=True)
class Table:
    """head: titles of the columns. shrink: columns that are cut when a row is too wide, in this order."""

    head: Sequence[str]
    shrink: Sequence[int] = ()
    least: int = 8

    def lines(self, rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
        """The table with its head; each line has at most 80 columns."""
        everything = [self.head, *rows]
        widths = [max(len(row[column]) for row in everything) for column in range(len(self.head))]
        for column in self.shrink:
            too_wide = len(indent) + sum(widths) + len(GAP) * (len(widths) - 1) - COLUMNS
            widths[column] -= max(0, min(too_wide, widths[column] - max(self.least, len(self.head[column]))))
        return [
            indent + GAP.join(f"{cut(cell, width):<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in everything
        ]


def age(seconds: float) -> str:
    """An age as kubectl's tables have it: 59s, 12m, 5h, 3d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def counted(counts: Mapping[str, int]) -> str:
    """`9 host network, 1 Fargate`; empty without any."""
    return ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)


def shared_suffix(names: Sequence[str]) -> str:
    """The end that all names have in common, from the first dot on; empty when they have none.

    EKS names its nodes `ip-10-0-1-23.eu-central-1.compute.internal`: what differs is in the first part.
    """
    suffixes = [name.partition(".")[1] + name.partition(".")[2] for name in names]
    return suffixes[0] if suffixes and all(one == other for one, other in pairwise(suffixes)) else ""
