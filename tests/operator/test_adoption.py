"""A Cilium that helm, cilium-cli or kubectl has installed becomes, field by field, what a fresh installation is."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import installers
from harness import ROOT, WRITES, Harness
from installers import CHAINED, Cilium, Install, clear, comparable, helm, objects

pytestmark = pytest.mark.controlplane

OLD, NEW = "1.17.3", "1.18.12"
OURS = "--selector=cnichain.io/owner=default"


def spec(version: str, **more: Any) -> dict[str, Any]:
    return {"cilium": {"version": version}, **more}


@pytest.fixture(scope="module")
def running(world: Harness) -> Iterator[Harness]:
    """Operator, under its own account with the shipped roles, and agents for all tests of the module."""
    world.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/rbac.yaml'}")
    with ExitStack() as stack:
        stack.enter_context(world.operator(kubeconfig=str(installers.kubeconfig_of(world, "cnichain-operator"))))
        stack.enter_context(world.agents())
        yield world


@pytest.fixture(scope="module")
def fresh(running: Harness) -> dict[str, dict[str, Any]]:
    """By version: the objects of an installation by the operator alone."""
    found = {}
    for version in (OLD, NEW):
        running.apply_chain(spec(version))
        running.wait_ready()
        found[version] = {key: comparable(item) for key, item in objects(running, OURS).items()}
        clear(running)
    return found


@pytest.fixture
def clean(running: Harness, fresh: dict[str, dict[str, Any]]) -> Iterator[Harness]:
    """The cluster without any Cilium, before and after."""
    yield running
    clear(running)


def adopt(world: Harness, version: str, **more: Any) -> None:
    """Agree to the adoption and wait until it is done."""
    world.apply_chain(spec(version, adopt=True, **more))
    world.wait_ready()
    status = world.get("cnichain", "default")["status"]["adoption"]
    assert status["state"] == "Adopted", status


def assert_like_fresh(world: Harness, fresh: dict[str, Any]) -> None:
    """Every object is as in a fresh installation, and nothing else of the old one is there."""
    now = {key: comparable(item) for key, item in objects(world, OURS).items()}
    assert sorted(now) == sorted(fresh), "the objects of a fresh installation and no others"
    for key, item in now.items():
        for part in sorted({*item, *fresh[key]}):
            assert item.get(part) == fresh[key].get(part), f"{part} of {key} is not as in a fresh installation"
    others = {key: item for key, item in objects(world).items() if key not in now}
    left = [key for key, item in others.items() if "meta.helm.sh" in json.dumps(item["metadata"].get("annotations"))]
    left += [key for key, item in others.items() if (item["metadata"].get("labels") or {}).get(PART_OF) == "cilium"]
    assert left == [], "nothing may still say that it is of the old installation"


PART_OF = "app.kubernetes.io/part-of"


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
    ],
)
def test_it_becomes_what_a_fresh_installation_is(
    clean: Harness, fresh: dict[str, dict[str, Any]], install: Install, installer: str, version: str
) -> None:
    install(clean, Cilium(OLD))
    ca = clean.get("secret", "cilium-ca", "-n", "kube-system")["data"]
    clean.apply_chain(spec(version))
    refused = clean.wait_reason("Stalled", "AdoptionRequired")
    assert f"{installer}" in refused["message"]
    assert f"Cilium {OLD}" in refused["message"]
    adopt(clean, version)
    assert_like_fresh(clean, fresh[version])
    assert clean.get("secret", "cilium-ca", "-n", "kube-system")["data"] == ca, "agents must keep trusting each other"
    status = clean.get("cnichain", "default")["status"]["adoption"]
    assert (status["installer"], status["version"]) == (installer, OLD)
