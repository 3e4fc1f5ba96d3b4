"""What stands in the way in a spec itself, told all at once."""

from typing import Any

import pytest

from cnichain.api.chain import parse_spec
from cnichain.catalogue.load import load_catalogue
from cnichain.render.speccheck import spec_results


def levels(spec: dict[str, Any], installed: str = "") -> dict[str, tuple[str, str]]:
    results = spec_results(parse_spec(spec), load_catalogue(), installed)
    return {item.check.code: (item.finding.level.value, item.finding.reason.value) for item in results}


def test_a_good_spec_has_nothing_but_ok() -> None:
    found = levels({"cilium": {"version": "1.20.0"}})
    assert set(found.values()) == {("ok", "PreflightPassed")}
    assert list(found) == ["primary-known", "cilium-known", "policy-engine", "upgrade-step", "spec-values"]


@pytest.mark.parametrize(
    ("spec", "installed", "code", "expected"),
    [
        ({"primary": {"plugin": "flannel"}}, "", "primary-known", ("refused", "FeatureNotAvailable")),
        ({"cilium": {"version": "1.17.99"}}, "", "cilium-known", ("refused", "VersionUnknown")),
        ({}, "1.17.3", "upgrade-step", ("refused", "UpgradeSkipsMinor")),
        (
            {"cilium": {"version": "1.20.0", "values": {"cni": {"exclusive": True}}}},
            "",
            "spec-values",
            ("refused", "ReservedValue"),
        ),
    ],
)
def test_what_a_spec_is_refused_for(spec: dict[str, Any], installed: str, code: str, expected: tuple[str, str]) -> None:
    assert levels({"cilium": {"version": "1.20.0"}} | spec, installed)[code] == expected


def test_a_value_that_the_minor_reads_elsewhere_is_taken_there_and_told() -> None:
    moved = {"version": "1.20.0", "values": {"hubble": {"relay": {"dialTimeout": "5s"}}}}
    assert levels({"cilium": moved})["spec-values"] == ("warning", "ValueMoved")
    assert levels({"cilium": moved | {"version": "1.17.18"}})["spec-values"] == ("ok", "PreflightPassed")
