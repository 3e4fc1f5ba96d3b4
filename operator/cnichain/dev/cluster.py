"""An EKS-like cluster on the local control plane: fake nodes over three zones, aws-node, kube-proxy, node folders."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from cnichain.dev import manifests
from cnichain.dev.errors import DevError
from cnichain.dev.kubectl import Kubectl
from cnichain.dev.nodefolder import NodeFolder, make_node_folder

FIELD_MANAGER = "cnichain-dev"
_APPLY_TIMEOUT = 120.0
_WAIT_TIMEOUT = 120
_READY = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'


def populate(
    kubectl: Kubectl, nodes_dir: Path, nodes: int, *, eks: bool, pools: tuple[str, ...] = manifests.POOLS
) -> None:
    """Make `nodes` fake nodes and wait until they are Ready; with `eks` also the add-ons and a folder each."""
    if not 0 <= nodes <= manifests.NODES_MAX:
        raise DevError(f"{nodes} is not a number of nodes from 0 to {manifests.NODES_MAX}.")
    objects = [manifests.node(index, pools=pools) for index in range(nodes)]
    if eks:
        make_node_folders(nodes_dir, nodes)
        objects += [*manifests.aws_node(), *manifests.kube_proxy()]
    apply(kubectl, objects)
    _wait_nodes_ready(kubectl, nodes)
    if eks:
        for name in ("aws-node", "kube-proxy"):
            kubectl.run(
                "rollout", "status", f"daemonset/{name}", "--namespace=kube-system", f"--timeout={_WAIT_TIMEOUT}s",
                timeout=_WAIT_TIMEOUT + 10,
            )  # fmt: skip


def _wait_nodes_ready(kubectl: Kubectl, nodes: int) -> None:
    """One list per look: `kubectl wait` opens two watches per node, one after the other, 25 s for 200 nodes."""
    deadline = time.monotonic() + _WAIT_TIMEOUT
    while (ready := kubectl.run("get", "nodes", f"--output=jsonpath={_READY}").split().count("True")) < nodes:
        if time.monotonic() > deadline:
            raise DevError(
                f"{ready} of {nodes} fake nodes were Ready after {_WAIT_TIMEOUT} s. kwok plays their kubelet: see "
                f"{kubectl.kubeconfig.parent / 'logs' / 'kwok.log'}."
            )
        time.sleep(0.1)  # between two looks


def make_node_folders(nodes_dir: Path, nodes: int) -> list[NodeFolder]:
    """A folder per node under `nodes_dir`, named as the node, as VPC CNI 1.18 leaves it."""
    names = (manifests.node_name(index) for index in range(nodes))
    return [make_node_folder(nodes_dir, name, egress_mtu="9001") for name in names]


def apply(kubectl: Kubectl, objects: Iterable[manifests.Object]) -> None:
    """Server-side apply under a field manager of our own."""
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl.run(
        "apply", "--server-side", f"--field-manager={FIELD_MANAGER}", "--filename=-",
        stdin=document, timeout=_APPLY_TIMEOUT,
    )  # fmt: skip
