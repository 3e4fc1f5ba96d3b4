"""Deleting a CNIChain on a real control plane: what stays, what goes and in which order, and what holds it up."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from cnichain.dev.nodefolder import NodeFolder
from harness import ROOT, WRITES, Harness

pytestmark = pytest.mark.controlplane

UNINSTALL: dict[str, Any] = {"cilium": {"version": "1.17.3"}, "deletionPolicy": "Uninstall"}
RETAIN: dict[str, Any] = {"cilium": {"version": "1.17.3"}}
CHAINED = "05-cilium.conflist"
TAINTS = ("cnichain.io/chain-not-ready", "node.cilium.io/agent-not-ready")
APPLIED = "deployment,daemonset,service,configmap,secret,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding"
STAGE_OF = {
    "deployments/hubble-relay": 0,
    "deployments/hubble-ui": 0,
    "daemonsets/cilium": 1,
    "daemonsets/cilium-envoy": 1,
    "deployments/cilium-operator": 2,
    "configmaps/cilium-config": 3,
    "secrets/cilium-ca": 3,
    "serviceaccounts/cilium": 4,
    "clusterroles/cilium": 4,
}
"""Objects of each stage in the order in which they have to go; RBAC is the last of all."""


@pytest.fixture(scope="module")
def folders(world: Harness) -> list[NodeFolder]:
    """The folders of the three nodes."""
    return [NodeFolder(path) for path in sorted(world.control_plane.nodes_dir.iterdir())]


@contextmanager
def installed(world: Harness, spec: dict[str, Any]) -> Iterator[ExitStack]:
    """The operator with a chain that is Ready. Entered into the stack: the operator, and whatever a test adds."""
    with ExitStack() as stack:
        stack.enter_context(world.operator())
        world.apply_chain(spec)
        world.wait_ready()
        yield stack


def delete(world: Harness) -> None:
    """Ask for the deletion and do not wait for it."""
    world.kubectl("delete", "cnichain", "default", "--wait=false")


def wait_gone(world: Harness, seconds: float = 90) -> None:
    """Wait until the CNIChain is gone."""
    world.wait("the CNIChain is gone", lambda: not world.exists("cnichain", "default"), seconds)


def left_behind(world: Harness) -> list[str]:
    """Everything in the cluster that still carries the owner label, but for namespaces and CNIChainNodes."""
    return world.kubectl("get", APPLIED, "-A", "-l", "cnichain.io/owner=default", "-o", "name").split()


def ready_message(world: Harness) -> str:
    """What Ready says now; empty when there is no CNIChain."""
    if not world.exists("cnichain", "default"):
        return ""
    return str(world.conditions().get("Ready", {}).get("message", ""))


def events(world: Harness, reason: str) -> list[str]:
    """Messages of the operator's events with this reason."""
    return [one["message"] for one in world.get("events", "-n", "default")["items"] if one["reason"] == reason]


def taints(world: Harness, node: str) -> set[str]:
    return {taint["key"] for taint in world.get("node", node)["spec"].get("taints", [])}


def deletions(world: Harness, start: int) -> list[str]:
    """`plural/name` of what the operator has deleted since line `start` of the audit log, in order."""
    lines = [item for item in world.audited(start) if item["verb"] == "delete"]
    return ["/".join(item["requestURI"].split("?")[0].split("/")[-2:]) for item in lines]


def test_a_chain_that_was_never_accepted_goes_at_once(world: Harness) -> None:
    with world.operator():
        world.apply_chain(UNINSTALL | {"cilium": {"version": "1.17.99"}})
        world.wait_reason("Ready", "VersionUnknown")
    world.kubectl("delete", "cnichain", "default", "--timeout=10s")  # and no operator is needed for it


