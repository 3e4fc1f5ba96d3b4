"""Who else writes: drift of metadata, a writer that does not give up, admission that changes what is applied, and
definitions that are stale, missing or served by nobody."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from harness import WRITES, Harness

pytestmark = pytest.mark.controlplane

SPEC: dict[str, Any] = {"cilium": {"version": "1.17.3"}}
CONFIG = ("configmap", "cilium-config", "-n", "kube-system")
RELAY_CONFIG = ("configmap", "hubble-relay-config", "-n", "kube-system")
MEDDLED = '[JSONPatch{op: "add", path: "/data/config.yaml", value: "meddled"}]'
MONITORS = "servicemonitors.monitoring.coreos.com"
UNSERVED = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v3.projectcalico.org"},
    "spec": {
        "group": "projectcalico.org",
        "version": "v3",
        "groupPriorityMinimum": 1500,
        "versionPriority": 200,
        "insecureSkipTLSVerify": True,
        "service": {"name": "nobody", "namespace": "default"},
    },
}


@pytest.fixture(scope="module")
def running(world: Harness) -> Iterator[None]:
    """Operator and agents, beside an aggregated API that has no backend: discovery is never complete."""
    create(world, UNSERVED)
    with ExitStack() as stack:
        stack.enter_context(world.agents())
        world.apply_chain(SPEC)
        stack.enter_context(world.operator())
        world.wait_ready()
        yield


def create(world: Harness, body: dict[str, Any]) -> None:
    world.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(body))


def setting(world: Harness) -> str:
    return str(world.get(*CONFIG)["data"].get("enable-hubble"))


def writes_to(world: Harness, path: str, start: int) -> list[str]:
    """The operator's writes to one object since a line of the audit log."""
    return [
        item["requestURI"] for item in world.audited(start) if item["verb"] in WRITES and path in item["requestURI"]
    ]


