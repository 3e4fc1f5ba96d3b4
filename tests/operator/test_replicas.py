"""The shipped Deployment on a real scheduler: two replicas on two nodes, and drains that end. kwok plays the kubelets,
so the pods are Ready at once; what the operator itself does is in test_lease.py."""

from typing import Any

import pytest

from harness import ROOT, Harness

pytestmark = pytest.mark.controlplane

Object = dict[str, Any]
OURS = ("--namespace=cnichain-system", "--selector=app.kubernetes.io/name=cnichain-operator")
DEPLOYMENT = ("deployment", "cnichain-operator", "--namespace=cnichain-system")


def nodes_of(world: Harness) -> list[str]:
    """The nodes with a Ready operator pod."""
    return [
        item["spec"]["nodeName"]
        for item in world.get("pods", *OURS)["items"]
        if any(one["type"] == "Ready" and one["status"] == "True" for one in item["status"].get("conditions", []))
        and "deletionTimestamp" not in item["metadata"]
    ]


def drain(world: Harness, node: str) -> None:
    """As before an update of the node; fails when it does not end."""
    world.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=45s")


def test_two_run_on_two_nodes_and_a_drain_moves_one(world: Harness) -> None:
    world.kubectl("apply", "--server-side", f"--kustomize={ROOT / 'deploy/base'}")
    world.wait("two are Ready", lambda: len(nodes_of(world)) == 2, 60)
    world.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=30s")
    first, second = nodes_of(world)
    assert first != second
    drain(world, first)
    world.wait("two are Ready again", lambda: len(nodes_of(world)) == 2, 60)
    assert first not in nodes_of(world)
    assert second in nodes_of(world), "the other went on"
    world.kubectl("uncordon", first)


def test_an_update_goes_through_with_no_third_place(world: Harness) -> None:
    used = nodes_of(world)
    (free,) = {item["metadata"]["name"] for item in world.get("nodes")["items"]} - set(used)
    world.kubectl("cordon", free)
    world.kubectl("rollout", "restart", *DEPLOYMENT)
    world.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=45s")
    assert sorted(nodes_of(world)) == sorted(used)
    world.kubectl("uncordon", free)


def test_on_one_node_the_only_one_may_be_drained(world: Harness) -> None:
    """With two replicas it could not: the PodDisruptionBudget counts the one that has no place."""
    world.kubectl("apply", "--server-side", f"--kustomize={ROOT / 'deploy/one-node'}")
    world.wait("one is left", lambda: len(world.get("pods", *OURS)["items"]) == 1, 60)
    world.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=30s")
    (node,) = nodes_of(world)
    for item in world.get("nodes")["items"]:
        if item["metadata"]["name"] != node:
            world.kubectl("cordon", item["metadata"]["name"])
    drain(world, node)
    assert nodes_of(world) == []
