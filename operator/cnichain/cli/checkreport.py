"""What `cnichain check` prints: categories, one line per check, and for what is not fine why and what to do. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import click

from cnichain.cli.layout import link, wrap_whole
from cnichain.preflight.finding import Category, Level, Result

WIDTH = 80
SIGNS = {Level.OK: "√", Level.WARNING: "‼", Level.REFUSED: "×", Level.UNKNOWN: "?"}
PLAIN_SIGNS = {Level.OK: "+", Level.WARNING: "!", Level.REFUSED: "x", Level.UNKNOWN: "?"}
"""For a terminal whose encoding has no others."""
COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.REFUSED: "red", Level.UNKNOWN: "cyan"}
INDENT = "    "


@dataclass(frozen=True)
class Words:
    """How one kind of report puts it. refused: what the level is called, for one check that fails."""

    categories: Iterable[StrEnum]
    well: str
    ill: str
    refused: str = Level.REFUSED.value


BEFORE = Words(Category, "Nothing stands in the way", "The chain would be refused")


def as_text(results: Sequence[Result], *, colour: bool, plain: bool = False, words: Words = BEFORE) -> str:
    """The report for people. colour: with escape sequences. plain: ASCII signs."""
    lines: list[str] = []
    for category in words.categories:
        mine = [item for item in results if item.check.category is category]
        if mine:
            name = category.value
            lines += [name, "-" * len(name), *(line for item in mine for line in _lines(item, colour, plain)), ""]
    lines.append(_verdict(results, colour, plain, words))
    return "\n".join(lines)


def _lines(item: Result, colour: bool, plain: bool) -> Iterator[str]:
    finding = item.finding
    sign = _sign(finding.level, colour, plain)
    if finding.level is Level.OK:
        first, *rest = wrap_whole(f"{item.check.title}: {finding.message}", "  ", "  ")
        yield f"{sign} {first.removeprefix('  ')}"
        yield from rest
        return
    yield f"{sign} {item.check.title}: {finding.reason.value}"
    yield from wrap_whole(finding.message, INDENT, INDENT)
    yield from wrap_whole(finding.fix, f"{INDENT}-> ", f"{INDENT}   ")
    yield f"{INDENT}{link(finding.reason)}"
    source = f"{INDENT}{finding.source}"
    if finding.source.startswith("https://") and len(source) < WIDTH:
        # A link that is broken cannot be followed; a longer one is in the JSON report.
        yield source


def _sign(level: Level, colour: bool, plain: bool) -> str:
    sign = (PLAIN_SIGNS if plain else SIGNS)[level]
    return click.style(sign, fg=COLOURS[level], bold=True) if colour else sign


def counts(results: Sequence[Result]) -> dict[str, int]:
    """How many checks have each level."""
    return {level.value: sum(item.finding.level is level for item in results) for level in Level}


def _verdict(results: Sequence[Result], colour: bool, plain: bool, words: Words) -> str:
    found = {_named(level, words): count for level, count in counts(results).items()}
    told = ", ".join(f"{count} {_plural(name, count)}" for name, count in found.items() if count)
    level = Level.REFUSED if found[words.refused] else Level.OK
    word = words.ill if found[words.refused] else words.well
    return f"{_sign(level, colour, plain)} {word}: {told}."


def _plural(level: str, count: int) -> str:
    return "warnings" if level == Level.WARNING.value and count > 1 else level


def _named(level: str, words: Words) -> str:
    return words.refused if level == Level.REFUSED.value else level


def as_data(results: Sequence[Result], cilium: str, kubernetes: str, words: Words = BEFORE) -> dict[str, Any]:
    """The report for programs."""
    return {
        "cilium": cilium,
        "kubernetes": kubernetes,
        "passed": not counts(results)["refused"],
        "counts": {_named(level, words): count for level, count in counts(results).items()},
        "checks": [
            {
                "check": item.check.code,
                "category": item.check.category.value,
                "title": item.check.title,
                "level": _named(item.finding.level.value, words),
                "reason": item.finding.reason.value,
                "message": item.finding.message,
                "fix": item.finding.fix,
                "source": item.finding.source,
                "hint": "" if item.finding.level is Level.OK else link(item.finding.reason),
            }
            for item in results
        ],
    }