@contextmanager
def another_writer(world: Harness, place: tuple[str, ...], patch: dict[str, Any], manager: str) -> Iterator[None]:
    """Someone who patches an object again and again until the end."""
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.wait(0.3):
            turn += 1
            body = json.dumps(patch).replace("TURN", str(turn))
            world.kubectl("patch", *place, "--type=merge", f"--patch={body}", f"--field-manager={manager}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=60)


def test_the_chain_is_ready_beside_an_api_that_nobody_serves(world: Harness, running: None) -> None:
    """The operator's own look leaves such a group out; `kubectl` shows that it is down."""
    service = world.get("apiservice", "v3.projectcalico.org")
    available = [one["status"] for one in service["status"]["conditions"] if one["type"] == "Available"]
    assert available == ["False"], "the test needs an API that is down"
    assert world.conditions()["Ready"]["status"] == "True"
    assert world.conditions()["Drifted"]["reason"] == "NoDrift", "nothing of the chart is mistaken for a mutation"


def test_changed_labels_are_put_back_and_foreign_ones_stay(world: Harness, running: None) -> None:
    labels = {"app.kubernetes.io/part-of": "changed", "foreign": "stays"}
    patch = json.dumps({"metadata": {"labels": labels}})
    world.kubectl("patch", "daemonset", "cilium", "-n", "kube-system", "--type=merge", f"--patch={patch}")

    def now() -> dict[str, str]:
        found: dict[str, str] = world.get("daemonset", "cilium", "-n", "kube-system")["metadata"]["labels"]
        return found

    world.wait("the label is back", lambda: now()["app.kubernetes.io/part-of"] == "cilium", 30)
    assert now()["foreign"] == "stays"
    world.wait(
        "the condition names object, field and writer",
        lambda: all(
            text in world.conditions()["Drifted"]["message"]
            for text in ("DaemonSet kube-system/cilium", "app.kubernetes.io/part-of", "kubectl-patch")
        ),
        30,
    )


def test_a_removed_owner_label_is_put_back(world: Harness, running: None) -> None:
    place = ("serviceaccount", "cilium-operator", "-n", "kube-system")
    world.kubectl("label", *place, "cnichain.io/owner-")
    world.wait(
        "the owner label is back",
        lambda: world.get(*place)["metadata"].get("labels", {}).get("cnichain.io/owner") == "default",
        30,
    )


def test_a_fight_backs_off_is_reported_and_ends(world: Harness, running: None) -> None:
    start = world.audit_length()
    relay = ("deployment", "hubble-relay", "-n", "kube-system")
    old = world.get(*relay)["metadata"]["uid"]
    with another_writer(world, CONFIG, {"data": {"enable-hubble": "false"}}, "flipper"):
        drifted = world.wait_reason("Drifted", "DriftFight")
        assert drifted["status"] == "True"
        for text in ("ConfigMap kube-system/cilium-config", "data.enable-hubble", "flipper"):
            assert text in drifted["message"], f"{text} must be named: {drifted['message']}"
        ready = world.conditions()["Ready"]
        assert (ready["status"], ready["reason"]) == ("False", "DriftFight")
        assert world.conditions()["Stalled"]["status"] == "False"
        world.kubectl("delete", *relay, "--timeout=30s")
        world.wait(
            "another object is put back meanwhile",
            lambda: world.exists(*relay) and world.get(*relay)["metadata"]["uid"] != old,
            30,
        )
        assert len(writes_to(world, "configmaps/cilium-config", start)) <= 4, "corrections must back off"
        assert setting(world) == "false"
    world.wait("the field is put back when the pause is over", lambda: setting(world) == "true", 90)
    assert "DriftFight" in world.reasons_of_events()
    world.wait("the fight is over", lambda: world.conditions()["Drifted"]["status"] == "False", 150)
    world.wait_ready()


def test_admission_is_told_apart_from_drift_and_starts_no_loop(world: Harness, running: None) -> None:
    """A policy changes our field in every write; while someone else writes the object all the time."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "meddler"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["configmaps"],
                    }
                ]
            },
            "matchConditions": [{"name": "its-name", "expression": "object.metadata.name == 'hubble-relay-config'"}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {"expression": MEDDLED},
                }
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "meddler"},
        "spec": {"policyName": "meddler"},
    }
    assert relay_config(world)["data"]["config.yaml"] != "meddled"
    for body in (policy, binding):
        create(world, body)
    world.wait("the policy is at work", partial(meddled, world), 60)
    drifted = world.wait_reason("Drifted", "MutatedByAdmission")
    assert drifted["status"] == "False", "what admission changes is no drift"
    assert "ConfigMap kube-system/hubble-relay-config: data.config.yaml" in drifted["message"]
    assert relay_config(world)["data"]["config.yaml"] == "meddled"
    start = world.audit_length()
    with another_writer(world, RELAY_CONFIG, {"metadata": {"annotations": {"touched": "TURN"}}}, "toucher"):
        world.wait("it was touched ten times", lambda: touches(world) >= 10, 60)
    assert writes_to(world, "configmaps/hubble-relay-config", start) == [], "nothing may be corrected in a loop"
    assert "MutatedByAdmission" in world.reasons_of_events()
    for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
        world.kubectl("delete", kind, "meddler")


def relay_config(world: Harness) -> dict[str, Any]:
    return world.get(*RELAY_CONFIG)


def meddled(world: Harness) -> bool:
    """Write to the ConfigMap; whether the policy has changed our field by it."""
    world.kubectl("annotate", *RELAY_CONFIG, "try=yes", "--overwrite")
    world.kubectl("annotate", *RELAY_CONFIG, "try-")
    return bool(relay_config(world)["data"]["config.yaml"] == "meddled")


def touches(world: Harness) -> int:
    return int(relay_config(world)["metadata"].get("annotations", {}).get("touched", "0"))


def monitors(properties: dict[str, Any]) -> dict[str, Any]:
    """A CustomResourceDefinition of ServiceMonitor with these fields in spec."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": MONITORS},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {
                "kind": "ServiceMonitor",
                "plural": "servicemonitors",
                "singular": "servicemonitor",
                "listKind": "ServiceMonitorList",
            },
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def test_a_missing_and_a_stale_definition_have_their_reasons_and_heal(world: Harness, running: None) -> None:
    """Without a restart of the operator: the definition comes, and then its newer form."""
    monitor = {"serviceMonitor": {"enabled": True, "trustCRDsExist": True}}
    values = {"prometheus": {"enabled": True, **monitor}}
    world.apply_chain({"cilium": {"version": "1.17.3", "values": values}})
    missing = world.wait_reason("Ready", "KindNotServed")
    assert "ServiceMonitor" in missing["message"]
    assert world.conditions()["Stalled"]["status"] == "False"
    create(world, monitors({"selector": {"type": "object"}}))
    stale = world.wait_reason("Ready", "SchemaStale")
    assert "field not declared in schema" in stale["message"]
    assert "CustomResourceDefinition" in world.conditions()["Reconciling"]["message"], "what to do must be told"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = monitors({})
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = anything
    create(world, crd)
    world.wait_ready()
    assert world.exists("servicemonitor", "cilium-agent", "-n", "kube-system")
    world.kubectl("delete", "crd", MONITORS, "--timeout=60s")
    world.wait("that it is gone is noticed", lambda: not_served_again(world), 90)
    create(world, crd)
    world.wait("the object is back", lambda: world.exists("servicemonitor", "cilium-agent", "-n", "kube-system"), 120)
    world.wait_ready()


def not_served_again(world: Harness) -> bool:
    return bool(world.conditions()["Ready"]["reason"] == "KindNotServed")


def test_no_value_of_a_secret_is_in_the_records(world: Harness, running: None) -> None:
    maps = json.dumps(world.get("configmaps", "-n", "cnichain-system"))
    assert "cnichain-plan-default" in maps
    for name in ("cilium-ca", "hubble-server-certs"):
        for value in world.get("secret", name, "-n", "kube-system")["data"].values():
            assert value not in maps
            assert base64.b64decode(value).decode().splitlines()[1] not in maps
