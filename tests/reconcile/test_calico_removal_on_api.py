"""A removal of Calico whose tigera-operator somebody has deleted too early, against a real API server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnichain.api.errors import ChainError
from cnichain.api.reasons import REASONS, Reason
from cnichain.apply.engine import Live
from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.plan.inventory import Entry
from cnichain.reconcile.calico import remove_installation
from cnichain.render.calico import INSTALLATION
from harness import Harness

pytestmark = pytest.mark.controlplane

NAMES = {"plural": "installations", "singular": "installation", "kind": "Installation", "listKind": "InstallationList"}
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "installations.operator.tigera.io"},
    "spec": {
        "group": "operator.tigera.io",
        "scope": "Cluster",
        "names": NAMES,
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": ANYTHING}}],
    },
}
HELD = {
    "apiVersion": "operator.tigera.io/v1",
    "kind": "Installation",
    "metadata": {"name": "default", "finalizers": ["operator.tigera.io/installation-controller"]},
}


@pytest.fixture
def going(crds_installed: ControlPlane, tmp_path: Path) -> Iterator[Harness]:
    """An Installation that is being deleted and waits for a tigera-operator; there is none."""
    world = Harness(crds_installed, tmp_path, Path())
    world.kubectl("apply", "--filename=-", stdin=json.dumps(CRD))
    world.kubectl("wait", "--for=condition=Established", "crd/installations.operator.tigera.io", "--timeout=20s")
    world.kubectl("apply", "--filename=-", stdin=json.dumps(HELD))
    world.kubectl("delete", "installation", "default", "--wait=false")
    yield world
    world.kubectl("patch", "installation", "default", "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    world.kubectl("delete", "crd", "installations.operator.tigera.io", "--timeout=30s")


def test_without_tigera_operator_it_says_that_it_cannot_end(going: Harness) -> None:
    live = Live({}, {INSTALLATION: Entry("calico", "", going.get("installation", "default")["metadata"]["uid"])})

    async def step() -> None:
        async with KubeClient(load_credentials(going.control_plane.kubeconfig)) as client:
            await remove_installation(client, live, await client.discover(), "default")

    with pytest.raises(ChainError, match="tigera-operator") as caught:
        asyncio.run(step())
    assert caught.value.reason is Reason.CALICO_REMOVAL_STUCK
    assert REASONS[Reason.CALICO_REMOVAL_STUCK].terminal, "nothing brings tigera-operator back by itself"
