"""A Cilium that helm, cilium-cli or kubectl has installed becomes, field by field, what a fresh installation is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import installers
from adoptionrig import Rig
from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.credentials import load_credentials
from harness import ROOT, Harness
from installers import Cilium, Install, clear, comparable, objects

pytestmark = pytest.mark.controlplane

OLD, NEW = "1.17.18", "1.18.12"
OURS = "--selector=cnichain.io/owner=default"
Objects = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> Iterator[Rig]:
    """A control plane without nodes; the operator's work is done under its own account with the shipped roles."""
    work = tmp_path_factory.mktemp("adoption")
    with ControlPlane.run(work / "cp") as control_plane:
        world = Harness(control_plane, work, chart_dir)
        for path in ("crds", "deploy/base/namespace.yaml", "deploy/base/rbac.yaml"):
            world.kubectl("apply", "--server-side", f"--filename={ROOT / path}")
        credentials = load_credentials(world.kubeconfig_of("cnichain-operator"))
        yield Rig(world, credentials)


@pytest.fixture(scope="module")
def fresh(rig: Rig) -> dict[str, Objects]:
    """By version: the objects of an installation by the operator alone."""
    found = {}
    for version in (OLD, NEW):
        rig.install(version)
        found[version] = {key: comparable(item) for key, item in objects(rig.world, OURS).items()}
        clear(rig.world)
    return found


@pytest.fixture
def clean(rig: Rig) -> Iterator[Rig]:
    """The cluster without any Cilium, before and after."""
    yield rig
    clear(rig.world)


def assert_like_fresh(world: Harness, fresh: Objects) -> None:
    """Every object is as in a fresh installation, and nothing else of the old one is there."""
    now = {key: comparable(item) for key, item in objects(world, OURS).items()}
    assert sorted(now) == sorted(fresh), "the objects of a fresh installation and no others"
    for key, item in now.items():
        for part in sorted({*item, *fresh[key]}):
            assert item.get(part) == fresh[key].get(part), f"{part} of {key} is not as in a fresh installation"
    others = {key: item for key, item in objects(world).items() if key not in now}
    left = [key for key, item in others.items() if "meta.helm.sh" in json.dumps(item["metadata"])]
    left += [key for key, item in others.items() if '"app.kubernetes.io/part-of": "cilium"' in json.dumps(item)]
    assert left == [], "nothing may still say that it is of the old installation"


@pytest.mark.parametrize(
    ("install", "installer", "version"),
    [
        (installers.helm_client_side, "helm", OLD),
        (installers.helm_client_side, "helm", NEW),
        (installers.helm_server_side, "helm", NEW),
        (installers.cilium_cli, "cilium-cli", NEW),
        (installers.kubectl_apply, "kubectl", NEW),
        (installers.kubectl_apply_server_side, "kubectl", OLD),
        (installers.kubectl_create, "kubectl", OLD),
        (installers.kubectl_replace, "kubectl", NEW),
        (installers.untracked, "kubectl", NEW),
    ],
)
def test_it_becomes_what_a_fresh_installation_is(
    clean: Rig, fresh: dict[str, Objects], install: Install, installer: str, version: str
) -> None:
    install(clean.world, Cilium(OLD))
    ca = clean.world.get("secret", "cilium-ca", "-n", "kube-system")["data"]
    survey = clean.survey(version)
    assert survey is not None
    assert (survey.installer, survey.version) == (installer, OLD)
    assert not any(name.startswith("Secret") for name in map(str, survey.leftovers))
    clean.install(version)
    assert_like_fresh(clean.world, fresh[version])
    assert clean.world.get("secret", "cilium-ca", "-n", "kube-system")["data"] == ca, "agents must trust each other on"
    assert clean.survey(version) is None, "an adoption is done once"
