"""A change on its way over three nodes, one at a time: canary, soak, waves, pause, failure and the way back."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cnichain.dev.nodefolder import NodeFolder
from harness import Harness

pytestmark = pytest.mark.controlplane

LABEL = "cnichain.io/chained"
SYSTEM = ("--namespace=kube-system",)
ROLLOUT: dict[str, Any] = {"canary": {"nodes": 1, "soak": "2s"}, "maxUnavailable": "1"}
OLD: dict[str, Any] = {"cilium": {"version": "1.17.3"}, "rollout": ROLLOUT}
NEW: dict[str, Any] = {"cilium": {"version": "1.17.18"}, "rollout": ROLLOUT}
CRASHING: dict[str, Any] = {
    "cilium": {"version": "1.17.18", "values": {"podAnnotations": {"dev.cnichain.io/stuck": "CrashLoopBackOff"}}},
    "rollout": ROLLOUT,
}
"""kwok plays an agent that crashes for every pod with this annotation."""


@pytest.fixture(scope="module")
def running(world: Harness) -> Iterator[list[NodeFolder]]:
    """Operator and agents for all tests of this module."""
    with ExitStack() as stack:
        folders = stack.enter_context(world.agents())
        stack.enter_context(world.operator())
        yield folders


def chained(world: Harness) -> list[str]:
    """Names of the nodes whose wave is open."""
    items = world.get("nodes", f"--selector={LABEL}=true")["items"]
    return sorted(item["metadata"]["name"] for item in items)


def agents(world: Harness) -> dict[str, tuple[str, str]]:
    """uid and image of the cilium pod of each node, as far as there is one."""
    items = world.get("pods", "--selector=k8s-app=cilium", *SYSTEM)["items"]
    return {
        item["spec"]["nodeName"]: (item["metadata"]["uid"], item["spec"]["containers"][0]["image"])
        for item in items
        if "nodeName" in item["spec"]
    }


def images(world: Harness) -> set[str]:
    """Versions of Cilium that run on the nodes."""
    return {image.partition("@")[0].rpartition(":v")[2] for _, image in agents(world).values()}


def files(folders: list[NodeFolder]) -> dict[str, dict[str, bytes]]:
    """Every file of every node's /etc/cni/net.d."""
    return {
        folder.root.name: {path.name: path.read_bytes() for path in sorted(folder.conf_dir.iterdir()) if path.is_file()}
        for folder in folders
    }


@contextmanager
def ready_reasons(world: Harness) -> Iterator[Path]:
    """A file to which the reason of Ready is written whenever the CNIChain changes."""
    path = world.work / "reasons"
    watch = [str(world.control_plane.kubectl), f"--kubeconfig={world.control_plane.kubeconfig}"]
    watch += ["get", "cnichain", "default", "--watch"]
    watch.append('--output=jsonpath={.status.conditions[?(@.type=="Ready")].reason}{"\\n"}')
    with path.open("wb") as output, subprocess.Popen(watch, stdout=output, stderr=subprocess.DEVNULL) as watcher:
        try:
            world.wait("the watch has begun", lambda: path.stat().st_size > 0, 20)
            yield path
        finally:
            watcher.terminate()


def rollout(world: Harness) -> dict[str, Any]:
    """status.rollout."""
    found: dict[str, Any] = (world.get("cnichain", "default").get("status") or {}).get("rollout") or {}
    return found


def rejected(world: Harness) -> dict[str, Any]:
    """status.rejected."""
    found: dict[str, Any] = (world.get("cnichain", "default").get("status") or {}).get("rejected") or {}
    return found


def test_a_new_chain_lands_on_the_canary_alone_while_it_is_held(world: Harness, running: list[NodeFolder]) -> None:
    before = files(running)
    world.apply_chain({**OLD, "rollout": {**ROLLOUT, "canary": {"nodes": 1, "soak": "1h"}}})
    world.wait_reason("Ready", "Soaking")
    assert len(chained(world)) == 1, "the canary alone is open while it soaks"
    (canary,) = chained(world)
    assert set(agents(world)) == {canary}, "Cilium runs on no node whose wave is not open"
    after = files(running)
    assert "05-cilium.conflist" in after[canary]
    untouched = [name for name in before if name != canary]
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert rollout(world)["state"] == "Soaking"


def test_paused_it_stays_where_it_is_and_says_so(world: Harness, running: list[NodeFolder]) -> None:
    world.apply_chain({**OLD, "rollout": {**ROLLOUT, "paused": True}})
    ready = world.wait_reason("Ready", "Paused")
    assert "1 of 3 nodes have the change" in ready["message"]
    assert len(chained(world)) == 1


def test_the_rest_follows_and_it_is_ready(world: Harness, running: list[NodeFolder]) -> None:
    world.apply_chain(OLD)
    world.wait_ready()
    assert len(chained(world)) == 3
    assert rollout(world)["state"] == "Done"
    assert rollout(world)["wave"] == 3, "one node after the other"
    assert {"Canary", "Soaking", "Wave", "RolloutFinished"} <= world.reasons_of_events()


def test_a_version_that_crashes_on_the_canary_goes_back_by_itself(world: Harness, running: list[NodeFolder]) -> None:
    pods, before = agents(world), files(running)
    world.apply_chain(CRASHING)
    stalled = world.wait_reason("Stalled", "RolledBack")
    assert "AgentCrashed" in stalled["message"], stalled["message"]
    after = agents(world)
    restarted = [name for name in pods if after[name][0] != pods[name][0]]
    assert len(restarted) == 1, f"nodes that the version never reached must not restart: {restarted}"
    assert restarted[0] in stalled["message"], "it names the node"
    assert {name: image for name, (_, image) in after.items()} == {name: image for name, (_, image) in pods.items()}
    assert files(running) == before
    found = world.conditions()
    assert found["RolledBack"]["status"] == "True"
    assert found["Ready"]["status"] == "False"
    assert found["CiliumReady"]["status"] == "True", "the last good revision works"
    assert world.get("cnichain", "default")["status"]["rejected"]["backTo"] == "1.17.3"


