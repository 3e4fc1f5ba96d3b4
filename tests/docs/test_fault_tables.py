"""The tables of faults: each test that they name exists, and each line names one."""

import re

import pytest

from docpages import DOCS, ROOT

NAMED = re.compile(r"`(?P<path>[\w/]+\.py)(?:::(?P<name>\w+)(?:\[[^`]*\])?)?`")


def rows(page: str) -> list[list[str]]:
    """The cells of each line of a page's tables, without their heads."""
    lines = [line for line in (DOCS / page).read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [one for one in cells if one[0] not in {"no.", "fault"} and not set(one[0]) <= {"-", "|"}]


@pytest.mark.parametrize(("page", "columns"), [("faults.md", 4), ("chaos.md", 5)])
def test_each_test_that_a_table_names_exists(page: str, columns: int) -> None:
    found = rows(page)
    assert len(found) > 20, "the table is not found any more"
    assert [one for one in found if len(one) != columns] == [], "lines that are no line of the table"
    lost = []
    for one in found:
        named = list(NAMED.finditer(one[-1]))
        if not named:
            lost.append(f"{one[0]}: names no test")
        for match in named:
            path = ROOT / "tests" / match["path"]
            if not path.is_file():
                lost.append(f"{one[0]}: there is no {match['path']}")
            elif match["name"] and f"\ndef {match['name']}(" not in path.read_text(encoding="utf-8"):
                lost.append(f"{one[0]}: there is no {match['name']} in {match['path']}")
    assert lost == []


def test_each_chaos_test_is_in_the_table() -> None:
    page = (DOCS / "chaos.md").read_text(encoding="utf-8")
    tests = [
        f"chaos/{path.name}::{name}"
        for path in sorted((ROOT / "tests/chaos").glob("test_*.py"))
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]
    assert tests
    assert [name for name in tests if f"`{name}`" not in page] == []
