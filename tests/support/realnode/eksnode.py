"""The real node as a node of EKS: VPC CNI's own plugins and file, and the stand-ins for what has no image here."""

from collections.abc import Iterator
from contextlib import contextmanager

from realnode import conflists
from realnode.cilium import StandInCilium
from realnode.node import RealNode

LABEL = "cnichain.dev/eks"
"""On the real node, for `spec.nodes.selector`: the node of kwok's has no agent."""
PRIMARY = ("aws-cni", "egress-cni", "portmap")
CHAIN = (*PRIMARY, "cilium-cni")


@contextmanager
def eks_node(node: RealNode) -> Iterator[StandInCilium]:
    """aws-cni is the real one, its ipamd a stand-in; DaemonSet aws-node is there, and runs nowhere; for Cilium's own
    parts see cilium.py."""
    kubectl = node.control_plane.run_kubectl
    # Of nodes that other tests have stopped: a DaemonSet would wait for its pods there.
    kubectl("delete", "nodes", f"--field-selector=metadata.name!={node.name}", "--timeout=20s")
    node.start_ipamd()
    node.publish(conflists.real_aws())
    node.wait_loaded(*PRIMARY)
    kubectl("label", "node", node.name, f"{LABEL}=true")
    try:
        with StandInCilium.run(node) as cilium:
            yield cilium
    finally:
        kubectl("label", "node", node.name, f"{LABEL}-")