def test_it_is_not_tried_again_until_somebody_says_so(world: Harness, running: list[NodeFolder]) -> None:
    pods, failed = agents(world), rejected(world)
    world.kubectl("annotate", "cnichain", "default", "test/mark=look")
    start = world.audit_length()
    world.wait("another pass", lambda: world.audited(start), 30)
    assert agents(world) == pods
    world.kubectl("annotate", "cnichain", "default", "cnichain.io/retry=once")
    world.wait(
        "it is tried, and fails, once more",
        lambda: rejected(world).get("content", failed["content"]) != failed["content"],
    )
    world.wait_reason("Stalled", "RolledBack")
    assert rollout(world)["state"] == "Done"


def test_a_spec_that_works_goes_on(world: Harness, running: list[NodeFolder]) -> None:
    with ready_reasons(world) as seen:
        world.apply_chain(NEW)
        world.wait_ready()
    assert "PullingImages" in seen.read_text(encoding="utf-8").split(), "images are pulled before anything changes"
    assert all("1.17.18" in image for _, image in agents(world).values())
    assert world.conditions()["RolledBack"]["status"] == "False"
    assert "rejected" not in world.get("cnichain", "default")["status"]
    assert not world.exists("daemonset", "cnichain-prepull", *SYSTEM), "what pulled the images goes at the end"


def sandbox_failures(world: Harness, node: str) -> None:
    """What the kubelet of a node writes when cilium-cni fails for a pod; kwok's nodes have no kubelet that could."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "no-sandbox", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "app-1", "uid": "0b5e"},
        "reason": "FailedCreatePodSandBox",
        "message": 'plugin type="cilium-cni" failed (add): unable to connect to Cilium agent',
        "source": {"component": "kubelet", "host": node},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 4,
        "type": "Warning",
    }
    world.kubectl("apply", "--filename=-", stdin=json.dumps(event))


def test_pods_that_get_no_sandbox_on_the_canary_take_the_change_back(world: Harness, running: list[NodeFolder]) -> None:
    soaking = {**ROLLOUT, "canary": {"nodes": 1, "soak": "1h"}}
    pods = agents(world)
    world.apply_chain({"cilium": {"version": "1.17.18", "values": {"podLabels": {"try": "1"}}}, "rollout": soaking})
    world.wait_reason("Ready", "Soaking")
    (canary,) = [name for name, found in agents(world).items() if found != pods[name]]
    # The canary's agent is Ready for a second: what an Event says of the same second is not newer.
    world.wait("the canary's agent is Ready for a while", lambda: ready_for(world, canary) > 2)
    sandbox_failures(world, canary)
    stalled = world.wait_reason("Stalled", "RolledBack")
    assert "GateFailed" in stalled["message"]
    assert f"on {canary} pod default/app-1 got no sandbox" in stalled["message"]
    assert len([name for name in pods if agents(world)[name] != pods[name]]) == 1


def ready_for(world: Harness, node: str) -> float:
    """Seconds since the Cilium pod of a node got Ready."""
    items = world.get("pods", "--selector=k8s-app=cilium", f"--field-selector=spec.nodeName={node}", *SYSTEM)["items"]
    since = [
        one["lastTransitionTime"] for item in items for one in item["status"]["conditions"] if one["type"] == "Ready"
    ]
    return (datetime.now(UTC) - datetime.fromisoformat(since[0])).total_seconds() if since else 0.0


def test_a_node_is_done_when_a_probe_pod_on_it_is_managed(world: Harness, running: list[NodeFolder]) -> None:
    world.kubectl("delete", "event", "no-sandbox", "--namespace=default")
    start = world.audit_length()
    probing = {**ROLLOUT, "canary": {"nodes": 0, "soak": "0s"}, "probe": {"enabled": True}}
    world.apply_chain({"cilium": {"version": "1.17.18", "values": {"podLabels": {"try": "2"}}}, "rollout": probing})
    world.wait_ready()
    done = {
        ("delete", "kube-system"): "restart",
        ("create", "cnichain-system"): "probe",
        ("delete", "cnichain-system"): "over",
    }
    pods = [item for item in world.audited(start) if item.get("objectRef", {}).get("resource") == "pods"]
    story = [done.get((item["verb"], item["objectRef"].get("namespace")), "") for item in pods]
    assert [step for step in story if step] == ["restart", "probe", "over"] * 3, "each node is probed before the next"


def test_a_step_to_the_next_minor_and_back(world: Harness, running: list[NodeFolder]) -> None:
    world.apply_chain({**NEW, "cilium": {"version": "1.18.12"}})
    world.wait_ready()
    assert images(world) == {"1.18.12"}
    world.apply_chain(NEW)
    world.wait_ready()
    assert images(world) == {"1.17.18"}


def test_a_first_installation_that_crashes_leaves_the_primary_alone(world: Harness, running: list[NodeFolder]) -> None:
    world.kubectl("patch", "cnichain", "default", "--type=merge", '--patch={"spec":{"deletionPolicy":"Uninstall"}}')
    world.kubectl("delete", "cnichain", "default", "--timeout=60s")
    assert chained(world) == [], "the label goes with the chain"
    world.apply_chain(CRASHING)
    stalled = world.wait_reason("Stalled", "RolledBack")
    assert "primary alone" in stalled["message"]
    assert chained(world) == []
    assert agents(world) == {}
