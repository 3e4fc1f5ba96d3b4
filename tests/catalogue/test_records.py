"""The data itself: digests and images are those of the real files, and the ConfigMap's extension is safe to read."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.load import builtin_catalogue, with_config_map

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("CHART_DIR") or ROOT.parent / "shared" / "charts").parent
KNOWN = builtin_catalogue()


def test_the_images_are_those_of_the_real_charts(chart_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "catalogue_images.py"), str(chart_dir), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for release in KNOWN.cilium:
        assert len(release.chain_images) == 6, release.version
        assert all("@sha256:" in image for image in release.chain_images)


@pytest.mark.parametrize("version", [release.version for release in KNOWN.calico])
def test_the_digests_of_calicos_manifests_are_those_of_the_real_files(version: str) -> None:
    folder = SHARED / "calico" / f"v{version}"
    if not folder.is_dir():
        pytest.skip(f"no official manifests in {folder}")
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.yaml")}
    known = KNOWN.calico_release(version)
    assert dict(known.manifests) == files
    assert f"image: {known.operator}" in (folder / "tigera-operator.yaml").read_text(encoding="utf-8")


def test_a_minor_to_upgrade_from_is_not_installed_and_the_answer_says_so() -> None:
    with pytest.raises(ChainError) as caught:
        KNOWN.cilium_release("1.16.9")
    assert caught.value.reason is Reason.VERSION_UNKNOWN
    assert "can be upgraded from, not installed" in caught.value.message
    assert "nearest first: 1.17" in caught.value.message


def test_an_unknown_calico_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ChainError, match=r"spec\.calico\.version.*nearest first: 3\.32\.1, 3\.26\.0\."):
        KNOWN.calico_release("3.31.0")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (None, "has no key catalogue.yaml"),
        ({}, "has no key catalogue.yaml"),
        ({"catalogue.yml": "cilium: []"}, "has no key catalogue.yaml"),
        ({"catalogue.yaml": ""}, "the file"),
        ({"catalogue.yaml": "primaries: {weave: {}}"}, "primaries.weave"),
        ({"catalogue.yaml": "pairs: [{name: x, level: Refused, reason: Nope}]"}, "pairs.0.reason"),
        ({"catalogue.yaml": "cilium: 2026-13-45"}, "cannot be read"),
        ({"catalogue.yaml": "{" * 30000}, "cannot be read"),
    ],
)
def test_a_bad_config_map_changes_nothing_and_is_named(data: dict[str, str] | None, named: str) -> None:
    found = with_config_map(KNOWN, "cnichain-system", data)
    assert found.catalogue is KNOWN
    assert found.problem.startswith("ConfigMap cnichain-system/cnichain-catalogue")
    assert named in found.problem
    assert len(found.problem) < 2000


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")))
def test_no_text_in_the_config_map_can_make_reading_it_fail(text: str) -> None:
    with_config_map(KNOWN, "ns", {"catalogue.yaml": text})


def test_a_good_config_map_extends_the_catalogue() -> None:
    text = 'knownMinors: [{minor: "1.15", kubernetes: {min: "1.26", max: "1.29"}, kernel: "4.19"}]'
    found = with_config_map(KNOWN, "ns", {"catalogue.yaml": text})
    assert found.problem == ""
    assert found.origin == "the operator's own, extended by ConfigMap ns/cnichain-catalogue"
    assert [item.minor for item in found.catalogue.known_minors] == ["1.16", "1.15"]
