"""Fixtures that all tests share: one local control plane for the session, with the CRDs in it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cnichain.dev.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parent.parent
KUBECTL_SECONDS = 60
NODES = 3

# Speed is measured in benchmarks: a machine that is busy fails no test.
settings.register_profile("cnichain", deadline=None)
# `make fuzz`: the same tests, with so many examples each that they take minutes.
settings.register_profile("fuzz", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "cnichain")

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a control plane first, which take minutes each: workers get whole files, in this order (Makefile), and
    the short ones fill what is left at the end."""
    items.sort(key=lambda item: "controlplane" not in item.keywords)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real control plane with three EKS-like nodes on kwok, their folders, and the stand-ins."""
    with ControlPlane.run(tmp_path_factory.mktemp("control-plane") / "cp", nodes=NODES, eks=True) as running:
        yield running


@pytest.fixture(scope="session")
def crds_installed(control_plane: ControlPlane) -> ControlPlane:
    """The same control plane with CNIChain's CRDs established and its namespace made."""
    for folder in ("crds", "deploy/base/namespace.yaml"):
        control_plane.run_kubectl("apply", "--server-side", "-f", str(ROOT / folder))
    control_plane.run_kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=30s")
    return control_plane


@pytest.fixture(scope="session")
def kubectl(crds_installed: ControlPlane) -> Kubectl:
    """Run kubectl as administrator: `kubectl("get", "nodes", stdin="", check=True)`."""

    def run(*arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(crds_installed.kubectl), f"--kubeconfig={crds_installed.kubeconfig}", *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False
        )
        if check and done.returncode != 0:
            pytest.fail(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done

    return run


@pytest.fixture(scope="session")
def chart_dir() -> Path:
    """The folder of the official charts: CHART_DIR, else ../shared/charts."""
    folder = Path(os.environ.get("CHART_DIR") or ROOT.parent / "shared" / "charts")
    if not (folder / "cilium-1.17.3.tgz").is_file():
        reason = f"no official charts in {folder}; name their folder with CHART_DIR"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def calico_dir() -> Path:
    """The folder of Calico's manifests as upstream publishes them: CALICO_DIR, else ../shared/calico."""
    folder = Path(os.environ.get("CALICO_DIR") or ROOT.parent / "shared" / "calico")
    if not (folder / "v3.26.0" / "tigera-operator.yaml").is_file():
        reason = f"no manifests of Calico in {folder}; name their folder with CALICO_DIR"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
