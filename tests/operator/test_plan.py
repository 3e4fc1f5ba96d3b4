"""A change of a running chain, with the real charts: planned, shown, held, approved, and pruned once it is healthy."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from cnichain.dev.nodefolder import NodeFolder
from harness import WRITES, Harness

pytestmark = pytest.mark.controlplane

OLD: dict[str, Any] = {"cilium": {"version": "1.17.18", "values": {"keepDeprecatedLabels": True}}}
NEW: dict[str, Any] = {"cilium": {"version": "1.18.12"}}
ANNOTATION = "cnichain.io/approved-plan"
SYSTEM = ("-n", "kube-system")


@pytest.fixture(scope="module")
def running(world: Harness) -> Iterator[list[NodeFolder]]:
    """Operator and agents for all tests of this module, on the older Cilium."""
    with ExitStack() as stack:
        folders = stack.enter_context(world.agents())
        world.apply_chain(OLD)
        stack.enter_context(world.operator())
        world.wait_ready()
        yield folders


def diff(world: Harness, *flags: str) -> tuple[int, str]:
    """`cnichain diff` as a user runs it: its exit code and what it printed."""
    command = [sys.executable, "-m", "cnichain.cli.main", "diff", f"--kubeconfig={world.control_plane.kubeconfig}"]
    done = subprocess.run(
        [*command, *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "LANG": "C.UTF-8"},
    )
    return done.returncode, done.stdout + done.stderr


def plan_of(world: Harness) -> dict[str, Any]:
    """The plan as status refers to it."""
    found: dict[str, Any] = world.get("cnichain", "default")["status"]["plan"]
    return found


def applied_writes(world: Harness, start: int) -> list[str]:
    """Writes of the operator into the cluster since a line of the audit log, without dry runs and its own records."""
    own = ("/cnichains", "/events", "cnichain-system")
    return [
        f"{item['verb']} {item['requestURI']}"
        for item in world.audited(start)
        if item["verb"] in WRITES
        and "dryRun" not in item["requestURI"]
        and not any(one in item["requestURI"] for one in own)
    ]


def dry_runs(world: Harness, start: int) -> int:
    """How many dry runs the operator has sent since a line of the audit log."""
    return len([item for item in world.audited(start) if "dryRun" in item["requestURI"]])


def a_pass(world: Harness, mark: str) -> None:
    """Make the operator look again, and wait until it has."""
    start = world.audit_length()
    world.kubectl("annotate", "cnichain", "default", f"test/mark={mark}", "--overwrite")
    world.wait(
        "a pass after the annotation",
        lambda: any("inventory" in item["requestURI"] for item in world.audited(start)),
        30,
    )


def test_the_first_plan_is_to_create_everything_and_costs_no_dry_run(world: Harness, running: list[NodeFolder]) -> None:
    plan = plan_of(world)
    assert (plan["state"], plan["change"], plan["prune"], plan["rolls"]) == ("Applied", 0, 0, [])
    assert plan["create"] > 30
    assert dry_runs(world, 0) == 0, "an object that is not there needs no dry run"
    assert diff(world) == (0, "No changes: the cluster is as CNIChain default asks for.\n")
    assert "Planned" in world.reasons_of_events()


def test_a_change_that_needs_approval_is_planned_shown_and_held(world: Harness, running: list[NodeFolder]) -> None:
    start = world.audit_length()
    world.apply_chain(NEW | {"rollout": {"approval": "Required"}})
    ready = world.wait_reason("Ready", "ApprovalRequired")
    conditions = world.conditions()
    held = {
        kind: conditions[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled", "RollingOut", "CiliumReady")
    }
    assert held == {
        "Ready": "Unknown",
        "Reconciling": "False",
        "Stalled": "False",
        "RollingOut": "False",
        "CiliumReady": "True",
    }, "held is neither ready for the new spec nor failing, and the old state is as it is"
    plan = plan_of(world)
    assert plan["state"] == "Pending"
    assert f"{ANNOTATION}={plan['digest']}" in ready["message"], "the message must say how to approve"
    assert any(one.startswith("DaemonSet kube-system/cilium (3 pods)") for one in plan["rolls"]), plan["rolls"]
    assert dry_runs(world, start) > 0
    assert applied_writes(world, start) == [], "nothing of a plan is applied before it is approved"
    image = world.get("daemonset", "cilium", *SYSTEM)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert "1.17.18" in image


def test_diff_shows_the_held_plan(world: Harness, running: list[NodeFolder]) -> None:
    code, text = diff(world)
    assert code == 1, text
    assert max(map(len, text.splitlines())) <= 80
    assert f"Plan {plan_of(world)['digest']}" in text
    assert "It waits for approval" in text
    assert "~ ConfigMap kube-system/cilium-config" in text
    assert "± DaemonSet kube-system/cilium" in text, "its selector loses a label"
    roll = "  DaemonSet kube-system/cilium-envoy: 3 pods, wave by wave (spec.rollout)\n    because of"
    assert roll in text, text[-3000:]
    code, raw = diff(world, "--output=json")
    assert code == 1
    found = json.loads(raw)
    assert (found["digest"], found["state"], found["reason"]) == (
        plan_of(world)["digest"],
        "Pending",
        "ApprovalRequired",
    )
    names = ["cilium-ca", "hubble-server-certs", "hubble-relay-client-certs"]
    secrets = [world.get("secret", name, *SYSTEM)["data"] for name in names]
    for value in (value for data in secrets for value in data.values()):
        assert value not in raw
        assert base64.b64decode(value).decode().splitlines()[1] not in raw


def test_a_held_plan_is_made_once(world: Harness, running: list[NodeFolder]) -> None:
    a_pass(world, "settle")
    start = world.audit_length()
    for turn in ("one", "two"):
        a_pass(world, turn)
    assert dry_runs(world, start) == 0, "a plan that is known is not made anew"


def test_care_goes_on_while_a_plan_is_held(world: Harness, running: list[NodeFolder]) -> None:
    """The agent guards its node; an object that the plan does not change is put back; one that it changes is not."""
    conflist = running[0].conf_dir / "05-cilium.conflist"
    conflist.unlink()
    world.wait("the conflist is back", conflist.exists, 30)
    planned = {tuple(item["key"]) for item in json.loads(diff(world, "--output=json")[1])["items"]}
    kept = ("v1", "ServiceAccount", "kube-system", "cilium")
    assert kept not in planned
    world.kubectl("delete", "serviceaccount", "cilium", *SYSTEM)
    world.wait("the ServiceAccount is back", lambda: world.exists("serviceaccount", "cilium", *SYSTEM), 30)
    assert world.conditions()["Ready"]["reason"] == "ApprovalRequired"


def test_another_digest_approves_nothing(world: Harness, running: list[NodeFolder]) -> None:
    start = world.audit_length()
    world.kubectl("annotate", "cnichain", "default", f"{ANNOTATION}=0123456789abcdef", "--overwrite")
    a_pass(world, "wrong digest")
    assert world.conditions()["Ready"]["reason"] == "ApprovalRequired"
    assert applied_writes(world, start) == []


def test_approval_applies_the_plan_and_replaces_the_agents_without_their_pods(
    world: Harness, running: list[NodeFolder]
) -> None:
    old = world.get("daemonset", "cilium", *SYSTEM)["metadata"]["uid"]
    before = set(world.get("configmap", "cilium-config", *SYSTEM)["data"])
    start = world.audit_length()
    digest = plan_of(world)["digest"]
    world.kubectl("annotate", "cnichain", "default", f"{ANNOTATION}={digest}", "--overwrite")
    world.wait("the plan is applied", lambda: plan_of(world)["state"] == "Applied")
    world.wait_ready()
    assert plan_of(world)["digest"] == digest
    assert world.conditions()["Drifted"]["reason"] != "MutatedByAdmission", "the server's own defaults are no mutation"
    assert world.get("cnichain", "default")["status"]["versions"]["cilium"] == "1.18.12"
    assert before - set(world.get("configmap", "cilium-config", *SYSTEM)["data"]), "keys of the older chart must go"
    assert world.get("daemonset", "cilium", *SYSTEM)["metadata"]["uid"] != old
    collected = [
        item["requestURI"]
        for item in world.audit(start)
        if item["verb"] == "delete" and "/pods/cilium-" in item["requestURI"] and "garbage" in item["user"]["username"]
    ]
    assert [uri for uri in collected if "operator" not in uri and "envoy" not in uri] == [], (
        "agents must be replaced one by one by their new DaemonSet, never all at once with the old one"
    )
    assert diff(world)[0] == 0


def test_a_pause_holds_and_its_end_prunes_what_is_not_wanted_rbac_last(
    world: Harness, running: list[NodeFolder]
) -> None:
    start = world.audit_length()
    world.apply_chain(NEW | {"hubble": {"ui": {"enabled": False}}, "rollout": {"paused": True}})
    world.wait_reason("Ready", "Paused")
    assert plan_of(world)["prune"] >= 4
    code, text = diff(world)
    assert code == 1
    assert "- Deployment kube-system/hubble-ui" in text
    assert applied_writes(world, start) == []
    world.apply_chain(NEW | {"hubble": {"ui": {"enabled": False}}})
    world.wait("hubble-ui is gone", lambda: not world.exists("clusterrole", "hubble-ui"), 60)
    world.wait_ready()
    deleted = [uri for uri in applied_writes(world, start) if uri.startswith("delete ")]
    kinds = [uri.split("?")[0].split("/")[-2] for uri in deleted]
    assert kinds[0] == "deployments", deleted
    rbac = {"serviceaccounts", "clusterroles", "clusterrolebindings", "roles", "rolebindings"}
    first = min(at for at, kind in enumerate(kinds) if kind in rbac)
    assert set(kinds[first:]) <= rbac, f"RBAC goes last: {kinds}"
    assert not {"namespaces", "customresourcedefinitions"} & set(kinds), "neither is ever pruned"


def test_a_selector_that_old_pods_do_not_match_is_refused(world: Harness, running: list[NodeFolder]) -> None:
    start = world.audit_length()
    world.apply_chain({"cilium": {"version": "1.18.12", "values": {"keepDeprecatedLabels": True}}})
    stalled = world.wait_reason("Stalled", "ImmutableField")
    assert "kubectl delete daemonset cilium --namespace=kube-system --cascade=orphan" in stalled["message"]
    assert applied_writes(world, start) == [], "a plan that the API server refuses is not begun"
    code, text = diff(world)
    assert code == 2
    assert "ImmutableField" in text
    world.apply_chain(NEW)
    world.wait_ready()


def test_diff_without_a_chain(world: Harness, running: list[NodeFolder]) -> None:
    world.delete_chain()
    code, text = diff(world)
    assert (code, text) == (2, "Error: there is no CNIChain default.\n")
