"""Owned fields: what differs, what was lost and to whom, and what a plan makes of it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.api.chainnode import Desired, NodeSpec, OnCiliumDown, to_wire
from cnichain.api.objects import ObjectKey
from cnichain.plan.fields import ABSENT, differences, extract, leaves, lost, managers_of, owned_tree
from cnichain.plan.forecast import EXCERPT, excerpts, item_of_change, node_change
from cnichain.plan.tampering import tampering

KEY = ObjectKey("apps/v1", "DaemonSet", "kube-system", "cilium")
CONTAINER = 'k:{"name":"agent"}'
PORT = 'k:{"containerPort":80,"protocol":"TCP"}'
AGENT_TREE: dict[str, Any] = {".": {}, "f:name": {}, "f:image": {}, "f:ports": {PORT: {".": {}, "f:containerPort": {}}}}
TREE: dict[str, Any] = {"f:data": {"f:debug": {}, "f:a.key": {}}, "f:spec": {"f:containers": {CONTAINER: AGENT_TREE}}}


def live(tree: dict[str, Any], *others: dict[str, Any], **parts: Any) -> dict[str, Any]:
    ours = {"manager": "cnichain", "operation": "Apply", "fieldsV1": tree}
    return {"metadata": {"uid": "one", "managedFields": [ours, *others]}, **parts}


def agent(image: str, **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "sidecar", "image": "theirs"}, {"name": "agent", "image": image, **more}]}


def test_only_our_own_fields_are_compared() -> None:
    before = live(TREE, data={"debug": "false", "theirs": "1"}, spec=agent("i:1", tty=False))
    after = live(TREE, data={"debug": "true", "theirs": "2"}, spec=agent("i:2", tty=True))
    found = [(item.path, item.before, item.after) for item in differences(before, after)]
    assert found == [("data.debug", "false", "true"), ("spec.containers[agent].image", "i:1", "i:2")]


def test_a_field_that_only_one_state_has_is_absent_in_the_other() -> None:
    before = live({"f:data": {"f:old": {}}}, data={"old": "1"})
    after = live({"f:data": {"f:a.key": {}}}, data={"a.key": "2"})
    found = {item.path: (item.before, item.after) for item in differences(before, after)}
    assert found == {"data.old": ("1", ABSENT), 'data["a.key"]': (ABSENT, "2")}


def test_a_new_list_entry_is_one_difference_and_not_one_per_field() -> None:
    found = differences(live({}, spec={"containers": []}), live(TREE, spec=agent("i:1")))
    assert [item.path for item in found] == ["spec.containers[agent]"]


def test_what_was_lost_names_the_field_and_its_new_manager() -> None:
    body = {"metadata": {"name": "x"}, "data": {"debug": "false", "mtu": "1500"}, "spec": agent("i:1")}
    taker = {"manager": "flipper", "operation": "Update", "time": "2", "fieldsV1": {"f:data": {"f:mtu": {}}}}
    status = {
        "manager": "kubelet",
        "operation": "Update",
        "subresource": "status",
        "fieldsV1": {"f:data": {"f:mtu": {}}},
    }
    there = live(TREE, taker, status)
    assert lost(body, owned_tree(there)) == ["data.mtu", "spec.containers[sidecar]"]
    assert managers_of("data.mtu", there) == ["flipper"]
    only = {"metadata": {"name": "x"}, "data": {"debug": "false", "mtu": "1500"}}
    assert tampering(KEY, only, there, "?") == f"{KEY}: data.mtu by flipper"


def test_keys_that_the_server_defaults_are_no_loss() -> None:
    ports = [{"containerPort": 80}]
    body = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "agent", "image": "i:1", "ports": ports}]}}
    assert [path for path in lost(body, TREE) if "ports" in path] == []


def test_an_object_that_is_gone_is_told_as_such() -> None:
    assert tampering(KEY, {"metadata": {"name": "x"}}, None, "it was deleted") == "it was deleted"


def test_extract_gives_back_what_was_applied() -> None:
    value = {
        "data": {"debug": "true", "theirs": "1"},
        "spec": agent("i:1", ports=[{"containerPort": 80, "protocol": "TCP"}]),
    }
    applied = {"name": "agent", "image": "i:1", "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    assert extract(value, TREE) == {"data": {"debug": "true"}, "spec": {"containers": [applied]}}


def test_leaves_are_written_as_people_write_them() -> None:
    assert 'data["a.key"]' in list(leaves(TREE))
    assert "spec.containers[agent].ports[80/TCP].containerPort" in list(leaves(TREE))


def test_values_of_a_secret_are_not_shown() -> None:
    secret = ObjectKey("v1", "Secret", "kube-system", "s")
    tree: dict[str, Any] = {"f:data": {"f:tls.key": {}}, "f:type": {}}
    item = item_of_change(
        secret, live(tree, data={"tls.key": "b25l"}, type="a"), live(tree, data={"tls.key": "dHdv"}, type="b")
    )
    assert [(one.path, one.before, one.after) for one in item.fields] == [
        ('data["tls.key"]', None, None),
        ("type", "a", "b"),
    ]


@settings(deadline=None)
@given(st.text(max_size=400), st.text(max_size=50), st.text(max_size=50))
def test_excerpts_are_short_and_show_where_two_values_differ(common: str, one: str, other: str) -> None:
    before, after = excerpts(common + one, common + other)
    assert before is not None
    assert after is not None
    assert max(len(before), len(after)) <= EXCERPT + 2
    assert (before == after) == (one == other), "two values that differ must not look the same"


def test_nodes_change_only_by_what_the_plan_is_about() -> None:
    old, new = NodeSpec(), NodeSpec(on_cilium_down=OnCiliumDown.OPEN)
    assert node_change(old, [to_wire(old), to_wire(NodeSpec(desired=Desired.UNCHAINED, frozen=True))]) is None
    change = node_change(new, [to_wire(old), to_wire(old), to_wire(new)])
    assert change is not None
    assert change.nodes == 2
    assert [(one.path, one.before, one.after) for one in change.fields] == [("spec.onCiliumDown", "Closed", "Open")]
