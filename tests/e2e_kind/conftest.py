"""One cluster of kind for the session, with the project's image, its chart, and the stand-in for the VPC CNI in it.

Not part of `make test`, which leaves this folder out by its path; `make e2e-kind` runs it. Where there is no Docker the
session ends with 2 and says what to install: nothing is skipped.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cnichain.interrupt import sigterm_interrupts
from kindrig import primary
from kindrig.cluster import KindCluster, build_image
from kindrig.requirements import ask_docker, why_unavailable
from kindrig.settings import NAMESPACE, Object, new_name
from packages import CHART, ROOT, helm

LOGS = Path(os.environ.get("KIND_LOGS") or ROOT / "build/kind-logs")
"""Where logs and objects are put when a test has failed."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of these tests."""
    config.addinivalue_line("markers", "e2e_kind: makes a cluster of kind (Docker, images from the network)")


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name as deploy/base has it."""
    documents = yaml.safe_load_all((ROOT / "deploy/base/agent.yaml").read_text(encoding="utf-8"))
    agent = next(one for one in documents if one["kind"] == "DaemonSet")
    return str(agent["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KindCluster]:
    """The cluster, with operator and agent installed by helm; no CNIChain yet. Deleted in any case."""
    if reason := why_unavailable(ask_docker()):
        pytest.exit(reason, returncode=2)
    folder = tmp_path_factory.mktemp("kind")
    with sigterm_interrupts():
        build_image(ROOT, image, primary.IMAGE)
        with KindCluster.run(new_name(), folder) as running:
            try:
                running.load(image, primary.IMAGE)
                running.apply(*primary.objects(), namespace())
                running.kubectl.run("wait", "node", "--all", "--for=condition=Ready", "--timeout=110s", timeout=120)
                install(running, folder)
                yield running
            except BaseException:  # Ctrl-C too: what has happened so far is of use
                collect(running)
                raise
            if request.session.testsfailed:
                collect(running)


def collect(cluster: KindCluster) -> None:
    """Keep what there is to see."""
    cluster.collect(LOGS)
    print(f"\nLogs and objects of the cluster are in {LOGS}.")


def namespace() -> Object:
    """Of the pods of the tests."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def install(cluster: KindCluster, home: Path) -> None:
    """The chart by helm; both pods are Ready then, though nothing is chained."""
    arguments = ("--namespace=cnichain-system", "--create-namespace", "--set=oneNode=true", "--wait", "--timeout=110s")
    done = helm(home, "install", "cnichain", str(CHART), *arguments, kubeconfig=cluster.kubeconfig)
    if done.returncode != 0:
        pods = cluster.kubectl.run("describe", "pods", "--namespace=cnichain-system")
        pytest.fail(f"helm did not install the chart: {done.stderr}\n{pods}")
