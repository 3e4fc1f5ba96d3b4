"""Which nodes the chain is for, and how many of them have it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cnichain.api.chain import parse_spec
from cnichain.plan.nodes import (
    ChainNodeRecord,
    NodeRecord,
    chain_node,
    chain_node_record,
    count,
    in_scope,
    is_current,
    is_of_earlier_node,
    node_record,
    node_spec,
    out_of_scope,
    untaint_patch,
)

SPEC = parse_spec({"cilium": {"version": "1.17.3"}})


@pytest.mark.parametrize(
    ("labels", "selector", "expected"),
    [
        ({}, {}, True),
        ({"kubernetes.io/os": "linux"}, {}, True),
        ({"kubernetes.io/os": "windows"}, {}, False),
        ({"eks.amazonaws.com/compute-type": "fargate"}, {}, False),
        ({"eks.amazonaws.com/compute-type": "auto"}, {}, False),
        ({"eks.amazonaws.com/compute-type": "hybrid"}, {}, False),
        ({"eks.amazonaws.com/compute-type": "ec2"}, {}, True),
        ({"pool": "a"}, {"pool": "a"}, True),
        ({"pool": "b"}, {"pool": "a"}, False),
        ({}, {"pool": "a"}, False),
    ],
)
def test_scope(labels: dict[str, str], selector: dict[str, str], expected: bool) -> None:
    assert in_scope(NodeRecord("n", "u", labels), selector) is expected


def test_nodes_out_of_scope_are_counted_by_what_keeps_them_out() -> None:
    compute = "eks.amazonaws.com/compute-type"
    labels = [{compute: "fargate"}, {compute: "fargate"}, {compute: "auto"}, {compute: "hybrid"}, {"pool": "a"}, {}]
    labels.append({"kubernetes.io/os": "windows", compute: "hybrid"})
    nodes = {str(number): NodeRecord(str(number), "u", item) for number, item in enumerate(labels)}
    assert out_of_scope(nodes, {"pool": "a"}) == {
        "Auto Mode": 1,
        "Fargate": 2,
        "Windows": 1,
        "hybrid": 1,
        "not selected": 1,
    }


def report(name: str, **changes: object) -> ChainNodeRecord:
    status = {
        "state": "InSync",
        "reason": "ChainVerified",
        "observedGeneration": 3,
        "conditions": [{"type": "Ready", "status": "True"}],
    } | changes
    return chain_node_record(
        {
            "metadata": {"name": name, "generation": 3, "ownerReferences": [{"kind": "Node", "uid": f"uid-{name}"}]},
            "spec": {},
            "status": status,
        }
    )


def test_only_a_verified_report_about_this_spec_and_this_node_counts() -> None:
    nodes = {name: NodeRecord(name, f"uid-{name}", {}) for name in ("good", "old", "bad", "silent", "reborn", "absent")}
    reports = {
        "good": report("good"),
        "old": report("old", observedGeneration=2),
        "bad": report("bad", state="Shadowed", reason="ConflistShadowed", conditions=[]),
        "silent": report("silent", state="", conditions=[]),
        "reborn": ChainNodeRecord(
            "reborn", "uid-of-an-older-node", {}, 3, 3, "InSync", "ChainVerified", "", ready=True
        ),
    }
    counts = count(nodes, {"Fargate": 1, "Windows": 1}, reports)
    assert counts.out_of_scope_by_kind == {"Fargate": 1, "Windows": 1}
    assert (counts.verified, counts.in_scope, counts.out_of_scope, counts.summary) == (1, 6, 2, "1/6")
    assert counts.not_verified == [
        "absent: runs the primary alone until its wave is open",
        "bad: Shadowed: ConflistShadowed",
        "old: InSync: ChainVerified",
        "reborn: runs the primary alone until its wave is open",
        "silent: no report from its agent yet",
    ]


def test_a_node_object_is_written_only_when_it_differs() -> None:
    node = NodeRecord("a", "uid-a", {})
    body = chain_node(node, node_spec(SPEC, {}), "default")
    record = chain_node_record({**body, "metadata": {**body["metadata"], "generation": 1}})
    assert is_current(record, body)
    assert not is_current(None, body)
    reborn = chain_node(NodeRecord("a", "uid-of-a-new-node", {}), node_spec(SPEC, {}), "default")
    assert not is_current(record, reborn)
    assert is_of_earlier_node(record, reborn), "taken over, its old status would count for the new node"
    assert not is_of_earlier_node(record, body)
    assert not is_of_earlier_node(None, reborn)
    assert not is_of_earlier_node(replace(record, node_uid=""), reborn), "nobody else would ever remove it"
    assert not is_current(record, chain_node(node, node_spec(SPEC, {"debug": {"enabled": True}}), "default"))


TAINT = {"key": "cnichain.io/chain-not-ready", "effect": "NoSchedule"}
OTHER = {"key": "someone.else/taint", "effect": "NoExecute", "value": "x"}


@pytest.mark.parametrize("others", [[], [OTHER]])
def test_the_startup_taint_alone_is_taken_off_and_only_if_the_taints_are_as_seen(others: list[dict[str, str]]) -> None:
    patch = untaint_patch(NodeRecord("a", "u", {}, [*others, TAINT]))
    assert patch is not None
    test, replace = patch
    assert test == {"op": "test", "path": "/spec/taints", "value": [*others, TAINT]}
    assert replace == {"op": "replace", "path": "/spec/taints", "value": others}


def test_a_node_without_it_is_not_patched() -> None:
    assert untaint_patch(NodeRecord("a", "u", {}, [OTHER])) is None
    assert untaint_patch(NodeRecord("a", "u", {})) is None


def test_the_entry_follows_the_two_chart_values_that_cilium_writes_into_it() -> None:
    entry = node_spec(SPEC, {"debug": {"enabled": True}, "cni": {"logFile": "/var/log/cni.log"}}).cilium
    assert (entry.enable_debug, entry.log_file) == (True, "/var/log/cni.log")
    assert node_spec(SPEC, {}).cilium.log_file == "/var/run/cilium/cilium-cni.log"


def test_what_many_nodes_have_in_common_is_kept_once() -> None:
    """With 5,000 nodes this is most of what the operator keeps in memory."""

    def raw(name: str) -> dict[str, Any]:
        spec = {"primary": "aws-vpc-cni", "cilium": {"enableDebug": False}}
        status = {"state": "InSync", "message": "05-cilium.conflist is derived from 10-aws.conflist."}
        return {"metadata": {"name": name, "generation": 1}, "spec": spec, "status": status}

    first, second = (chain_node_record(json.loads(json.dumps(raw(name)))) for name in ("a", "b"))
    assert first.spec is second.spec
    assert first.message is second.message
    labels = {"topology.kubernetes.io/zone": "us-west-2a"}
    nodes = [
        node_record(json.loads(json.dumps({"metadata": {"name": name, "uid": name, "labels": labels}})))
        for name in ("a", "b")
    ]
    assert all(one is other for one, other in zip(nodes[0].labels.values(), nodes[1].labels.values(), strict=True))
    assert nodes[0].labels == labels
