"""A real node for the session, and the same node back at its start for each test. Skipped where none can be."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.toolchain import ensure
from packages import image_name
from realnode.build import base_archive, build_image
from realnode.chainnode import ROOT, ChainNode
from realnode.node import RealNode
from realnode.requirements import IMAGE_PROGRAMS, NODE_PROGRAMS, UnavailableError, ensure_packages


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of these tests."""
    config.addinivalue_line("markers", "realnode: needs a real node (root on Debian, cgroups; installs packages)")


@pytest.fixture(scope="session")
def node_machine(request: pytest.FixtureRequest) -> None:
    """This machine can carry a real node; what is missing was installed. Else skipped, and in CI failed."""
    _ensure(request, NODE_PROGRAMS)


@pytest.fixture(scope="session")
def image_machine(request: pytest.FixtureRequest, node_machine: None) -> None:
    """As node_machine, and it can build images."""
    _ensure(request, IMAGE_PROGRAMS)


def _ensure(request: pytest.FixtureRequest, programs: dict[str, str]) -> None:
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)

    try:
        ensure_packages(programs, say=say)
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the tests on a real node must not be skipped in CI: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def node_control_plane(node_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane without fake nodes, with CNIChain's CRDs."""
    with ControlPlane.run(tmp_path_factory.mktemp("realnode-cp") / "cp") as running:
        running.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
        running.run_kubectl("wait", "--for=condition=Established", f"--filename={ROOT / 'crds'}", "--timeout=30s")
        yield running


@pytest.fixture(scope="session")
def real_node(node_control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """The session's one real node, with the stand-in primary. Tests take `node`, which puts it back afterwards."""
    with RealNode.run(tmp_path_factory.mktemp("realnode") / "node", node_control_plane) as running:
        yield running


@pytest.fixture(scope="session")
def image(image_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project's image, named as deploy/base has it. helm is the toolchain's, from the same Go module."""
    folder = tmp_path_factory.mktemp("image")
    helm = folder / "helm"
    helm.mkdir()
    shutil.copy2(ensure().path("helm"), helm)
    yield build_image(
        ROOT,
        image_name(),
        folder / "cnichain.tar",
        arguments={"PYTHON_IMAGE": f"oci-archive:{base_archive()}"},
        contexts={"helm": helm},
    )
    shutil.rmtree(folder)  # pytest would keep it for some runs


@pytest.fixture(scope="session")
def image_on_node(real_node: RealNode, image: Path) -> None:
    """The image is in containerd."""
    real_node.import_image(image)


@pytest.fixture
def node(real_node: RealNode) -> Iterator[RealNode]:
    """The real node: Ready, no pods, the stand-in primary alone."""
    try:
        yield real_node
    finally:
        real_node.reset()


@pytest.fixture
def chain_node(node: RealNode) -> Iterator[ChainNode]:
    """The node's CNIChainNode: not there yet, and gone after the test."""
    handle = ChainNode(node.control_plane, node.name)
    yield handle
    handle.delete()
