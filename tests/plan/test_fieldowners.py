"""Fields change hands as a whole: none is lost, none is made up, and what controllers and the status own stays."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.plan.fieldowners import hand_over, is_handed_over, is_untracked, managers, union

Tree = dict[str, Any]
NAMES = st.sampled_from(["f:data", "f:spec", 'k:{"name":"a"}', "f:x"])
BELOW: st.SearchStrategy[Tree] = st.recursive(
    st.just({}), lambda inner: st.dictionaries(NAMES | st.just("."), inner, max_size=3), max_leaves=8
)
FIELDS = st.dictionaries(NAMES, BELOW.map(lambda tree: {key: ({} if key == "." else one) for key, one in tree.items()}))


def owned(tree: Tree, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Paths of the fields that a set owns, by the rule of the API: a leaf, or a branch with a dot in it."""
    found = set()
    for key, value in tree.items():
        if key == "." or not value:
            found.add(path if key == "." else (*path, key))
        if key != ".":
            found |= owned(value, (*path, key))
    return found


def entry(manager: str, operation: str = "Update", fields: Tree | None = None, **more: str) -> Tree:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields or {}, **more}


def live(*entries: Tree) -> Tree:
    return {"metadata": {"resourceVersion": "7", "managedFields": list(entries)}}


@given(one=FIELDS, other=FIELDS)
def test_a_union_owns_what_either_owns(one: Tree, other: Tree) -> None:
    assert owned(union(one, other)) == owned(one) | owned(other)


@given(one=FIELDS, other=FIELDS)
def test_a_union_leaves_its_parts_alone(one: Tree, other: Tree) -> None:
    before = (repr(one), repr(other))
    union(one, other)
    assert (repr(one), repr(other)) == before


def test_all_of_an_installers_fields_become_ours_in_one_entry() -> None:
    item = live(
        entry("helm", fields={"f:data": {".": {}, "f:old": {}}}, time="2026-01-01T00:00:00Z"),
        entry("kubectl-edit", fields={"f:data": {"f:edited": {}}}, time="2026-02-01T00:00:00Z"),
        entry("kubectl", "Apply", fields={"f:metadata": {"f:labels": {"f:a": {}}}}),
    )
    value, version = hand_over(item, "v1")
    assert value == {
        "op": "replace",
        "path": "/metadata/managedFields",
        "value": [
            {
                "manager": "cnichain",
                "operation": "Apply",
                "apiVersion": "v1",
                "time": "2026-02-01T00:00:00Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:data": {".": {}, "f:old": {}, "f:edited": {}},
                    "f:metadata": {"f:labels": {"f:a": {}}},
                },
            }
        ],
    }
    assert version == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}, (
        "a changed object is refused"
    )


@pytest.mark.parametrize(
    "stays",
    [
        entry("kubectl", subresource="status"),
        entry("kube-controller-manager"),
        entry("kube-controller-manager", subresource="scale"),
        entry("kubelet"),
        entry("cilium-operator-aws"),
        entry("vpa-updater"),
    ],
)
def test_what_controllers_own_and_the_status_stay_theirs(stays: Tree) -> None:
    patch = hand_over(live(stays, entry("helm", fields={"f:data": {}})), "v1")
    assert stays in patch[0]["value"]
    assert [item["manager"] for item in patch[0]["value"]].count("helm") == 0


def test_what_a_person_scaled_by_hand_moves_as_well() -> None:
    scaled = entry("kubectl", fields={"f:spec": {"f:replicas": {}}}, subresource="scale")
    assert hand_over(live(scaled), "apps/v1")[0]["value"][0]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}


def test_an_object_is_handed_over_once_ours_is_the_only_installer() -> None:
    ours = entry("cnichain", "Apply")
    assert is_handed_over(live(ours, entry("kube-controller-manager", subresource="status")))
    assert not is_handed_over(live(ours, entry("helm")))
    assert not is_handed_over(live(entry("cnichain", "Update")))
    assert not is_handed_over(live())


def test_handing_over_twice_changes_nothing_more() -> None:
    first = hand_over(live(entry("helm", fields={"f:data": {"f:a": {}}})), "v1")[0]["value"]
    assert hand_over(live(*first), "v1")[0]["value"] == first


def test_an_object_whose_owners_were_emptied_is_seen() -> None:
    assert is_untracked({"metadata": {}})
    assert is_untracked(live(entry("kube-controller-manager", subresource="status")))
    assert not is_untracked(live(entry("helm")))
    assert managers(live(entry("b", time="2"), entry("a", time="1"))) == ["a", "b"]
