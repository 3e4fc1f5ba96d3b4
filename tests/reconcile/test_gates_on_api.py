"""Gates of a rollout against a real API server, under the operator's own account and the shipped roles."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cnichain.api.reasons import Reason
from cnichain.api.times import rfc3339
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.run import capture
from cnichain.kube import client as client_module
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.reconcile import sandboxes as sandboxes_module
from cnichain.reconcile.probe import probe, remove_probes
from cnichain.reconcile.sandboxes import SandboxWatch
from cnichain.rollout.probe import SECONDS, ProbeResult, ProbeState, ProbeTarget
from cnichain.rollout.sandboxes import sandbox_alarm
from harness import ROOT, Harness
from sandboxlook import sandbox_watch

pytestmark = pytest.mark.controlplane

T = TypeVar("T")
Object = dict[str, Any]
SYSTEM = "--namespace=cnichain-system"
PROBES = ("pods", SYSTEM, "--selector=app.kubernetes.io/name=cnichain-probe")
REFUSED = 'plugin type="cilium-cni" failed (add): unable to connect to Cilium agent'
LATER = timedelta(seconds=SECONDS + 30)


@pytest.fixture(scope="module")
def world(crds_installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The session's control plane with the shipped roles and Cilium's CRDs."""
    running = Harness(crds_installed, tmp_path_factory.mktemp("gates"), Path())
    running.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/rbac.yaml'}")
    crds = crds_installed.toolbox.path("cilium-crds")
    capture([str(crds), f"--kubeconfig={crds_installed.kubeconfig}"], timeout=60)
    return running


@pytest.fixture(scope="module")
def account(world: Harness) -> Path:
    """The operator's kubeconfig."""
    return world.kubeconfig_of("cnichain-operator")