def test_uninstall_restores_every_node_first_and_goes_in_reverse_order(
    world: Harness, folders: list[NodeFolder]
) -> None:
    """One agent is away and one object is held; the operator is killed at both places; a person gives the node up."""
    first, second, lost = folders
    primaries = {folder.root.name: (folder.conf_dir / "10-aws.conflist").read_bytes() for folder in folders}
    with ExitStack() as agents, ExitStack() as lost_agent:
        for folder in (first, second):
            agents.enter_context(world.agent(folder))
        lost_agent.enter_context(world.agent(lost))
        with installed(world, UNINSTALL) as stack:
            lost_agent.close()
            world.kubectl("patch", "deployment", "hubble-ui", "-n", "kube-system", "--type=merge",
                          '--patch={"metadata":{"finalizers":["example.com/held"]}}')  # fmt: skip
            start = world.audit_length()
            delete(world)
            for name in primaries:
                world.kubectl("taint", "node", name, *(f"{key}=:PreferNoSchedule" for key in TAINTS))
            # The nodes come first, and the one without an agent holds everything.
            world.wait("the lost node is named", lambda: f"Waiting for {lost.root.name}: " in ready_message(world), 30)
            assert "2/3 nodes run the primary CNI alone" in ready_message(world)
            assert world.conditions()["Ready"]["reason"] == "Uninstalling"
            for folder in (first, second):
                assert not (folder.conf_dir / CHAINED).exists()
                world.wait("a verified node is open", partial(no_startup_taint, world, folder.root.name), 20)
            world.kill_operator()
            stack.enter_context(world.operator())
            patch = json.dumps({"spec": {"rollout": {"progressDeadline": "2s"}}})
            world.kubectl("patch", "cnichain", "default", "--type=merge", f"--patch={patch}")
            advice = world.wait_reason("Ready", "UninstallOverdue")["message"]
            assert deletions(world, start) == [], "nothing may be deleted before every node is back"
            assert world.exists("cnichain", "default"), "a killed operator must not let the deletion through"
            # What the message says helps.
            command = re.search(r"kubectl (annotate [^(]*) \(see", advice)
            assert command, f"the message must name the way on: {advice}"
            world.kubectl(*command.group(1).split())
            # Stage by stage: what is held is waited for, and nothing of a later stage is touched.
            world.wait("hubble-ui is named", lambda: ready_message(world).startswith("Stage hubble: "), 30)
            assert "Deployment kube-system/hubble-ui" in ready_message(world)
            world.kill_operator()
            stack.enter_context(world.operator())
            world.wait_log("", 10)
            assert world.exists("daemonset", "cilium", "-n", "kube-system")
            world.kubectl("patch", "deployment", "hubble-ui", "-n", "kube-system", "--type=merge",
                          '--patch={"metadata":{"finalizers":null}}')  # fmt: skip
            wait_gone(world)

        # The order, from the API server's own log.
        gone = deletions(world, start)
        order = [STAGE_OF[name] for name in gone if name in STAGE_OF]
        assert order == sorted(order), f"deleted out of order: {gone}"
        assert set(STAGE_OF) <= set(gone), f"not deleted: {set(STAGE_OF) - set(gone)}"
        assert gone[-1] == "configmaps/cnichain-inventory-default", "the operator's own records go last"
        assert {f"cnichainnodes/{folder.root.name}" for folder in (first, second)} <= set(gone[-5:])
        answered = agents_answered(world, start)
        before = next(at for at, item in enumerate(world.audit(start)) if is_deletion_by_operator(item))
        assert answered[first.root.name] < before > answered[second.root.name], "each node answered before"
        touched = [item for item in world.audit(0) if item["verb"] in WRITES and "aws-node" in item["requestURI"]]
        by_us = [item for item in touched if item.get("userAgent", "").startswith("cnichain")]
        assert by_us == [], "the primary is never written"

        # What is left: the primary alone, and what stays on purpose.
        assert left_behind(world) == []
        for folder in folders:
            assert (folder.conf_dir / "10-aws.conflist").read_bytes() == primaries[folder.root.name]
        for folder in (first, second):
            assert sorted(path.name for path in folder.conf_dir.iterdir()) == ["10-aws.conflist"]
            assert taints(world, folder.root.name) & set(TAINTS) == set()
        assert taints(world, lost.root.name) >= set(TAINTS), "a node that was given up is not opened"
        assert world.exists("crd", "ciliumnetworkpolicies.cilium.io")
        assert len(events(world, "Uninstalled")) == 1
        (said,) = events(world, "Uninstalled")
        for told in ("2 nodes run the primary CNI alone", lost.root.name, "CustomResourceDefinitions", "restart them"):
            assert told in said
        assert len(events(world, "StageRemoved")) == 4

        # The agent that was away obeys when it comes back.
        assert (lost.conf_dir / CHAINED).exists()
        agents.enter_context(world.agent(lost))
        world.wait("the chained conflist is gone there as well", lambda: not (lost.conf_dir / CHAINED).exists(), 30)
    for key in taints(world, lost.root.name) & set(TAINTS):
        world.kubectl("taint", "node", lost.root.name, f"{key}-")
    world.kubectl("delete", "cnichainnodes", "--all", "--timeout=20s")


