"""What a deletion asks for, in which order objects go, and which nodes are waited for."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.chainnode import Desired, NodeSpec, to_wire
from cnichain.api.objects import ObjectKey
from cnichain.plan.inventory import KEPT_KINDS, Entry, removal_rank
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord
from cnichain.plan.removal import batches, concerned, kept, may_get_cilium, node_wish, nodes_left, wishes_of
from cnichain.render.stages import Stage

KINDS = ["Deployment", "DaemonSet", "ConfigMap", "Secret", "ClusterRole", "ServiceAccount", "Namespace"]
KINDS += ["CustomResourceDefinition"]
KEYS = st.builds(ObjectKey, st.just("v1"), st.sampled_from(KINDS), st.just("ns"), st.sampled_from("abcdef"))
STAGES = st.sampled_from([stage.value for stage in Stage] + ["of-a-newer-release"])


def chain(spec: Any = None, skip: str | None = None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"cnichain.io/skip-node": skip} if skip is not None else None}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "uninstall"),
    [
        ({"deletionPolicy": "Uninstall"}, True),
        ({"deletionPolicy": "Uninstall", "cilium": "nonsense", "nodes": 7, "rollout": []}, True),
        ({"deletionPolicy": "Retain"}, False),
        ({"deletionPolicy": "uninstall"}, False),
        ({}, False),
        (None, False),
        ("nonsense", False),
    ],
)
def test_only_the_clear_word_uninstalls_and_no_spec_is_too_broken_to_delete(spec: object, uninstall: bool) -> None:
    assert wishes_of(chain(spec)).uninstall is uninstall


def test_wishes() -> None:
    spec = {"nodes": {"selector": {"pool": "a"}}, "suspend": True, "rollout": {"progressDeadline": "90s"}}
    wishes = wishes_of(chain(spec, " a, b,,"))
    assert wishes.selector == {"pool": "a"}
    assert wishes.suspend
    assert wishes.deadline == timedelta(seconds=90)
    assert wishes.skip == {"a", "b"}
    assert wishes_of(chain({"rollout": {"progressDeadline": "soon"}})).deadline == timedelta(minutes=10)


@given(st.dictionaries(KEYS, STAGES))
def test_objects_go_in_the_reverse_order_of_stages_workloads_first_and_rbac_last(stages: dict[ObjectKey, str]) -> None:
    inventory = {key: Entry(stage, "") for key, stage in stages.items()}
    found = batches(inventory)
    keys = [key for batch in found for key in batch.keys]
    assert sorted(keys) == sorted(key for key in inventory if key.kind not in KEPT_KINDS), "each object once"
    assert sorted(keys + kept(inventory)) == sorted(inventory), "what does not go stays, and nothing else does"
    order = ["of-a-newer-release", *(stage.value for stage in reversed(Stage))]
    ranks = [(order.index(batch.stage), removal_rank(key.kind)) for batch in found for key in batch.keys]
    assert ranks == sorted(ranks)
    assert all(inventory[key].stage == batch.stage for batch in found for key in batch.keys)


def node(name: str, **labels: str) -> NodeRecord:
    return NodeRecord(name, f"uid-{name}", labels)


def report(name: str, **changes: Any) -> ChainNodeRecord:
    fields: dict[str, Any] = {
        "name": name,
        "node_uid": f"uid-{name}",
        "spec": to_wire(NodeSpec(desired=Desired.UNCHAINED)),
        "generation": 2,
        "observed_generation": 2,
        "state": "Unchained",
        "reason": "NodeUnchained",
        "message": "",
        "ready": True,
    }
    return ChainNodeRecord(**(fields | changes))


def test_a_node_is_done_only_when_its_agent_says_so_about_this_very_wish() -> None:
    reports = {
        "done": report("done"),
        "silent": report("silent", state=""),
        "old": report("old", observed_generation=1),
        "chained": report("chained", spec=to_wire(NodeSpec()), state="InSync"),
        "stuck": report("stuck", state="Uninstalling", reason="PrimaryConflistMissing", ready=False),
        "reborn": report("reborn", node_uid="another"),
        "given-up": report("given-up", state=""),
    }
    nodes = {name: node(name) for name in [*reports, "new"]}
    left = nodes_left(nodes, reports, {"given-up", "typo"})
    assert left.done == ("done",)
    assert set(left.waiting) == {"silent", "old", "chained", "stuck", "reborn", "new"}
    assert left.waiting["stuck"] == "Uninstalling: PrimaryConflistMissing"
    assert left.skipped == ("given-up",)
    assert left.unknown == ("typo",)


def test_nodes_that_are_gone_drop_out_and_nodes_that_may_still_get_cilium_count() -> None:
    nodes = {"a": node("a"), "joins": node("joins"), "windows": node("windows", **{"kubernetes.io/os": "windows"})}
    reports = {"a": report("a"), "gone": report("gone")}
    assert set(concerned(nodes, reports, {}, joining=False)) == {"a"}
    assert set(concerned(nodes, reports, {}, joining=True)) == {"a", "joins"}
    assert may_get_cilium({ObjectKey("apps/v1", "DaemonSet", "kube-system", "cilium"): Entry("agents", "")})
    assert not may_get_cilium({ObjectKey("v1", "ConfigMap", "kube-system", "cilium-config"): Entry("config", "")})


def test_a_node_that_joins_late_is_told_what_the_others_were_told() -> None:
    reports = {"a": report("a", spec=to_wire(NodeSpec(conflist_file="03-mine.conflist")))}
    assert node_wish(None, reports, frozen=False) == NodeSpec(
        desired=Desired.UNCHAINED, conflist_file="03-mine.conflist"
    )
    frozen = node_wish(report("b", spec=to_wire(NodeSpec())), {}, frozen=True)
    assert (frozen.desired, frozen.frozen) == (Desired.CHAINED, True), "frozen: as far as it was told, and no further"
    newer = node_wish(report("b", spec={"writer": "SomethingNew"}), {}, frozen=False)
    assert newer.desired is Desired.UNCHAINED, "a spec of a newer release is no way to keep the chain"
