"""The catalogue as a table for a terminal of 80 columns, and as plain data. Pure."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnichain.catalogue.model import Catalogue
from cnichain.catalogue.records import KubernetesRange, Pair, Trap, parse_version
from cnichain.catalogue.verdict import Level

WIDTH = 80


def as_table(catalogue: Catalogue) -> str:
    """The catalogue for people: releases, primaries, traps and pairs; no line is longer than WIDTH."""
    parts = [
        "CILIUM",
        *_columns(("VERSION", "KUBERNETES", "EKS (CI)", "KERNEL", "UPSTREAM", "INSTALLABLE"), _cilium_rows(catalogue)),
        "",
        "CALICO",
        *_columns(("VERSION", "KUBERNETES", "OPERATOR"), _calico_rows(catalogue)),
        "",
        "PRIMARY CNI",
        *_columns(("PLUGIN", "FLOOR", "RECOMMENDED", "NEWEST KNOWN", "AVOID"), _primary_rows(catalogue)),
        "",
        "TRAPS OF VERSIONS",
        *(line for owner, trap in traps(catalogue) for line in _entry(_trap_title(owner, trap), trap.text)),
        "",
        "PARTS THAT DO NOT GO TOGETHER",
        *(line for pair in catalogue.pairs for line in _entry(f"{pair.level.value}, {pair.reason.value}", pair.text)),
    ]
    return "\n".join(parts) + "\n"


def as_data(catalogue: Catalogue) -> dict[str, Any]:
    """The catalogue in the form of its own file: what an extension may copy an entry from."""
    data: dict[str, Any] = catalogue.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return data


def traps(catalogue: Catalogue) -> Iterator[tuple[str, Trap]]:
    """Every trap once, with the name of what it is about, in the order of the versions that it begins with."""
    for plugin, rule in catalogue.primaries.items():
        for trap in sorted(rule.traps, key=lambda item: parse_version(item.since) or (0, 0, 0)):
            yield plugin.value, trap
    seen: set[str] = set()
    for release in catalogue.calico:
        for trap in release.traps:
            if trap.text not in seen:
                seen.add(trap.text)
                yield "calico", trap


def span(trap: Trap) -> str:
    """The versions of a trap in words."""
    return f"{trap.since} and later" if trap.below is None else f"{trap.since} to before {trap.below}"


def matched(pair: Pair) -> str:
    """The conditions of a pair in words."""
    said = pair.when.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return "; ".join(f"{name} {_words(value)}" for name, value in said.items())


def minors(tested: KubernetesRange | None) -> str:
    """A range as `1.29-1.32`; a dash when there is none."""
    return f"{tested.min}-{tested.max}" if tested else "-"


def _cilium_rows(catalogue: Catalogue) -> Iterator[tuple[str, ...]]:
    for known in catalogue.known_minors:
        yield f"{known.minor}.x", minors(known.kubernetes), minors(known.eks), known.kernel, "ended", "upgrade from"
    for item in sorted(catalogue.cilium, key=lambda release: parse_version(release.version) or (0, 0, 0)):
        kind = "yes" if item.source == "official" else item.source
        upstream = "maintained" if item.maintained else "ended"
        yield item.version, minors(item.kubernetes), minors(item.eks), item.kernel, upstream, kind


def _calico_rows(catalogue: Catalogue) -> Iterator[tuple[str, ...]]:
    for item in catalogue.calico:
        yield item.version, minors(item.kubernetes), item.operator


def _primary_rows(catalogue: Catalogue) -> Iterator[tuple[str, ...]]:
    for plugin, rule in catalogue.primaries.items():
        yield plugin.value, rule.floor, rule.recommended_minimum, rule.newest or "-", ", ".join(rule.avoid) or "-"


def _columns(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    lines = [tuple(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield _cut("   ".join(cells).rstrip())


def _trap_title(owner: str, trap: Trap) -> str:
    level = {Level.SUPPORTED: "note", Level.UNTESTED: "warning", Level.REFUSED: "refused"}[trap.level]
    return f"{owner} {span(trap)} ({level})"


def _entry(title: str, text: str) -> Iterator[str]:
    yield _cut(title)
    yield from textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        ends = [f"{'from' if name == 'min' else name} {_words(end)}" for name, end in value.items()]
        return " ".join(ends)
    if isinstance(value, list):
        return " or ".join("-".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return str(value)
