"""The catalogue: what it knows, what it says about what it does not know, and an operator's own file."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.errors import ChainError
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason
from cnichain.catalogue.load import load_catalogue
from cnichain.catalogue.model import parse_version

CHARTS = Path(os.environ.get("CHART_DIR") or Path(__file__).parents[3] / "shared" / "charts")
VERSIONS = ["1.17.3", "1.17.18", "1.18.12", "1.19.6", "1.20.0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.18.5", (1, 18, 5)),
        ("v1.18.5", (1, 18, 5)),
        ("v1.18.5-eksbuild.1", (1, 18, 5)),
        ("v1.36.1+k3s1", (1, 36, 1)),
        ("1.18", None),
        ("1.18.5.2", None),
        ("latest", None),
        ("", None),
        ("v1.18.5 ", None),
        ("١.١٨.٥", None),
        ("1.18." + "9" * 5000, None),
    ],
)
def test_versions_are_read_with_and_without_v_and_suffix(text: str, expected: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == expected


@given(st.tuples(st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 9999)), st.sampled_from(["", "v"]))
def test_every_version_is_read_as_written(version: tuple[int, int, int], prefix: str) -> None:
    assert parse_version(prefix + ".".join(map(str, version))) == version


def test_versions_are_compared_as_numbers() -> None:
    assert sorted(VERSIONS, key=lambda text: parse_version(text) or ()) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pinned_digest_is_that_of_the_official_archive(version: str) -> None:
    release = load_catalogue().cilium_release(version)
    archive = CHARTS / release.archive
    if not archive.exists():
        pytest.skip(f"no {archive}; set CHART_DIR to a folder of the official charts")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == release.chart_sha256
    assert release.source == "official"


def test_an_unknown_version_is_answered_with_the_known_ones_nearest_first() -> None:
    with pytest.raises(ChainError) as caught:
        load_catalogue().cilium_release("1.19.1")
    assert caught.value.reason is Reason.VERSION_UNKNOWN
    assert "1.19.1" in caught.value.message
    assert "nearest first: 1.19.6, 1.20.0, 1.18.12, 1.17.3, 1.17.18." in caught.value.message


def test_a_primary_without_a_rule_is_not_available() -> None:
    with pytest.raises(ChainError) as caught:
        load_catalogue().primary(PrimaryPlugin.FLANNEL)
    assert caught.value.reason is Reason.FEATURE_NOT_AVAILABLE
    assert "flannel" in caught.value.message
    assert "aws-vpc-cni" in caught.value.message


def test_the_rule_of_the_vpc_cni() -> None:
    rule = load_catalogue().primary(PrimaryPlugin.AWS_VPC_CNI)
    assert (rule.namespace, rule.daemon_set, rule.container) == ("kube-system", "aws-node", "aws-node")
    assert (rule.floor, rule.recommended_minimum) == ("1.11.2", "1.16.2")
    assert "cniVersion 1.0.0" in rule.avoid["1.16.0"]


def test_a_file_adds_a_release_and_replaces_one(tmp_path: Path) -> None:
    extra = tmp_path / "extra.yaml"
    common = 'source: stand-in, kubernetes: {min: "1.29", max: "1.40"}, kernel: "5.4"'
    extra.write_text(
        f"""
cilium:
  - {{version: 1.17.3, chartSha256: "{"a" * 64}", {common}}}
  - {{version: 9.9.9, chartSha256: "{"b" * 64}", crds: [one.example.com], {common}}}
"""
    )
    catalogue = load_catalogue(extra)
    assert catalogue.cilium_release("1.17.3").chart_sha256 == "a" * 64
    assert catalogue.cilium_release("1.17.3").source == "stand-in"
    assert catalogue.cilium_release("9.9.9").crds == ("one.example.com",)
    assert catalogue.cilium_release("1.20.0").source == "official", "entries that the file does not name stay"
    assert catalogue.primary(PrimaryPlugin.AWS_VPC_CNI).daemon_set == "aws-node"
    assert load_catalogue().cilium_release("1.17.3").source == "official", "the built-in catalogue was changed"


ENTRY = 'version: 1.2.3, source: official, kubernetes: {min: "1.29", max: "1.32"}, kernel: "5.4"'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "the file"),
        ("[]", "the file"),
        ("cilium: {", "cannot be read"),
        ("cilia: []", "cilia"),
        (f'cilium: [{{{ENTRY}, chartSha256: "xyz"}}]', "cilium.0.chartSha256"),
        (f"cilium: [{{{ENTRY}}}]", "cilium.0.chartSha256"),
        ("primaries: {weave: {}}", "primaries.weave"),
        (f'cilium: [{{{ENTRY}, chartSha256: "{"a" * 64}"}}, {{{ENTRY}, chartSha256: "{"b" * 64}"}}]', "1.2.3"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_field(tmp_path: Path, text: str, named: str) -> None:
    extra = tmp_path / "extra.yaml"
    extra.write_text(text)
    with pytest.raises(ChainError) as caught:
        load_catalogue(extra)
    assert str(extra) in caught.value.message
    assert named in caught.value.message


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match=r"nowhere\.yaml cannot be read"):
        load_catalogue(tmp_path / "nowhere.yaml")