def test_an_operator_that_is_killed_at_any_step_goes_on(world: Harness, folders: list[NodeFolder]) -> None:
    def gone(*what: str) -> bool:
        return not world.exists(*what)

    steps = [
        lambda: gone("daemonset", "cilium", "-n", "kube-system"),
        lambda: gone("deployment", "cilium-operator", "-n", "kube-system"),
        lambda: gone("clusterrole", "cilium"),
    ]
    with world.agents(), installed(world, UNINSTALL) as stack:
        delete(world)
        for number, step in enumerate(steps):
            world.wait(f"step {number}", step, 60)
            world.kill_operator()
            stack.enter_context(world.operator())
        wait_gone(world)
        assert left_behind(world) == []
        assert world.get("cnichainnodes")["items"] == []
        assert [folder for folder in folders if (folder.conf_dir / CHAINED).exists()] == []


def test_retain_leaves_everything_guarded_and_says_so(world: Harness, folders: list[NodeFolder]) -> None:
    with world.agents(), installed(world, RETAIN):
        start = world.audit_length()
        world.delete_chain()
        assert deletions(world, start) == []
        (said,) = events(world, "Retained")
        for told in (
            "DaemonSet kube-system/cilium",
            "Deployment kube-system/hubble-ui",
            "guarding the chain on 3 nodes",
        ):
            assert told in said
        (folders[0].conf_dir / CHAINED).unlink()
        world.wait("an agent restores the chain still", (folders[0].conf_dir / CHAINED).exists, 20)


def test_a_mind_that_is_changed_on_the_way_is_obeyed(world: Harness, folders: list[NodeFolder]) -> None:
    """Suspend holds an uninstallation before anything is changed; Retain ends it where it is; a new chain heals it."""
    first, second, third = folders
    with ExitStack() as agents, ExitStack() as late:
        for folder in (first, second):
            agents.enter_context(world.agent(folder))
        late.enter_context(world.agent(third))
        with installed(world, UNINSTALL):
            late.close()
            start = world.audit_length()
            world.apply_chain(UNINSTALL | {"suspend": True})
            delete(world)
            # The chain was suspended before it was deleted, so that the reason alone may be of before.
            world.wait("the uninstallation waits", lambda: "uninstallation waits" in ready_message(world), 30)
            assert world.conditions()["Reconciling"]["reason"] == "Suspended"
            assert (first.conf_dir / CHAINED).exists()
            patch = partial(world.kubectl, "patch", "cnichain", "default", "--type=merge")
            patch('--patch={"spec":{"suspend":false}}')
            world.wait("the nodes go back", lambda: not (first.conf_dir / CHAINED).exists(), 30)
            world.wait("one is waited for", lambda: "2/3" in ready_message(world), 30)
            patch('--patch={"spec":{"deletionPolicy":"Retain"}}')
            wait_gone(world, 20)
            assert deletions(world, start) == []
            assert any("an uninstallation was stopped there" in said for said in events(world, "Retained"))
            agents.enter_context(world.agent(third))
            world.apply_chain(UNINSTALL)
            world.wait("the chain is back", lambda: all((one.conf_dir / CHAINED).exists() for one in folders), 60)
            world.wait_ready()
            delete(world)
            wait_gone(world)


