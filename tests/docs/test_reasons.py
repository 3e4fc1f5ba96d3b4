"""Reason codes: each one that is registered is given by the code, described in the docs, and expected by a test."""

import textwrap

import pytest

import reasoncodes
from cnichain.api.reasons import REASONS, Reason
from docpages import DOCS


def test_each_code_is_given_by_the_code() -> None:
    given = reasoncodes.given()
    dead = [reason.value for reason in Reason if reason not in given]
    assert dead == [], "codes that nothing gives: a reader would look for them in vain"


def test_each_code_has_its_entry_with_cause_and_fix() -> None:
    page = (DOCS / "reasons.md").read_text(encoding="utf-8")
    for reason in Reason:
        about = REASONS[reason]
        assert f"\n## {reason.value}\n" in page, f"{reason.value} is not on the page"
        assert about.cause.strip(), f"{reason.value} needs a cause"
        assert about.fix.strip(), f"{reason.value} needs a fix"


def test_each_code_is_expected_by_a_test() -> None:
    given, expected = reasoncodes.given(), reasoncodes.expected()
    missing = [f"{reason.value}, given at {min(given[reason])}" for reason in given if reason not in expected]
    assert missing == [], (
        "codes that no test expects (tests/support/reasoncodes.py says what counts). Write a test that makes the code "
        "give it, and asserts that it comes."
    )


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ('assert found["Ready"]["reason"] == "WaitingForHealth"', True),
        ("assert error.reason is Reason.WAITING_FOR_HEALTH", True),
        ('world.wait_reason("Ready", "WaitingForHealth")', True),
        ('world.wait("told", lambda: "WaitingForHealth" in world.reasons(), 20)', True),
        ('with pytest.raises(ChainError, match="WaitingForHealth: x"): f()', True),
        ('@pytest.mark.parametrize("x", [(1, "WaitingForHealth")])\ndef test() -> None: ...', True),
        (
            'ROWS = [("a", Reason.WAITING_FOR_HEALTH)]\n@pytest.mark.parametrize("x", ROWS)\ndef test() -> None: ...',
            True,
        ),
        ("report = StageReport('x', Reason.WAITING_FOR_HEALTH)", False),
        ("raise ChainError(Reason.WAITING_FOR_HEALTH, 'x')", False),
        ('world.wait("told", shown(ChainError(Reason.WAITING_FOR_HEALTH, "x")))', False),
        ('ROWS = [("a", Reason.WAITING_FOR_HEALTH)]', False),
        ('"""WaitingForHealth is what this is about."""', False),
    ],
)
def test_what_counts_as_expected(source: str, counts: bool, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "test_it.py").write_text(textwrap.dedent(source), encoding="utf-8")
    monkeypatch.setattr(reasoncodes, "TESTS", tmp_path)
    monkeypatch.setattr(reasoncodes, "ROOT", tmp_path)
    assert (Reason.WAITING_FOR_HEALTH in reasoncodes.expected()) is counts
