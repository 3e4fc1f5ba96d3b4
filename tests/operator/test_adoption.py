"""A Cilium of helm's is found, told of, taken over only when spec agrees, and told of again when it is done."""

from typing import Any

import pytest

from harness import ROOT, WRITES, Harness
from installers import CHAINED, Cilium, helm_client_side, objects

pytestmark = pytest.mark.controlplane

OLD, NEW = "1.17.18", "1.18.12"
BY_CERTGEN = CHAINED | {"hubble": CHAINED["hubble"] | {"tls": {"auto": {"method": "cronJob"}}}}
"""The certificates of Hubble are made by a CronJob, which the operator has no use for."""
STALE = {"arping-refresh-period", "enable-k8s-terminating-endpoint", "enable-runtime-device-detection"}
OWN_WRITES = ("/cnichains", "/events", "/cnichainnodes")


def adoption(world: Harness) -> dict[str, Any]:
    found: dict[str, Any] = world.get("cnichain", "default")["status"].get("adoption", {})
    return found


def managers(world: Harness, kind: str, name: str) -> set[str]:
    item = world.get(kind, name, "--namespace=kube-system", "--show-managed-fields")
    return {entry["manager"] for entry in item["metadata"]["managedFields"]}


def test_the_whole_way_with_the_shipped_roles(world: Harness) -> None:
    world.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/rbac.yaml'}")
    account = str(world.kubeconfig_of("cnichain-operator"))
    helm_client_side(world, Cilium(OLD, BY_CERTGEN), "--no-hooks")
    assert set(world.get("configmap", "cilium-config", "-n", "kube-system")["data"]) >= STALE
    with world.agents():
        with world.operator(kubeconfig=account):
            start = world.audit_length()
            world.apply_chain({"cilium": {"version": NEW}})
            said = world.wait_reason("Stalled", "AdoptionRequired")["message"]
            for text in (f"helm (release kube-system/cilium) has installed Cilium {OLD}", "CronJob", "spec.adopt"):
                assert text in said
            assert adoption(world)["state"] == "Required"
            writes = [item["requestURI"] for item in world.audited(start) if item["verb"] in WRITES]
            assert [uri for uri in writes if not any(own in uri for own in OWN_WRITES)] == [], "not without consent"
            world.apply_chain({"cilium": {"version": NEW}, "adopt": True})
            world.wait("the first objects change hands", lambda: "cnichain" in managers(world, "sa", "cilium"), 60)
        # The operator was stopped in the middle; another one finishes.
        with world.operator(kubeconfig=account):
            world.wait_ready()
            world.wait("it is told of", lambda: "Adopted" in world.reasons_of_events(), 30)
            assert "HelmReleaseLeft" in world.reasons_of_events()
        done = adoption(world)
        assert (done["state"], done["installer"], done["version"]) == ("Adopted", "helm", OLD)
        assert done["release"] == "kube-system/cilium"
        assert done["leftovers"] >= 4, "CronJob, ServiceAccount, Role and RoleBinding of certgen"
        left = [key for key in objects(world) if "generate-certs" in key]
        assert left == []
        config = world.get("configmap", "cilium-config", "-n", "kube-system")
        assert not STALE & set(config["data"]), "keys of 1.17 that 1.18 has no more"
        assert "meta.helm.sh/release-name" not in config["metadata"].get("annotations", {})
        assert managers(world, "configmap", "cilium-config") == {"cnichain"}
        lines = [item for item in world.audited() if item["responseStatus"]["code"] == 403]
        denied = {f"{item['verb']} {item['requestURI']}" for item in lines}
        assert {uri for uri in denied if "networking.k8s.io" not in uri} == set(), "the shipped roles are enough"


def test_helms_record_can_be_deleted_as_the_event_says(world: Harness) -> None:
    items = world.get("events", "--namespace=default")["items"]
    (message,) = {item["message"] for item in items if item["reason"] == "HelmReleaseLeft"}
    command = message.split("`")[1].removeprefix("kubectl ").split()
    before = set(objects(world))
    assert any("sh.helm.release.v1.cilium" in key for key in before)
    world.kubectl(*command)
    gone = before - set(objects(world))
    assert gone == {"Secret kube-system/sh.helm.release.v1.cilium.v1"}
