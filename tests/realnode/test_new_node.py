"""A new node that starts with the startup taint takes no pod until its chain is verified.

The operator's part is its own code for nodes (reconcile/nodesync.py), run once for each pass; stages and charts, which
need images that this node does not have, are not part of it.
"""

import asyncio
import json
from collections.abc import Iterator

import pytest

from cnichain.api.chain import parse_spec
from cnichain.api.chainnode import NodeSpec
from cnichain.api.names import STARTUP_TAINT
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.kube.resources import CHAIN_NODES, NODES
from cnichain.plan.nodes import chain_node, chain_node_record, node_record
from cnichain.reconcile.nodesync import NodeView, open_nodes, tell
from realnode.chainnode import ChainNode
from realnode.config import PAUSE_IMAGE
from realnode.namespaces import wait_for
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode]

SPEC = parse_spec({"cilium": {"version": "1.17.3"}})
APP = {"app": "first-pods"}
OTHER_TAINT = "someone.else/taint"


@pytest.fixture
def new_node(node: RealNode) -> Iterator[RealNode]:
    """The real node, which has just joined with the startup taint, and with one that is not ours."""
    node.join_anew(f"{STARTUP_TAINT}=:NoSchedule,{OTHER_TAINT}=:PreferNoSchedule")
    yield node
    for key in _taints(node) & {STARTUP_TAINT, OTHER_TAINT}:
        node.control_plane.run_kubectl("taint", "node", node.name, f"{key}-")


@pytest.fixture
def deployment(node: RealNode) -> Iterator[str]:
    """A Deployment of one pod that tolerates nothing; it goes after the test, its pod first."""
    container = {"name": "main", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
    pod = {
        # Other tests leave Nodes of nodes that are gone.
        "nodeSelector": {"kubernetes.io/hostname": node.name},
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "first-pods", "namespace": "default"},
        "spec": {"selector": {"matchLabels": APP}, "template": {"metadata": {"labels": APP}, "spec": pod}},
    }
    kubectl = node.control_plane.run_kubectl
    kubectl("create", "--filename=-", stdin=json.dumps(body))
    yield "first-pods"
    kubectl("delete", "deployment", "first-pods", "--cascade=foreground", "--timeout=60s", timeout=70)


def test_it_takes_no_pod_until_its_chain_is_verified(
    new_node: RealNode, chain_node: ChainNode, deployment: str
) -> None:
    node = new_node
    # kubelet has registered it with both, and Kubernetes' own taints of a node that was not ready yet are gone.
    wait_for(
        "other taints are on the node", lambda: "yes" if _taints(node) == {STARTUP_TAINT, OTHER_TAINT} else "", 30.0
    )
    assert "untolerated taint" in _wait_unschedulable(node)

    assert _pass(node) == []
    with node.agent():
        # There is no cilium-cni on the node yet: its install container has not run.
        chain_node.wait_state("WaitCilium", 60.0)  # told once it has lasted for a while
        assert _pass(node) == [], "a chain that is not verified opens no node"
        assert _pod(node)["spec"].get("nodeName") is None
        node.pods.start("of-a-daemonset")  # it tolerates everything, as agents do
        assert node.pods.wait_running("of-a-daemonset"), "what tolerates the taint is not held up"

        node.start_cilium_agent()
        node.install_plugin("cilium-cni")
        chain_node.wait_state("InSync")
        assert STARTUP_TAINT in _taints(node), "only the operator takes it off"
        assert _pod(node)["spec"].get("nodeName") is None
        assert _pass(node) == [node.name]
        assert _taints(node) & {STARTUP_TAINT, OTHER_TAINT} == {OTHER_TAINT}
        assert _pass(node) == [], "an open node stays as it is"
        name = _wait_running(node)
        log = (node.layout.log_dir / "cilium-agent.log").read_text(encoding="utf-8")
        assert f"endpoint default/{name} " in log, "the first pod did not go through the chain"
        assert "endpoint default/of-a-daemonset " not in log


def _pass(node: RealNode) -> list[str]:
    """What a pass of the operator does for its nodes; the nodes that it has opened."""

    async def inside() -> list[str]:
        async with KubeClient(load_credentials(node.control_plane.kubeconfig)) as client:
            view = await _view(client, node.name)
            await tell(client, [chain_node(view.nodes[node.name], NodeSpec(), "default")], view.reports)
            return await open_nodes(client, await _view(client, node.name), SPEC)

    return asyncio.run(inside())


async def _view(client: KubeClient, name: str) -> NodeView:
    """The one node, and what its agent reports."""
    nodes, _ = await client.list(NODES, fields=f"metadata.name={name}")
    reports, _ = await client.list(CHAIN_NODES, fields=f"metadata.name={name}")
    return NodeView(
        {record.name: record for record in map(node_record, nodes)},
        {record.name: record for record in map(chain_node_record, reports)},
    )


def _taints(node: RealNode) -> set[str]:
    found = json.loads(node.control_plane.run_kubectl("get", "node", node.name, "--output=json"))
    return {taint["key"] for taint in found["spec"].get("taints", [])}


def _pod(node: RealNode) -> dict[str, dict[str, object]]:
    """The Deployment's pod."""
    items = json.loads(node.control_plane.run_kubectl("get", "pods", f"--selector=app={APP['app']}", "--output=json"))[
        "items"
    ]
    assert len(items) == 1, f"{len(items)} pods instead of one"
    pod: dict[str, dict[str, object]] = items[0]
    return pod


def _wait_unschedulable(node: RealNode) -> str:
    """The scheduler's words on why the pod waits."""
    path = '{.items[*].status.conditions[?(@.type=="PodScheduled")].message}'
    return wait_for("the scheduler has not said why the pod waits", lambda: _of_pods(node, path), 30.0)


def _wait_running(node: RealNode) -> str:
    """The name of the Deployment's pod, once it runs."""
    path = '{.items[?(@.status.phase=="Running")].metadata.name}'
    return wait_for("the pod does not run on the open node", lambda: _of_pods(node, path), 60.0)


def _of_pods(node: RealNode, path: str) -> str:
    """What a JSONPath finds in the Deployment's pods."""
    return node.control_plane.run_kubectl("get", "pods", f"--selector=app={APP['app']}", f"--output=jsonpath={path}")
