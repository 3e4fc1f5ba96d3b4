"""The real agent on a real node: the list that it derives is the one that containerd uses for real pods."""

from ipaddress import ip_address, ip_network

import pytest

from cnichain.api.chainnode import Desired, NodeSpec
from realnode import conflists
from realnode.chainnode import ChainNode
from realnode.layout import CHAINED_FILE, PRIMARY_FILE
from realnode.namespaces import wait_for
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode]

CHAIN = ("ptp", "portmap", "cilium-cni")


def test_a_closed_chain_refuses_new_pods_and_an_unchained_node_lets_them_in(
    node: RealNode, chain_node: ChainNode
) -> None:
    """The real cilium-cni without a cilium-agent behind it: the state of a node whose Cilium is down."""
    before = node.pods.run("before")
    node.install_plugin("cilium-cni")
    chain_node.give(NodeSpec())
    with node.agent():
        node.wait_loaded(*CHAIN)
        status = chain_node.wait_state("InSync")
        assert status["effectiveFile"] == CHAINED_FILE
        assert status["sourceFile"] == PRIMARY_FILE
        loaded = node.runtime_status()
        assert (loaded.network, loaded.network_ready) == ("aws-cni", True)
        assert loaded.source.encode() == (node.layout.conf_dir / CHAINED_FILE).read_bytes()

        node.pods.start("refused")
        why = node.pods.wait_refused("refused")
        assert "cilium" in why, f"the refusal does not name cilium: {why}"
        assert node.pods.waiting("refused") == "ContainerCreating"
        running = node.pods.get("before")["status"]
        assert (running["phase"], running["podIP"]) == ("Running", before), "a pod from before was touched"

        chain_node.give(NodeSpec(desired=Desired.UNCHAINED))
        node.wait_loaded("ptp", "portmap")
        chain_node.wait_state("Unchained")
        assert not (node.layout.conf_dir / CHAINED_FILE).exists()
        assert node.pods.run("after")
        assert node.pods.wait_running("refused"), "kubelet did not try the refused pod again"


def test_real_pods_go_through_the_list_that_the_agent_published(node: RealNode, chain_node: ChainNode) -> None:
    """After the first list, a rewrite of the primary's file, a deletion of the chained one, and a file that shadows it.

    cilium-cni is the real plugin; the cilium-agent that it asks is a stand-in, whose log names each endpoint.
    """
    node.install_plugin("cilium-cni")
    node.start_cilium_agent()
    chain_node.give(NodeSpec())
    with node.agent():
        assert node.wait_loaded(*CHAIN).mtu == 1500
        _pod_through_chain(node, "first")

        node.publish(conflists.stand_in(mtu=1400, tail=(conflists.BANDWIDTH,)))
        assert node.wait_loaded("ptp", "portmap", "bandwidth", "cilium-cni").mtu == 1400
        _pod_through_chain(node, "rewritten")

        node.unpublish(CHAINED_FILE)
        _wait_repaired(node)
        node.wait_loaded("ptp", "portmap", "bandwidth", "cilium-cni")
        _pod_through_chain(node, "deleted")

        node.publish(conflists.stand_in(mtu=1300), "00-other.conflist")
        wait_for("the file that shadows the chain stays", lambda: _first(node), 15.0)
        assert node.wait_loaded("ptp", "portmap", "bandwidth", "cilium-cni").mtu == 1400
        _pod_through_chain(node, "shadowed")
        assert chain_node.wait_state("InSync")["setAside"] == ["00-other.conflist"]


def test_the_real_vpc_cni_and_the_real_cilium_plugin_in_one_chain(node: RealNode, chain_node: ChainNode) -> None:
    """All four plugins of a node of EKS, in the list that the agent makes of the one that aws-node writes."""
    node.start_ipamd()
    node.publish(conflists.real_aws())
    node.install_plugin("cilium-cni")
    node.start_cilium_agent()
    chain_node.give(NodeSpec())
    with node.agent():
        node.wait_loaded("aws-cni", "egress-cni", "portmap", "cilium-cni")
        address, link = _pod_through_chain(node, "eks")
        assert ip_address(address) in ip_network(conflists.AWS_RANGE)
        assert link.startswith("eni"), f"cilium took {link} for the pod's link"


def _pod_through_chain(node: RealNode, name: str) -> tuple[str, str]:
    """Run a pod; its address and link as cilium-cni has told them to Cilium."""
    address = node.pods.run(name)
    lines = (node.layout.log_dir / "cilium-agent.log").read_text().splitlines()
    told = [line.split()[2:] for line in lines if line.startswith(f"endpoint default/{name} ")]
    assert told, f"Cilium was not told of pod {name}: it did not go through the chain"
    assert told[0][0] == address
    return address, told[0][1]


def _first(node: RealNode) -> str:
    """The chained conflist's name once it is the first file again."""
    first = min(path.name for path in node.layout.conf_dir.glob("*.conf*"))
    return first if first == CHAINED_FILE else ""


def _wait_repaired(node: RealNode) -> None:
    path = node.layout.conf_dir / CHAINED_FILE
    wait_for(f"{CHAINED_FILE} was not written again", lambda: "yes" if path.exists() else "", 15.0)
