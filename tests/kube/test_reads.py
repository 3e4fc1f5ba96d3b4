"""The reads of the tests' harness are what kubectl shows."""

import json
from typing import Any

import pytest

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from reads import Reads, understood

pytestmark = pytest.mark.controlplane

KUBE_SYSTEM = "--namespace=kube-system"


def by_kubectl(control_plane: ControlPlane, arguments: tuple[str, ...]) -> Any:
    return json.loads(control_plane.run_kubectl("get", *arguments, "--output=json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("namespaces",),
        ("ns", "kube-system"),
        ("services", "-A"),
        ("svc", "kubernetes"),
        ("daemonset", "aws-node", KUBE_SYSTEM, "--show-managed-fields"),
        ("ds", "-n", "kube-system", "--selector=k8s-app=aws-node"),
        ("clusterroles", "--selector=kubernetes.io/bootstrapping=rbac-defaults"),
        ("serviceaccounts", "--all-namespaces", "--field-selector=metadata.name=default"),
        ("crd", "cnichains.cnichain.io"),
        ("cnichainnodes.cnichain.io",),
    ],
    ids=" ".join,
)
def test_it_is_what_kubectl_shows(crds_installed: ControlPlane, arguments: tuple[str, ...]) -> None:
    assert understood(arguments) is not None, "it was left to kubectl"
    shown, read = by_kubectl(crds_installed, arguments), Reads(crds_installed).get(*arguments)
    for one in (shown, read):
        # The controllers write status and versions meanwhile.
        for item in one.get("items", [one]):
            item.pop("status", None)
            item["metadata"].pop("resourceVersion", None)
            item["metadata"].pop("managedFields", None)
    assert read.get("items", read) == shown.get("items", shown)
    assert "managedFields" not in json.dumps(Reads(crds_installed).get("namespaces"))
    assert "managedFields" in json.dumps(Reads(crds_installed).get("namespaces", "--show-managed-fields"))


@pytest.mark.parametrize("arguments", [("nodes", "--watch"), ("pods,services",), ("pod/a",), ("pods", "a", "-A"), ()])
def test_what_only_kubectl_knows_is_left_to_it(arguments: tuple[str, ...]) -> None:
    assert understood(arguments) is None


def test_what_is_not_there_is_told_in_kubectls_words(crds_installed: ControlPlane) -> None:
    reads = Reads(crds_installed)
    assert not reads.exists("namespace", "nobody")
    assert reads.exists("namespace", "kube-system")
    assert reads.exists("pods", KUBE_SYSTEM)
    assert not reads.exists("pods", "--namespace=kube-node-lease")
    with pytest.raises(DevError, match='namespaces "nobody" not found'):
        reads.get("namespace", "nobody")
    with pytest.raises(DevError, match="doesn't have a resource type"):
        reads.exists("nonsense", "nobody")
