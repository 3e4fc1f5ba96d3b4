"""A node that comes back under its old name, on a real control plane: nothing of the old one counts (fault case 46)."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import WRITES, Harness, Object

pytestmark = pytest.mark.controlplane

TAINT = "cnichain.io/chain-not-ready"


@contextmanager
def no_garbage_collection(world: Harness) -> Iterator[None]:
    """The controller manager stands still, so that what a node has left stays as on a busy cluster."""
    pid = world.control_plane.pid("kube-controller-manager")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def reborn(node: Object) -> str:
    """The same machine's name, registered anew: no uid, no status of its own, and the startup taint of its group."""
    metadata = {key: node["metadata"][key] for key in ("name", "labels", "annotations")}
    spec = {"providerID": node["spec"]["providerID"], "taints": [{"key": TAINT, "effect": "NoSchedule"}]}
    status = {key: node["status"][key] for key in ("allocatable", "capacity", "nodeInfo")}
    return json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status})


def test_the_old_nodes_report_never_counts_for_the_new_one(world: Harness) -> None:
    with world.agents() as folders, world.operator():
        world.apply_chain({"cilium": {"version": "1.17.3"}})
        world.wait_ready()
        name = folders[0].root.name
        node, report = world.get("node", name), world.get("cnichainnode", name)

        with no_garbage_collection(world):
            start = world.audit_length()
            world.kubectl("delete", "node", name, "--timeout=30s")
            world.kubectl("create", "--filename=-", stdin=reborn(node))
            condition = world.wait_reason("ChainReady", "NodesNotVerified")
            assert f"{name}: no report from its agent yet" in condition["message"]
            for turn in range(2):  # a second one begins when the first one has ended
                let_pass(world, turn)
            left = world.get("cnichainnode", name)
            assert left["metadata"]["uid"] == report["metadata"]["uid"], "something removed it: the test shows nothing"
            assert left["status"]["state"] == "InSync", "the old report is still there, and is a good one"
            touched = [item["verb"] for item in world.audited(start) if item["verb"] in WRITES and is_about(item, name)]
            assert touched == [], "what the old node has left was taken over, and its report with it"
            assert world.conditions()["ChainReady"]["reason"] == "NodesNotVerified"
            assert TAINT in {taint["key"] for taint in world.get("node", name)["spec"]["taints"]}, "opened too early"
        world.wait_ready()
        made = world.get("cnichainnode", name)
        assert made["metadata"]["uid"] != report["metadata"]["uid"]
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner["uid"] == world.get("node", name)["metadata"]["uid"] != node["metadata"]["uid"]
        assert made["status"]["state"] == "InSync", "the agent, which ran all the time, has told the new object"
        world.wait(
            "the startup taint is gone",
            lambda: TAINT not in {taint["key"] for taint in world.get("node", name)["spec"].get("taints", [])},
            60,
        )


def let_pass(world: Harness, turn: int) -> None:
    """Waits until a pass has begun that comes after now: each one reads the history."""
    before = world.audit_length()
    world.kubectl("annotate", "cnichain", "default", f"test/turn={turn}", "--overwrite")
    world.wait(
        "a pass",
        lambda: any("configmaps/cnichain-history-" in item["requestURI"] for item in world.audited(before)),
        30,
    )


def is_about(item: Object, name: str) -> bool:
    """Whether a request was about what the operator and the agent keep of that node."""
    return f"cnichainnodes/{name}" in item["requestURI"]
