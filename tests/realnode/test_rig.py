"""The rig itself: a real pod on a real node, by the reference plugins and by VPC CNI's own; and nothing left after."""

import ipaddress
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnichain.dev.controlplane import ControlPlane
from realnode import conflists, leftovers
from realnode.cgroups import remove_abandoned
from realnode.namespaces import wait_for
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode]

CLOSED_PORT = 9
CONNECT = "import socket, sys; print(socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))))"
REFUSED = 111  # ECONNREFUSED: the pod's own kernel has answered


def in_range(address: str, network: str) -> bool:
    """Whether an address belongs to a range."""
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def test_a_pod_gets_its_address_from_the_primary_alone(node: RealNode) -> None:
    address = node.pods.run("alone")
    assert in_range(address, conflists.PTP_RANGE), f"{address} is not of the primary's range"
    answer = node.namespaces.call("python3", "-c", CONNECT, address, str(CLOSED_PORT))
    assert int(answer) == REFUSED, f"the node does not reach the pod at {address}: error {answer}"


def test_a_pod_gets_its_address_from_the_real_vpc_cni_plugin(node: RealNode) -> None:
    """The real aws-cni, egress-cni and portmap with the conflist that aws-node writes; ipamd is a stand-in."""
    node.start_ipamd()
    try:
        node.publish(conflists.real_aws())
        node.wait_loaded("aws-cni", "egress-cni", "portmap")
        address = node.pods.run("by-aws-cni")
        assert in_range(address, conflists.AWS_RANGE), f"{address} is not one that ipamd gave out"
        route = node.namespaces.call("ip", "route", "get", address)
        assert " dev eni" in route, f"no route to the pod over a veth of VPC CNI: {route}"
        rules = node.namespaces.call("ip", "rule")
        assert f"from all to {address} lookup main" in rules, f"VPC CNI's rule is missing: {rules}"
        assert int(node.namespaces.call("python3", "-c", CONNECT, address, str(CLOSED_PORT))) == REFUSED
        node.pods.delete_all()
        assert address not in node.namespaces.call("ip", "rule"), "aws-cni did not take its rule away"
    finally:
        node.stop("ipamd")


def test_pods_go_on_while_the_runtime_is_killed(node: RealNode) -> None:
    node.pods.run("survivor")
    node.daemons.pop("containerd").stop(signal.SIGKILL)
    node.start_containerd()
    assert "RUNNING" in node.ctr("tasks", "list")
    assert node.pods.run("next")
    assert node.pods.get("survivor")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_node_leaves_nothing_behind(node_control_plane: ControlPlane, tmp_path: Path) -> None:
    """Another node beside the session's: started, used, stopped."""
    before = leftovers.snapshot()
    with RealNode.run(tmp_path / "node", node_control_plane) as second:
        second.pods.run("short-lived")
        assert leftovers.left_over(before, leftovers.snapshot()).keys() == {"links", "cgroups", "addresses"}
    assert leftovers.left_over(before, leftovers.snapshot()) == {}
    assert leftovers.processes_of(tmp_path) == set()
    assert [path.name for path in (tmp_path / "node").iterdir()] == ["log"]


ABANDON = """
import sys
from pathlib import Path
from cnichain.dev.controlplane import ControlPlane
from realnode.node import RealNode
folder = Path(sys.argv[1])
with ControlPlane.run(folder / "cp") as control_plane, RealNode.run(folder / "node", control_plane) as node:
    node.pods.run("orphan")
    print("up", flush=True)
    sys.stdin.read()
"""


def test_a_killed_test_process_leaves_nothing_running(node_machine: None, tmp_path: Path) -> None:
    """The kernel ends the node; the empty cgroups are removed by the next one."""
    before = leftovers.snapshot()
    support = Path(__file__).resolve().parents[1] / "support"
    with subprocess.Popen(
        [sys.executable, "-c", ABANDON, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(support)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n", "the node did not start"
        process.kill()
    wait_for(
        "processes of the killed node still run",
        lambda: "" if leftovers.processes_of(tmp_path) else "none",
        30.0,
    )
    wait_for(
        "the link of the killed node is still there",
        lambda: "" if leftovers.left_over(before, leftovers.snapshot()).keys() - {"cgroups"} else "gone",
        30.0,
    )
    remove_abandoned()
    assert leftovers.left_over(before, leftovers.snapshot()) == {}
    shutil.rmtree(tmp_path / "node")  # no mount is in it any more
