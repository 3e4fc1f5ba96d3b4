"""Nodes and reports, aggregated: little is kept, however many there are."""

import sys
from typing import Any

from cnichain.plan.nodes import ChainNodeRecord, chain_node_record, node_record
from cnichain.plan.seen import KINDS_LIMIT, nodes_seen, reports_seen
from cnichain.preflight.gathered import Named


def node(name: str, address: str, *, kernel: str = "6.1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels},
        "spec": {"podCIDRs": ["10.244.3.0/24"] if name == "kubeadm" else []},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}],
            "nodeInfo": {"kernelVersion": kernel, "osImage": "Amazon Linux 2023", "architecture": "arm64"},
        },
    }


def test_a_record_has_what_preflight_needs_and_shares_what_nodes_have_in_common() -> None:
    first, second = (node_record(node(name, "192.168.1.7", kernel="".join(["6.1", ".2"]))) for name in "ab")
    assert (first.kernel, first.os_image, first.architecture) == ("6.1.2", "Amazon Linux 2023", "arm64")
    assert first.address == "192.168.1.7"
    assert first.kernel is second.kernel, "5,000 nodes must not keep 5,000 copies of a kernel's name"
    bare = node_record({"metadata": {"name": "new", "uid": "u"}})
    assert (bare.kernel, bare.address, bare.pod_cidrs) == ("", "", ())


def test_nodes_are_counted_by_system_and_their_addresses_by_network() -> None:
    bodies = [
        node("b", "192.168.0.9"),
        node("a", "192.168.1.7"),
        node("old", "10.3.0.1", kernel="5.4"),
        node("kubeadm", "fd00:1:2:3::5"),
        node("silent", "192.168.0.10", kernel=""),
        node("win", "172.16.0.1", **{"kubernetes.io/os": "windows"}),
    ]
    seen = nodes_seen({body["metadata"]["name"]: node_record(body) for body in bodies}, {})
    assert (seen.in_scope, seen.total, seen.out_of_scope) == (5, 6, {"Windows": 1})
    assert [(item.kernel, item.count, item.example) for item in seen.systems] == [("5.4", 1, "old"), ("6.1", 3, "a")]
    # 192.168.0.0/24 and 192.168.1.0/24 adjoin.
    assert seen.networks == ("10.244.3.0/24", "10.3.0.0/24", "172.16.0.0/24", "192.168.0.0/23", "fd00:1:2:3::/64")


def test_five_thousand_nodes_make_a_small_picture() -> None:
    records = {
        f"n{number}": node_record(node(f"n{number}", f"10.{number // 200}.{number % 200}.4", kernel=f"6.{number}"))
        for number in range(5000)
    }
    seen = nodes_seen(records, {})
    assert seen.in_scope == 5000
    assert len(seen.systems) == KINDS_LIMIT
    assert len(seen.networks) <= KINDS_LIMIT
    assert sum(sys.getsizeof(item) for item in (*seen.systems, *seen.networks)) < 32_000


def report(name: str, **status: Any) -> ChainNodeRecord:
    return chain_node_record({"metadata": {"name": name}, "status": {"state": "InSync"} | status})


def test_reports_are_counted_by_what_nodes_have_in_common() -> None:
    chained = {"effectiveFile": "05-cilium.conflist", "sourceFile": "10-aws.conflist", "plugins": ["aws-cni"]}
    reports = [
        report("b", **chained),
        report("a", **chained | {"plugins": ["aws-cni", "istio-cni"]}),
        report("unchained", **chained | {"effectiveFile": "10-aws.conflist"}),
        report("shadowed", **chained | {"effectiveFile": "02-x.conflist", "dropIns": ["aws-cni/50-x.conf"]}),
        report("silent", state=""),
    ]
    seen = reports_seen({item.name: item for item in reports})
    assert seen.reporting == 4
    assert seen.effective_files == (Named("02-x.conflist", 1, "shadowed"),)
    assert seen.plugins == (Named("aws-cni", 4, "a"), Named("istio-cni", 1, "a"))
    assert seen.drop_ins == (Named("aws-cni/50-x.conf", 1, "shadowed"),)