def test_the_way_out_without_an_operator_is_as_documented(world: Harness, folders: list[NodeFolder]) -> None:
    """The commands of docs/uninstall.md, as they stand there: operator dead, finalizer in place, one agent dead."""
    first, second, lost = folders
    blocks = commands("Without the operator")
    with ExitStack() as agents, ExitStack() as lost_agent:
        for folder in (first, second):
            agents.enter_context(world.agent(folder))
        lost_agent.enter_context(world.agent(lost))
        # In a cluster the operator is a Deployment; here it is a process, and this one is what the commands scale.
        world.kubectl("create", "deployment", "cnichain-operator", "-n", "cnichain-system", "--image=x.invalid/x:1")
        with installed(world, UNINSTALL) as stack:
            world.kill_operator()
            break_the_glass(world, first, stack)
            world.kill_operator()
            lost_agent.close()
        primary = (lost.conf_dir / "10-aws.conflist").read_bytes()
        for block in blocks:
            text = block.replace("--timeout=60s", "--timeout=10s")
            text = text.replace("/etc/cni/net.d", str(lost.conf_dir)).replace("/opt/cni/bin", str(lost.bin_dir))
            shell(world, text)
    assert not world.exists("cnichain", "default")
    assert left_behind(world) == []
    assert world.get("cnichainnodes")["items"] == []
    assert (lost.conf_dir / "10-aws.conflist").read_bytes() == primary
    for folder in folders:
        assert sorted(path.name for path in folder.conf_dir.iterdir()) == ["10-aws.conflist"]
    assert not (lost.bin_dir / "cilium-cni").exists()
    assert world.exists("daemonset", "aws-node", "-n", "kube-system")


def break_the_glass(world: Harness, folder: NodeFolder, stack: ExitStack) -> None:
    """The commands for pods that must start now, on one node, and the way back to the chain. No operator runs."""
    hold, unchain, go_on = [
        block.replace("NODE", folder.root.name) for block in commands("Break the glass: pods must start, now")
    ]
    shell(world, hold)
    shell(world, unchain)
    assert sorted(path.name for path in folder.conf_dir.iterdir()) == ["10-aws.conflist"]
    stack.enter_context(world.operator())
    shell(world, go_on)
    assert (folder.conf_dir / CHAINED).exists(), "the operator has the chain put back"


def commands(heading: str) -> list[str]:
    """The shell blocks below a heading of docs/uninstall.md."""
    text = (ROOT / "docs" / "uninstall.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^ *```sh\n(.*?)^ *```", section, flags=re.DOTALL | re.MULTILINE)
    assert found, f"docs/uninstall.md has no commands below {heading!r}"
    return found


def shell(world: Harness, text: str) -> None:
    """Run commands as a person would, with kubectl for this control plane."""
    path = f"{world.control_plane.kubectl.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(world.control_plane.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"a documented command failed:\n{text}\n{done.stdout}{done.stderr}")


def no_startup_taint(world: Harness, node: str) -> bool:
    return TAINTS[0] not in taints(world, node)


def is_deletion_by_operator(item: dict[str, Any]) -> bool:
    return item["verb"] == "delete" and str(item.get("userAgent", "")).startswith("cnichain-operator")


def agents_answered(world: Harness, start: int) -> dict[str, int]:
    """For each node, where its agent's last report stands among the requests since `start`."""
    found = {}
    for at, item in enumerate(world.audit(start)):
        path = item["requestURI"].split("?")[0].split("/")
        if path[-1] == "status" and path[-3] == "cnichainnodes":
            found[path[-2]] = at
    return found