def run(kubeconfig: Path, step: Callable[[KubeClient], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with KubeClient(load_credentials(kubeconfig)) as client:
            return await step(client)

    return asyncio.run(inside())


def create(world: Harness, body: Object) -> None:
    world.kubectl("create", "--filename=-", stdin=json.dumps(body))


def event(world: Harness, name: str, node: str, seen: datetime, **more: Any) -> None:
    """An Event as kubelet writes it."""
    pod = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web-1", "uid": "of-web-1"}
    create(
        world,
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": pod,
            "type": "Warning",
            "reason": "FailedCreatePodSandBox",
            "message": f"Failed to create pod sandbox: {REFUSED}",
            "source": {"component": "kubelet", "host": node},
            "reportingComponent": "kubelet",
            "reportingInstance": node,
            "firstTimestamp": rfc3339(seen),
            "lastTimestamp": rfc3339(seen),
            "count": 1,
        }
        | more,
    )


def sandboxes(account: Path, *looks: Callable[[SandboxWatch], Awaitable[T]]) -> list[T]:
    """What each of some looks finds, one after the other, while the events are watched."""

    async def inside(client: KubeClient) -> list[T]:
        async with sandbox_watch(client) as watch:
            return [await look(watch) for look in looks]

    return run(account, inside)


def test_sandboxes_that_fail_are_found_among_all_events_and_watched(
    world: Harness, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 2)
    now = datetime.now(UTC)
    for number in range(3):
        event(world, f"sandbox-new-{number}", "node-a", now)
        event(world, f"sandbox-old-{number}", "node-a", now - timedelta(hours=1))
        event(world, f"sandbox-elsewhere-{number}", "node-c", now)
        event(world, f"pull-{number}", "node-b", now, reason="Failed")
    event(world, "sandbox-again", "node-a", now, reason="SandboxChanged", message="Pod sandbox changed.", count=5)
    since = dict.fromkeys(("node-a", "node-b"), now - timedelta(minutes=5))
    start = world.audit_length()

    async def alarms(watch: SandboxWatch) -> dict[str, str]:
        found = await watch.failures(since)
        assert found is not None
        return {node: sandbox_alarm(one) for node, one in found.items()}

    async def later(watch: SandboxWatch) -> dict[str, str]:
        event(world, "sandbox-later", "node-b", now, count=4)
        for _ in range(600):
            if (found := await alarms(watch))["node-b"]:
                return found
            await asyncio.sleep(0.05)
        raise AssertionError("the watch has not brought the new event within 30 s")

    first, second = sandboxes(account, alarms, later)
    assert set(first) == {"node-a", "node-b"}
    assert first["node-a"].startswith("on node-a pod default/web-1 got no sandbox 5 times since the change: ")
    assert REFUSED in first["node-a"]
    assert first["node-b"] == ""
    assert second["node-b"].startswith("on node-b pod default/web-1 got no sandbox 4 times since the change: ")
    asked = [item["requestURI"] for item in world.audit(start) if "cnichain-operator" in item["user"]["username"]]
    lists = [uri for uri in asked if "watch=" not in uri]
    assert len(lists) >= 6, "9 events of the first reason came two at a time"
    assert all("limit=2" in uri for uri in lists)
    assert all("reason%3D" in uri for uri in asked), "the server picks the events"
    again = [uri for uri in lists if "FailedCreatePodSandBox" in uri and "continue=" not in uri]
    assert len(again) == 1, "a list reads all events of the cluster from etcd: it is made once"


def test_nothing_is_asked_for_no_node(account: Path, world: Harness) -> None:
    start = world.audit_length()
    assert sandboxes(account, lambda watch: watch.failures({})) == [{}]
    assert not [item for item in world.audit(start) if "cnichain-operator" in item["user"]["username"]]


def test_an_account_without_the_right_is_told_what_it_lacks(
    world: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sandboxes_module, "FIRST_LIST_SECONDS", 2.0)
    agent = world.kubeconfig_of("cnichain-agent")
    assert sandboxes(agent, lambda watch: watch.failures({"node-a": datetime.now(UTC)})) == [None]
    assert f"{Reason.ACCESS_DENIED.value}: watch of events: " in caplog.text


def target(world: Harness, node: str, attempt: str) -> ProbeTarget:
    uid = world.get("node", node)["metadata"]["uid"]
    return ProbeTarget(node, uid, attempt, "quay.io/cilium/cilium:v1.17.3", "default")


def step(account: Path, where: ProbeTarget, later: timedelta = timedelta()) -> ProbeResult:
    return run(account, lambda client: probe(client, where, datetime.now(UTC) + later))


def probes(world: Harness) -> dict[str, Object]:
    """The probes' pods by name, but for those that are on their way out."""
    items = world.get(*PROBES)["items"]
    return {item["metadata"]["name"]: item for item in items if "deletionTimestamp" not in item["metadata"]}


def endpoint(world: Harness, pod: Object) -> None:
    """What the agent makes for a pod that it manages: an endpoint of its name, owned by it."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    create(
        world,
        {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumEndpoint",
            "metadata": {"name": name, "namespace": "cnichain-system", "ownerReferences": [owner]},
        },
    )


@pytest.fixture
def node(world: Harness) -> Iterator[str]:
    """A node that is still closed by the startup taint."""
    name = str(world.get("nodes")["items"][0]["metadata"]["name"])
    world.kubectl("taint", "node", name, "cnichain.io/chain-not-ready=:NoSchedule")
    yield name
    world.kubectl("taint", "node", name, "cnichain.io/chain-not-ready-")


def test_a_probe_passes_once_cilium_manages_its_pod_and_leaves_nothing(
    world: Harness, account: Path, node: str
) -> None:
    where = target(world, node, "passes")
    assert step(account, where).state is ProbeState.WAITING
    world.wait("its pod runs", lambda: probes(world)[where.pod_name]["status"].get("phase") == "Running", 60)
    pod = probes(world)[where.pod_name]
    assert pod["spec"]["nodeName"] == node, "the scheduler put it there, past the startup taint"
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
    waiting = step(account, where)
    assert waiting.state is ProbeState.WAITING
    assert "no CiliumEndpoint of its own" in waiting.message
    endpoint(world, pod)
    passed = step(account, where)  # another call than the one that made it: nothing is kept in memory
    assert (passed.state, pod["status"]["podIP"] in passed.message) == (ProbeState.PASSED, True)
    world.wait("its pod is gone", lambda: where.pod_name not in probes(world), 30)


def test_a_pod_that_cilium_never_manages_fails_the_probe(world: Harness, account: Path, node: str) -> None:
    where = target(world, node, "unmanaged")
    step(account, where)
    world.wait("its pod runs", lambda: probes(world)[where.pod_name]["status"].get("phase") == "Running", 60)
    failed = step(account, where, LATER)
    assert failed.state is ProbeState.FAILED
    assert "has no CiliumEndpoint of its own after 90 s" in failed.message
    world.wait("its pod is gone", lambda: where.pod_name not in probes(world), 30)


@contextmanager
def dead_node(world: Harness, name: str, pods: int) -> Iterator[str]:
    """A node whose kubelet never speaks, with room for so many pods."""
    room = {"cpu": "2", "memory": "4Gi", "pods": str(pods)}
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}
    status = {"allocatable": room, "capacity": room}
    create(world, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})
    try:
        yield name
    finally:
        world.kubectl("delete", *PROBES, f"--field-selector=spec.nodeName={name}", "--force", "--grace-period=0")
        world.kubectl("delete", "node", name, "--timeout=30s")


def test_a_probe_that_fails_carries_kubelets_words(world: Harness, account: Path) -> None:
    with dead_node(world, "mute", pods=10) as name:
        where = target(world, name, "fails")
        step(account, where)
        world.wait("its pod is scheduled", lambda: probes(world)[where.pod_name]["spec"].get("nodeName"), 30)
        pod = probes(world)[where.pod_name]["metadata"]
        about = {"kind": "Pod", "namespace": "cnichain-system", "name": pod["name"], "uid": pod["uid"]}
        place = {"name": "probe-refused", "namespace": "cnichain-system"}
        event(world, "", name, datetime.now(UTC), metadata=place, involvedObject=about)
        failed = step(account, where, LATER)
        assert failed.state is ProbeState.FAILED
        assert "has no address after 90 s; FailedCreatePodSandBox: " in failed.message
        assert REFUSED in failed.message
        world.wait("its pod is on its way out", lambda: where.pod_name not in probes(world), 30)


def test_a_full_node_is_no_broken_node(world: Harness, account: Path) -> None:
    with dead_node(world, "full", pods=0) as name:
        where = target(world, name, "no-room")
        step(account, where)
        world.wait("the scheduler has looked", lambda: probes(world)[where.pod_name]["status"].get("conditions"), 30)
        result = step(account, where, LATER)
        assert result.state is ProbeState.NOT_POSSIBLE
        assert "Too many pods" in result.message
        world.wait("its pod is gone", lambda: where.pod_name not in probes(world), 30)


def test_what_a_killed_operator_has_left_is_removed_by_label(world: Harness, account: Path, node: str) -> None:
    wheres = [target(world, node, f"leftover-{number}") for number in range(3)]
    for where in wheres:
        step(account, where)
    body = {"metadata": {"name": "of-another-chain", "namespace": "cnichain-system"}}
    labels = {"app.kubernetes.io/name": "cnichain-probe", "cnichain.io/owner": "another"}
    spec = {"containers": [{"name": "main", "image": "x"}], "tolerations": [{"operator": "Exists"}]}
    create(world, {"apiVersion": "v1", "kind": "Pod", "metadata": body["metadata"] | {"labels": labels}, "spec": spec})
    kept = wheres[0].pod_name
    assert run(account, lambda client: remove_probes(client, "default", {kept})) == 2
    world.wait("the others are gone", lambda: set(probes(world)) == {kept, "of-another-chain"}, 30)
    assert run(account, lambda client: remove_probes(client, "default")) == 1
    world.wait("all are gone", lambda: set(probes(world)) == {"of-another-chain"}, 30)
    world.kubectl("delete", "pod", "of-another-chain", SYSTEM, "--timeout=30s")


def test_a_probe_that_nobody_looked_after_is_tried_again(world: Harness, account: Path) -> None:
    with dead_node(world, "late", pods=10) as name:
        where = target(world, name, "forgotten")
        step(account, where)
        patch = json.dumps({"status": {"phase": "Failed", "reason": "DeadlineExceeded"}})
        world.kubectl(
            "patch", "pod", where.pod_name, SYSTEM, "--subresource=status", "--type=merge", f"--patch={patch}"
        )
        assert step(account, where).state is ProbeState.WAITING
        world.wait("the old pod is gone", lambda: where.pod_name not in probes(world), 30)


def test_the_probe_is_let_in_where_only_restricted_pods_are(world: Harness, account: Path, node: str) -> None:
    level = "pod-security.kubernetes.io/enforce"
    world.kubectl("label", "namespace", "cnichain-system", f"{level}=restricted", "--overwrite")
    try:
        where = target(world, node, "restricted")
        assert step(account, where).state is ProbeState.WAITING
        assert where.pod_name in probes(world)
    finally:
        world.kubectl("label", "namespace", "cnichain-system", f"{level}=privileged", "--overwrite")
        run(account, lambda client: remove_probes(client, "default"))
