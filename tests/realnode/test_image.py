"""The project's own image, built from its Dockerfile without Docker, run as the DaemonSet that users apply."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnichain.api.chainnode import NodeSpec
from cnichain.dev.toolchain import ensure
from realnode.build import base_archive, build_image
from realnode.chainnode import ROOT, ChainNode
from realnode.layout import CHAINED_FILE
from realnode.namespaces import wait_for
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode, pytest.mark.timeout(1200)]

DEPLOY = ROOT / "deploy" / "base"
AGENT = ("cnichain-agent", "--namespace=cnichain-system")


@pytest.fixture(scope="module")
def image(image_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image under the name that deploy/base has for it. helm is the toolchain's, from the same Go module."""
    folder = tmp_path_factory.mktemp("image")
    helm = folder / "helm"
    helm.mkdir()
    shutil.copy2(ensure().path("helm"), helm)
    yield build_image(
        ROOT,
        _image_name(),
        folder / "cnichain.tar",
        arguments={"PYTHON_IMAGE": f"oci-archive:{base_archive()}"},
        contexts={"helm": helm},
    )
    shutil.rmtree(folder)  # pytest would keep it for some runs


def _image_name() -> str:
    lines = (DEPLOY / "agent.yaml").read_text(encoding="utf-8").splitlines()
    return next(line.split("image:")[1].strip() for line in lines if "image:" in line)


@pytest.fixture(scope="module")
def image_on_node(real_node: RealNode, image: Path) -> None:
    """The image is in containerd."""
    real_node.import_image(image)


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


def _ready(node: RealNode) -> str:
    return node.control_plane.run_kubectl("get", "daemonset", *AGENT, "--output=jsonpath={.status.numberReady}")


def test_operator_and_agent_start_from_the_image(image_on_node: None, node: RealNode) -> None:
    node.pods.start("agent-help", image=_image_name(), command=["cnichain-agent", "--help"])
    node.pods.start("operator-help", image=_image_name(), args=["operator", "--help"])
    node.pods.start("helm", image=_image_name(), command=["helm", "version", "--short"])
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
    node.pods.start("compiled", image=_image_name(), command=["python3", "-c", code])
    assert node.pods.wait_exit("compiled") == 0, f"not compiled: {node.pods.log('compiled')}"
