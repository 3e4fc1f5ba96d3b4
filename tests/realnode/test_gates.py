"""Gates of a rollout on a real node: kubelet's own events, and a probe whose pod really starts."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from cnichain.api.chainnode import NodeSpec
from cnichain.dev.run import capture
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.reconcile.probe import probe
from cnichain.rollout.probe import SECONDS, ProbeResult, ProbeState, ProbeTarget
from cnichain.rollout.sandboxes import sandbox_alarm
from realnode import conflists
from realnode.chainnode import ROOT, ChainNode
from realnode.config import PAUSE_IMAGE
from realnode.namespaces import wait_for
from realnode.node import RealNode
from sandboxlook import sandbox_watch

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode]

T = TypeVar("T")
SYSTEM = "--namespace=cnichain-system"
LATER = timedelta(seconds=SECONDS + 30)


def run(node: RealNode, step: Callable[[KubeClient], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with KubeClient(load_credentials(node.control_plane.kubeconfig)) as client:
            return await step(client)

    return asyncio.run(inside())


def test_kubelets_own_events_raise_the_alarm(node: RealNode) -> None:
    """The conflist names cilium-cni, and there is no such program: what a node has whose chain is broken."""
    since = datetime.now(UTC) - timedelta(seconds=1)
    node.publish(conflists.stand_in(tail=({"type": "cilium-cni"},)))
    node.wait_loaded("ptp", "portmap", "cilium-cni")
    node.pods.start("no-network")
    try:
        said = wait_for("no alarm is raised", lambda: _alarm(node, since), 120.0)
    finally:  # without the plugin kubelet cannot remove the pod either
        node.install_plugin("cilium-cni")
        node.start_cilium_agent()
    assert said.startswith(f"on {node.name} pod default/no-network got no sandbox 3 times since the change: ")
    assert "cilium-cni" in said
    assert node.pods.wait_running("no-network", 120.0), "kubelet did not try again"
    assert _alarm(node, datetime.now(UTC)) == "", "what was before the next change is not held against it"


def test_a_plugin_of_the_primarys_that_fails_is_no_alarm(node: RealNode) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    node.remove_plugin("portmap")
    try:
        node.pods.start("no-portmap")
        wait_for(
            "kubelet has not tried three times",
            lambda: "yes" if node.pods.count("no-portmap", "SandboxChanged") > 2 else "",
            120.0,
        )
        assert _alarm(node, since) == ""
    finally:
        node.install_plugin("portmap")


def _alarm(node: RealNode, since: datetime) -> str:
    async def look(client: KubeClient) -> str:
        async with sandbox_watch(client) as watch:
            found = await watch.failures({node.name: since})
            assert found is not None, "the events could not be listed"
            return sandbox_alarm(found[node.name])

    return run(node, look)


@pytest.fixture
def chain(node: RealNode, chain_node: ChainNode) -> Iterator[RealNode]:
    """The node with a verified chain and no cilium-agent; Cilium's CRDs and the operator's namespace are there."""
    node.control_plane.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/namespace.yaml'}")
    crds = node.control_plane.toolbox.path("cilium-crds")
    capture([str(crds), f"--kubeconfig={node.control_plane.kubeconfig}"], timeout=60)
    node.install_plugin("cilium-cni")
    chain_node.give(NodeSpec())
    with node.agent():
        chain_node.wait_state("InSync")
        try:
            yield node
        finally:
            selector = "--selector=app.kubernetes.io/name=cnichain-probe"
            node.control_plane.run_kubectl("delete", "pods", SYSTEM, selector, "--timeout=60s", timeout=70)


def test_a_probe_passes_once_its_pod_runs_and_is_managed(chain: RealNode) -> None:
    node = chain
    node.start_cilium_agent()
    target = _target(node, "passes")
    assert _step(node, target).state is ProbeState.WAITING
    path = "{.status.phase} {.metadata.uid}"
    uid = wait_for(
        "the probe's pod does not run, restricted as it is",
        lambda: _field(node, target, path).partition("Running ")[2],
        60.0,
    )
    assert "has no CiliumEndpoint" in _step(node, target).message
    log = (node.layout.log_dir / "cilium-agent.log").read_text(encoding="utf-8")
    assert f"endpoint cnichain-system/{target.pod_name} " in log, "it did not go through the chain"
    _make_endpoint(node, target, uid)
    assert _step(node, target).state is ProbeState.PASSED
    wait_for("the probe's pod is still there", lambda: "" if _field(node, target, "{.metadata.name}") else "gone", 60.0)


def test_a_probe_on_a_node_whose_cilium_is_down_fails_with_kubelets_words(chain: RealNode) -> None:
    node = chain
    target = _target(node, "fails")
    _step(node, target)
    refused = f"--field-selector=involvedObject.name={target.pod_name},reason=FailedCreatePodSandBox"
    wait_for(
        "kubelet has not said that the sandbox failed",
        lambda: node.control_plane.run_kubectl("get", "events", SYSTEM, refused, "--output=name"),
        120.0,
    )
    result = _step(node, target, LATER)
    assert result.state is ProbeState.FAILED
    assert "has no address after 90 s; FailedCreatePodSandBox: " in result.message
    assert "cilium" in result.message


def _target(node: RealNode, attempt: str) -> ProbeTarget:
    uid = node.control_plane.run_kubectl("get", "node", node.name, "--output=jsonpath={.metadata.uid}")
    return ProbeTarget(node.name, uid, attempt, PAUSE_IMAGE, "default")


def _step(node: RealNode, target: ProbeTarget, later: timedelta = timedelta()) -> ProbeResult:
    return run(node, lambda client: probe(client, target, datetime.now(UTC) + later))


def _field(node: RealNode, target: ProbeTarget, path: str) -> str:
    return node.control_plane.run_kubectl(
        "get", "pod", target.pod_name, SYSTEM, "--ignore-not-found", f"--output=jsonpath={path}"
    )


def _make_endpoint(node: RealNode, target: ProbeTarget, uid: str) -> None:
    """What cilium-agent makes for a pod that it manages; its stand-in does not."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": target.pod_name, "uid": uid}
    metadata = {"name": target.pod_name, "namespace": "cnichain-system", "ownerReferences": [owner]}
    body = {"apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint", "metadata": metadata}
    node.control_plane.run_kubectl("create", "--filename=-", stdin=json.dumps(body))
