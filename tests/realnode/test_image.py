"""The project's own image, built from its Dockerfile without Docker, run as the DaemonSet that users apply."""

import json
from functools import partial
from pathlib import Path

import pytest

from cnichain.api.chainnode import NodeSpec
from cnichain.dev.errors import DevError
from packages import CHART, helm, image_name
from realnode.chainnode import ROOT, ChainNode
from realnode.layout import CHAINED_FILE
from realnode.namespaces import wait_for
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode, pytest.mark.timeout(1200)]

DEPLOY = ROOT / "deploy" / "base"
CHAIN = {
    "apiVersion": "cnichain.io/v1alpha1",
    "kind": "CNIChain",
    "metadata": {"name": "default"},
    "spec": {"cilium": {"version": "1.17.3"}},
}
OPERATOR = ("--namespace=cnichain-system", "--selector=app.kubernetes.io/name=cnichain-operator")
VALUES = ("--set=oneNode=true", "--set=charts.configMap=cnichain-charts")
AGENT = ("cnichain-agent", "--namespace=cnichain-system")


def test_the_agent_from_its_image_guards_the_node(image_on_node: None, node: RealNode, chain_node: ChainNode) -> None:
    """deploy/base's namespace, RBAC, policy and agent, as they are: its token is the one that its kubelet asked for."""
    files = [f"--filename={DEPLOY / f'{name}.yaml'}" for name in ("namespace", "rbac", "agent-policy", "agent")]
    kubectl = node.control_plane.run_kubectl
    node.install_plugin("cilium-cni")
    chain_node.give(NodeSpec())
    kubectl("apply", "--server-side", *files)
    try:
        wait_for("the agent's pod is not Ready", lambda: "yes" if _ready(node) == "1" else "", 90.0)
        status = chain_node.wait_state("InSync")
        assert status["effectiveFile"] == CHAINED_FILE
        node.wait_loaded("ptp", "portmap", "cilium-cni")
        node.unpublish(CHAINED_FILE)
        node.wait_loaded("ptp", "portmap", "cilium-cni")
    finally:
        kubectl("delete", "daemonset", *AGENT, "--cascade=foreground", "--timeout=60s", timeout=70)  # its pods first
    assert (node.layout.conf_dir / CHAINED_FILE).exists(), "the end of the agent changed the node"


def test_the_chart_runs_operator_and_agent_from_the_image(
    image_on_node: None, node: RealNode, chart_dir: Path, tmp_path: Path
) -> None:
    """By helm, below the Pod Security label, as real pods: both get Ready, and the operator does its work from there.

    Nothing is chained: this cluster has no VPC CNI, and the operator has to find that out and say so.
    """
    kubectl = node.control_plane.run_kubectl
    kubectl("apply", "--server-side", f"--filename={DEPLOY / 'namespace.yaml'}")
    charts = ("configmap", "cnichain-charts", "--namespace=cnichain-system")
    kubectl("create", *charts, f"--from-file={chart_dir / 'cilium-1.17.3.tgz'}")
    release = ("cnichain", "--namespace=cnichain-system")
    # What the tests before have left is taken over.
    arguments = (str(CHART), *VALUES, "--take-ownership", "--force-conflicts", "--wait", "--timeout=120s")
    installed = helm(tmp_path, "install", *release, *arguments, kubeconfig=node.control_plane.kubeconfig)
    try:
        told = kubectl("describe", "pods", "--namespace=cnichain-system") if installed.returncode else ""
        assert installed.returncode == 0, f"{installed.stderr}\n{told}"
        kubectl("apply", "--filename=-", stdin=json.dumps(CHAIN))
        wait_for("the operator says nothing of the chain", partial(_refusal, node), 60.0, partial(_alive, node))
        assert "PrimaryNotFound" in _refusal(node), _log(node)
        # The finalizer goes by the operator alone.
        kubectl("delete", "cnichain", "default", "--timeout=60s", timeout=70)
    finally:
        kubectl("delete", "cnichain", "default", "--ignore-not-found", "--wait=false")
        kubectl("delete", *charts)
        removed = helm(
            tmp_path, "uninstall", *release, "--wait", "--timeout=60s", kubeconfig=node.control_plane.kubeconfig
        )
    assert removed.returncode == 0, removed.stderr


def _refusal(node: RealNode) -> str:
    """What the chain's conditions that are False say, once there are any."""
    path = '{range .status.conditions[?(@.status=="False")]}{.type}: {.reason}: {.message}{"\\n"}{end}'
    return node.control_plane.run_kubectl("get", "cnichain", "default", f"--output=jsonpath={path}")


def _alive(node: RealNode) -> None:
    """Fails with its words when the operator has ended."""
    path = "{.items[*].status.containerStatuses[*].restartCount}"
    restarts = node.control_plane.run_kubectl("get", "pods", *OPERATOR, f"--output=jsonpath={path}")
    assert set(restarts.split()) == {"0"}, f"the operator has ended: {_log(node)}"


def _log(node: RealNode) -> str:
    """What the operator that has ended has written, else the one that runs."""
    one = ("logs", "--tail=40", *OPERATOR)
    try:
        return node.control_plane.run_kubectl(*one, "--previous")
    except DevError:  # none has ended
        return node.control_plane.run_kubectl(*one)


def _ready(node: RealNode) -> str:
    return node.control_plane.run_kubectl("get", "daemonset", *AGENT, "--output=jsonpath={.status.numberReady}")


def test_operator_and_agent_start_from_the_image(image_on_node: None, node: RealNode) -> None:
    node.pods.start("agent-help", image=image_name(), command=["cnichain-agent", "--help"])
    node.pods.start("operator-help", image=image_name(), args=["operator", "--help"])
    node.pods.start("helm", image=image_name(), command=["helm", "version", "--short"])
    for name in ("agent-help", "operator-help", "helm"):
        assert node.pods.wait_exit(name) == 0, f"{name} failed: {node.pods.log(name)}"


def test_all_that_the_agent_imports_is_compiled_in_the_image(image_on_node: None, node: RealNode) -> None:
    """Its root file system is read-only: what is not compiled there is compiled at each start, and keeps the memory."""
    code = (
        "import os, sys; import cnichain.node.main, cnichain.node.cri; "
        "specs = [getattr(module, '__spec__', None) for module in sys.modules.values()]; "
        "cached = [spec.cached for spec in specs if spec and spec.cached]; "
        "sys.exit(', '.join(path for path in cached if not os.path.exists(path)) or 0)"
    )
    node.pods.start("compiled", image=image_name(), command=["python3", "-c", code])
    assert node.pods.wait_exit("compiled") == 0, f"not compiled: {node.pods.log('compiled')}"
