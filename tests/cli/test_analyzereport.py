"""What `cnichain analyze` prints: lines for programs, wrapped text for a terminal of 80 columns."""

import click

from cnichain.analyze.documents import Unreadable
from cnichain.analyze.problem import Problem, Severity
from cnichain.api.reasons import Reason
from cnichain.cli.analyzereport import as_data, as_text, place, unreadable_text


def one(severity: Severity, name: str = "CNIChain/default", file: str = "chain.yaml", line: int = 7) -> Problem:
    """A problem with a long message."""
    message = "spec.cilium.values has something that goes on for a while, and then on, and on, until the line is full."
    return Problem(severity, Reason.RESERVED_VALUE, name, file, line, message, "https://example.com/a/source")


ALL = [one(severity) for severity in Severity]
LONG = one(Severity.ERROR, "CiliumClusterwideNetworkPolicy/a-name-that-is-long", "clusters/production/eu-west-1/p.yaml")


def test_through_a_pipe_a_problem_is_one_line_and_then_its_fix() -> None:
    lines = as_text([ALL[0]], 1, notes=False, colour=False).splitlines()
    assert lines[0] == f"ERROR [ReservedValue] CNIChain/default (chain.yaml:7): {ALL[0].message}"
    assert lines[1] == "    -> Take the key that the message names out of the values."
    assert lines[2] == "       https://example.com/a/source"
    assert lines[-1] == "1 object: 1 error."


def test_on_a_terminal_every_line_fits_80_columns() -> None:
    text = as_text([*ALL, LONG], 5, notes=True, colour=False, wrap=True)
    assert max(map(len, text.splitlines())) < 80, text
    assert "    (clusters/production/eu-west-1/p.yaml:7):" in text.splitlines()
    assert ALL[0].message in " ".join(text.split()), "wrapping loses nothing"


def test_notes_are_counted_and_shown_only_when_asked_for() -> None:
    quiet, full = (as_text(ALL, 3, notes=notes, colour=False) for notes in (False, True))
    assert ("NOTE [" in quiet, "NOTE [" in full) == (False, True)
    assert quiet.endswith("3 objects: 1 error, 1 warning, 1 note (--notes shows them).")
    assert full.endswith("3 objects: 1 error, 1 warning, 1 note.")
    assert as_text([], 1, notes=False, colour=False) == "1 object: no problem found."


def test_colour_is_only_in_the_level() -> None:
    coloured = as_text(ALL, 3, notes=True, colour=True)
    assert click.unstyle(coloured) == as_text(ALL, 3, notes=True, colour=False)
    assert coloured.count("\x1b[0m") == len(ALL)


def test_places_and_data() -> None:
    assert place("-", 3) == "<stdin>:3"
    assert unreadable_text([Unreadable("x.yaml", 0, "No such file")]) == "x.yaml: No such file"
    data = as_data(ALL, [Unreadable("x.yaml", 2, "why")], 4)
    assert data["counts"] == {"error": 1, "warning": 1, "note": 1}
    assert data["unreadable"] == [{"file": "x.yaml", "line": 2, "why": "why"}]
    assert [item["level"] for item in data["problems"]] == ["error", "warning", "note"]
