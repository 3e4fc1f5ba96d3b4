"""What `cnichain analyze` prints: a line for each problem, its fix, and a summary. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import click

from cnichain.analyze.documents import Unreadable
from cnichain.analyze.problem import Problem, Severity
from cnichain.cli.layout import wrap_whole

WIDTH = 80
COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
INDENT = "    "
STANDARD_INPUT = "<stdin>"


def counts(problems: Sequence[Problem]) -> dict[str, int]:
    """How many problems have each severity."""
    found = Counter(item.severity for item in problems)
    return {severity.value: found[severity] for severity in Severity}


def as_text(problems: Sequence[Problem], objects: int, *, notes: bool, colour: bool, wrap: bool = False) -> str:
    """The report for people. objects: how many were looked at. notes: whether notes are shown, or only counted.
    wrap: for a terminal; else a problem is one line and its fix, as programs that read lines like it.
    """
    shown = [item for item in problems if notes or item.severity is not Severity.NOTE]
    lines = [line for item in shown for line in _lines(item, colour, wrap)]
    return "\n".join([*lines, _summary(problems, objects, notes)])


def _lines(item: Problem, colour: bool, wrap: bool) -> Iterator[str]:
    level = item.severity.value.upper()
    shown = click.style(level, fg=COLOURS[item.severity], bold=True) if colour else level
    what, where = f"[{item.reason.value}] {item.resource}", f"({place(item.file, item.line)}):"
    head = f"{shown} {what} {where}"
    if wrap:
        fits = len(f"{level} {what} {where}") < WIDTH
        yield from [head] if fits else [f"{shown} {what}", f"{INDENT}{where}"]
        yield from wrap_whole(item.message, INDENT, INDENT)
    else:
        yield f"{head} {item.message}"
    yield from wrap_whole(item.fix, f"{INDENT}-> ", f"{INDENT}   ")
    if item.source:
        yield f"{INDENT}   {item.source}"


def place(file: str, line: int) -> str:
    """`file:line`, as editors open it."""
    name = STANDARD_INPUT if file == "-" else file
    return f"{name}:{line}" if line else name


def _summary(problems: Sequence[Problem], objects: int, notes: bool) -> str:
    found = counts(problems)
    looked = f"{objects} {_plural('object', objects)}"
    told = [f"{count} {_plural(name, count)}" for name, count in found.items() if count and name != Severity.NOTE.value]
    if count := found[Severity.NOTE.value]:
        told.append(f"{count} {_plural('note', count)}" + ("" if notes else " (--notes shows them)"))
    return f"{looked}: {', '.join(told) or 'no problem found'}."


def _plural(name: str, count: int) -> str:
    return name if count == 1 else f"{name}s"


def unreadable_text(items: Sequence[Unreadable]) -> str:
    """What could not be read, a line each."""
    return "\n".join(f"{place(item.file, item.line)}: {item.why}" for item in items)


def as_data(problems: Sequence[Problem], unreadable: Sequence[Unreadable], objects: int) -> dict[str, Any]:
    """The report for programs; notes are always in it."""
    return {
        "objects": objects,
        "counts": counts(problems),
        "problems": [
            {
                "level": item.severity.value,
                "reason": item.reason.value,
                "resource": item.resource,
                "file": item.file,
                "line": item.line,
                "message": item.message,
                "fix": item.fix,
                "source": item.source,
            }
            for item in problems
        ],
        "unreadable": [{"file": item.file, "line": item.line, "why": item.why} for item in unreadable],
    }
