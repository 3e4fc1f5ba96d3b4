"""Real pods from before the chain: reported as unmanaged, and with Restart replaced through the real eviction API.

Kubelet, containerd, the plugins (cilium-cni among them), the agent, the operator, the eviction and the controllers are
the real ones. What stands in for Cilium itself is in realnode/cilium.py.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from harness import ROOT, Harness, Object
from realnode.cilium import VALUES, StandInCilium
from realnode.config import PAUSE_IMAGE
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode, pytest.mark.timeout(600)]

LABEL = "cnichain.dev/coverage"
SPEC: Object = {
    "cilium": {"version": "1.17.3", "values": VALUES},
    "hubble": {"relay": {"enabled": False}, "ui": {"enabled": False}},
    "nodes": {"selector": {LABEL: "true"}},
    "deletionPolicy": "Uninstall",
}
REPLICAS = {"web": 2, "guarded": 1}
WEB_AND_GUARDED = sum(REPLICAS.values())


def deployment(name: str, node: str) -> Object:
    """Pods that are bound to the node."""
    labels = {"app": name}
    container = {"name": "main", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
    pod = {"nodeName": node, "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False,
           "tolerations": [{"operator": "Exists"}], "containers": [container]}  # fmt: skip
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": REPLICAS[name], "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


FORBIDS: Object = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "guarded"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
}


@pytest.fixture
def world(node: RealNode, tmp_path: Path, chart_dir: Path) -> Iterator[Harness]:
    """The node's control plane as the operator's tests have it, with pods that run before there is any chain."""
    world = Harness(node.control_plane, tmp_path, chart_dir)
    world.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/namespace.yaml'}")
    world.kubectl("label", "node", node.name, f"{LABEL}=true")
    pods = "\n---\n".join(json.dumps(item) for item in (*(deployment(name, node.name) for name in REPLICAS), FORBIDS))
    world.kubectl("apply", "--server-side", "--filename=-", stdin=pods)
    try:
        for name in REPLICAS:
            world.kubectl("rollout", "status", f"deployment/{name}", "--timeout=50s")
        yield world
    finally:
        world.kubectl("delete", "deployment", *REPLICAS, "--cascade=foreground", "--timeout=50s")
        world.kubectl("delete", "poddisruptionbudget", "guarded")
        world.kubectl("label", "node", node.name, f"{LABEL}-")


def pods_of(world: Harness, name: str) -> dict[str, str]:
    """Names of the pods that are not on their way out, by uid."""
    items = [one["metadata"] for one in world.get("pods", f"--selector=app={name}")["items"]]
    return {one["uid"]: one["name"] for one in items if "deletionTimestamp" not in one}


def counted(world: Harness) -> Object:
    found: Object = world.get("cnichain", "default")["status"].get("pods") or {}
    return found


def is_ready(world: Harness, cilium: StandInCilium) -> bool:
    cilium.start_agent_pod()
    return world.conditions().get("Ready", {}).get("status") == "True"


def test_pods_from_before_the_chain_are_reported_and_restarted_within_their_budgets(
    node: RealNode, world: Harness
) -> None:
    before = {name: pods_of(world, name) for name in REPLICAS}
    with ExitStack() as stack:
        cilium = stack.enter_context(StandInCilium.run(node))
        stack.enter_context(node.agent())
        stack.enter_context(world.operator(coverage_seconds="1"))
        world.apply_chain(SPEC)
        try:
            world.wait("Ready, with the agent's pod", partial(is_ready, world, cilium))
            older = {"OlderThanChain": WEB_AND_GUARDED}
            world.wait("all are reported", lambda: counted(world).get("byCause") == older, 60)
            assert counted(world)["unmanaged"] == WEB_AND_GUARDED
            assert counted(world)["byNode"] == {node.name: WEB_AND_GUARDED}
            condition = world.wait_reason("PodsManaged", "UnmanagedPods")
            assert f"{WEB_AND_GUARDED} OlderThanChain" in condition["message"]
            assert cilium.told() == set(), "nobody has restarted them yet"
            assert {name: pods_of(world, name) for name in REPLICAS} == before

            world.apply_chain(SPEC | {"unmanagedPods": {"action": "Restart"}})

            def one_is_left() -> bool:
                cilium.publish_endpoints()
                pods = counted(world)
                return (pods.get("managed"), pods.get("unmanaged")) == (REPLICAS["web"], 1)

            world.wait("web is restarted, pod by pod", one_is_left, 120)
            after = pods_of(world, "web")
            assert len(after) == REPLICAS["web"]
            assert not set(after) & set(before["web"]), "replaced, not kept"
            assert set(after.values()) <= cilium.told(), "the replacements went through the real chain"

            restarts = world.wait("its budget is named", lambda: counted(world)["restarts"]["waiting"], 30)
            assert ["disruption budget" in one and "default/guarded" in one for one in restarts] == [True]
            assert pods_of(world, "guarded") == before["guarded"], "evicted against its PodDisruptionBudget"
            answers = {
                item["responseStatus"]["code"]
                for item in world.audited()
                if item["requestURI"].endswith("/eviction") and item["objectRef"]["name"].startswith("guarded")
            }
            assert answers == {429}
            assert {"PodRestarted", "EvictionRefused"} <= world.reasons_of_events()
        finally:
            world.kubectl("delete", "cnichain", "default", "--timeout=55s")
