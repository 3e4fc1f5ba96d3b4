"""The catalogue of a running operator: a ConfigMap extends it without a restart, and a bad one harms nothing.

And what is remembered of the first installation, whatever is lost of the rest.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from cnichain.catalogue.load import builtin_catalogue
from harness import Harness

pytestmark = pytest.mark.controlplane

NEXT = "1.20.1"


def extend(world: Harness, text: str) -> None:
    """Apply the ConfigMap as a user would."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cnichain-catalogue", "namespace": "cnichain-system"},
        "data": {"catalogue.yaml": text},
    }
    world.kubectl("apply", "--filename=-", stdin=json.dumps(body))


def entry(version: str) -> str:
    """An entry for a version that this release does not know: the chart of 1.20.0 under another name."""
    known = builtin_catalogue().cilium_release("1.20.0")
    release = {
        "version": version,
        "source": "official",
        "chartSha256": known.chart_sha256,
        "kubernetes": {"min": "1.33", "max": "1.36"},
        "kernel": "5.10",
    }
    return yaml.safe_dump({"cilium": [release]})


@pytest.fixture(scope="module")
def charts_with_next(world: Harness, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of charts that also has the next version's archive."""
    folder = tmp_path_factory.mktemp("charts")
    for archive in world.chart_dir.glob("cilium-*.tgz"):
        (folder / archive.name).symlink_to(archive)
    shutil.copy(world.chart_dir / "cilium-1.20.0.tgz", folder / f"cilium-{NEXT}.tgz")
    return folder


def test_the_first_minor_outlives_the_cnichain_its_status_and_the_operator(world: Harness) -> None:
    history = ("configmap", "cnichain-history-default", "--namespace=cnichain-system")
    with world.operator(), world.agents():
        world.apply_chain({"cilium": {"version": "1.19.6"}})
        world.wait_ready()
        assert world.get(*history)["data"]["firstMinor"] == "1.19"
        # Retain is the default: Cilium stays, and the status goes with the CNIChain.
        world.delete_chain()
    with world.operator(), world.agents():
        world.apply_chain({"cilium": {"version": "1.20.0"}})
        world.wait_ready()
        assert first_minor(world) == "1.19"
        config = world.get("configmap", "cilium-config", "--namespace=kube-system")["data"]
        assert "envoy-xds-mode" not in config, "a cluster that began with 1.20 has ads here, others have nothing"
        world.kubectl("delete", *history)
        world.apply_chain({"cilium": {"version": "1.20.0"}, "hubble": {"ui": {"enabled": False}}})
        world.wait("the record is back, from the status", lambda: world.exists(*history), 60)
        assert world.get(*history)["data"]["firstMinor"] == "1.19"


def first_minor(world: Harness) -> str:
    """The first minor as status tells it."""
    return str(world.get("cnichain", "default")["status"]["versions"]["firstMinor"])


def test_a_config_map_adds_a_version_to_a_running_operator(world: Harness, charts_with_next: Path) -> None:
    with world.operator(chart_dir=str(charts_with_next)), world.agents():
        world.apply_chain({"cilium": {"version": NEXT}})
        stalled = world.wait_reason("Ready", "VersionUnknown")
        assert "nearest first: 1.20.0" in stalled["message"]
        assert world.conditions()["CatalogueValid"]["status"] == "True"
        extend(world, entry(NEXT))
        world.wait_ready()
        valid = world.conditions()["CatalogueValid"]
        assert "extended by ConfigMap cnichain-system/cnichain-catalogue" in valid["message"]
        assert "Cilium releases: 6" in valid["message"]
        assert world.get("cnichain", "default")["status"]["versions"]["cilium"] == NEXT


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("cilium: [{version: 1.20.2}]", "key catalogue.yaml: cilium.0.source: Field required"),
        ("pairs: [{name: x, level: Maybe}]", "pairs.0.level"),
        ("cilium: {", "cannot be read"),
        ("[" * 20000, "cannot be read"),
    ],
)
def test_a_bad_config_map_is_named_and_what_runs_is_left_alone(
    world: Harness, charts_with_next: Path, text: str, named: str
) -> None:
    with world.operator(chart_dir=str(charts_with_next)), world.agents():
        world.apply_chain({"cilium": {"version": "1.20.0"}})
        extend(world, entry(NEXT))
        world.wait("the good one is in force", lambda: valid_status(world) == "True")
        world.wait_ready()
        extend(world, text)
        invalid = world.wait_reason("CatalogueValid", "CatalogueInvalid")
        assert invalid["status"] == "False"
        assert named in invalid["message"]
        assert "cnichain-system/cnichain-catalogue" in invalid["message"]
        assert world.wait_ready()["status"] == "True"
        world.wait("the event is there", lambda: "CatalogueInvalid" in world.reasons_of_events(), 20)
        world.kubectl("delete", "configmap", "cnichain-catalogue", "--namespace=cnichain-system")
        world.wait_reason("CatalogueValid", "CatalogueValid")


def valid_status(world: Harness) -> str:
    return str(world.conditions().get("CatalogueValid", {}).get("status"))
