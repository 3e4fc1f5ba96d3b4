"""The alerts, judged by the real promtool: that it takes them, and when they fire."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.alerts import GROUPS
from monitoring.rules import groups
from promtool import UnavailableError, promtool

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
TESTS = Path(__file__).with_name("alerts.test.yaml")
ALERTS = [alert for alerts in GROUPS.values() for alert in alerts]
NAMES = sorted({alert.name for alert in ALERTS})
PARTS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


@pytest.fixture(scope="module")
def program() -> Path:
    """promtool."""
    try:
        return promtool()
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules that are deployed, as a rule file, and the tests beside it, without anchors: promtool refuses them."""
    folder = tmp_path_factory.mktemp("rules")
    deployed = yaml.safe_load((ROOT / "deploy/monitoring/prometheusrule.yaml").read_text(encoding="utf-8"))
    (folder / "rules.yaml").write_text(yaml.safe_dump(deployed["spec"]), encoding="utf-8")
    (folder / "tests.yaml").write_text(yaml.dump(unit_tests(), Dumper=_Plain), encoding="utf-8")
    return folder


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """No anchors."""
        return True


def unit_tests() -> dict[str, Any]:
    """The unit tests."""
    found: dict[str, Any] = yaml.safe_load(TESTS.read_text(encoding="utf-8"))
    return found


def run(program: Path, folder: Path, *arguments: str) -> str:
    """promtool's words; fails the test when it is not content."""
    done = subprocess.run(
        [str(program), *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_promtool_takes_the_rules(program: Path, folder: Path) -> None:
    assert f"{len(ALERTS)} rules found" in run(program, folder, "check", "rules", "rules.yaml")


def test_each_alert_fires_when_it_should_and_only_then(program: Path, folder: Path) -> None:
    assert "SUCCESS" in run(program, folder, "test", "rules", "tests.yaml")


def test_a_rule_that_never_fires_would_be_found(program: Path, folder: Path, tmp_path: Path) -> None:
    """What the test above is worth: with another threshold it fails."""
    rules = (folder / "rules.yaml").read_text(encoding="utf-8")
    assert "cnichain_conflist_in_sync) ==" in rules
    (tmp_path / "rules.yaml").write_text(rules.replace("conflist_in_sync) ==", "conflist_in_sync) > 1 +"), "utf-8")
    (tmp_path / "tests.yaml").write_bytes((folder / "tests.yaml").read_bytes())
    done = subprocess.run(
        [str(program), "test", "rules", "tests.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "CNIChainConflistDrift" in done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_tested_both_ways(name: str) -> None:
    cases = [case for test in unit_tests()["tests"] for case in test["alert_rule_test"] if case["alertname"] == name]
    assert any(case.get("exp_alerts") for case in cases), f"no unit test in which {name} fires"
    assert any(not case.get("exp_alerts") for case in cases), f"no unit test in which {name} does not fire"


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_runbook(name: str) -> None:
    page = RUNBOOKS / f"{name}.md"
    assert page.is_file(), f"{name} has no {page.relative_to(ROOT)}"
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {name}"
    assert [line for line in lines if line.startswith("## ")] == PARTS
    diagnosis = "\n".join(lines).split("## Diagnosis")[1]
    assert "```" in diagnosis, "a runbook has commands"


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert sorted(page.stem for page in RUNBOOKS.glob("*.md")) == NAMES


def test_every_alert_says_what_where_and_what_to_do() -> None:
    for group in groups():
        for rule in group["rules"]:
            assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, rule["alert"]
            assert rule["annotations"]["runbook_url"].endswith(f"/runbooks/{rule['alert']}.html")
