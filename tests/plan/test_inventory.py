"""The inventory sees every drift of a field that we own, and nothing else, without a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.objects import ObjectKey
from cnichain.plan.inventory import (
    Entry,
    applied,
    digest,
    drift,
    dump,
    is_tampering,
    leftovers,
    load,
)

Managed = dict[str, object]
KEY = ObjectKey("v1", "ConfigMap", "kube-system", "cilium-config")
OURS: Managed = {"manager": "cnichain", "operation": "Apply", "fieldsV1": {"f:data": {"f:debug": {}, "f:mtu": {}}}}


def live(*managers: dict[str, object], uid: str = "one") -> dict[str, object]:
    return {"metadata": {"uid": uid, "managedFields": list(managers)}}


ENTRY = applied(Entry("config", "sha256:m"), live(OURS), live(OURS))


def test_an_untouched_object_is_no_drift() -> None:
    assert drift(KEY, ENTRY, "sha256:m", live(OURS)) == ""


def test_a_foreign_field_beside_ours_is_no_drift() -> None:
    other: Managed = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:theirs": {}}}}
    assert drift(KEY, ENTRY, "sha256:m", live(OURS, other)) == ""


def test_status_written_under_our_name_is_not_taken_for_our_fields() -> None:
    status: Managed = {
        "manager": "cnichain",
        "operation": "Apply",
        "subresource": "status",
        "fieldsV1": {"f:status": {}},
    }
    assert drift(KEY, ENTRY, "sha256:m", live(status, OURS)) == ""


def test_a_field_taken_over_is_a_drift_that_names_who_did_it() -> None:
    rest: Managed = {**OURS, "fieldsV1": {"f:data": {"f:debug": {}}}}
    taken: Managed = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02", "fieldsV1": {}}
    old: Managed = {"manager": "helm", "operation": "Update", "time": "2026-01-01", "fieldsV1": {}}
    assert drift(KEY, ENTRY, "sha256:m", live(rest, taken, old)) == f"{KEY} was changed by kubectl-edit"


@pytest.mark.parametrize(
    ("entry", "desired", "found", "why"),
    [
        (None, "sha256:m", live(OURS), "has not been applied yet"),
        (Entry("config", "sha256:m"), "sha256:m", live(OURS), "has not been applied yet"),
        (ENTRY, "sha256:m", None, "was deleted"),
        (ENTRY, "sha256:new", live(OURS), "has a new manifest"),
        (ENTRY, "sha256:m", live(OURS, uid="two"), "was deleted and created anew"),
    ],
)
def test_each_cause_is_told_apart(entry: Entry | None, desired: str, found: dict[str, object] | None, why: str) -> None:
    assert why in drift(KEY, entry, desired, found)


def test_only_a_change_by_others_is_tampering() -> None:
    assert is_tampering(ENTRY, "sha256:m")
    assert not is_tampering(ENTRY, "sha256:new"), "a new manifest of ours is no tampering"
    assert not is_tampering(Entry("config", "sha256:m"), "sha256:m"), "an unfinished apply is no tampering"
    assert not is_tampering(None, "sha256:m")


def test_leftovers_go_workloads_first_rbac_last_and_never_crds_or_namespaces() -> None:
    kinds = ["ClusterRole", "Namespace", "ConfigMap", "DaemonSet", "CustomResourceDefinition", "ServiceAccount"]
    inventory = {ObjectKey("v1", kind, "", "x"): ENTRY for kind in kinds}
    assert [key.kind for key in leftovers(inventory, [])] == ["DaemonSet", "ConfigMap", "ClusterRole", "ServiceAccount"]
    assert leftovers(inventory, inventory) == []


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ENTRIES = st.dictionaries(
    st.builds(ObjectKey, TEXT, TEXT, TEXT, TEXT), st.builds(Entry, TEXT, TEXT, TEXT, TEXT), max_size=8
)


@given(ENTRIES)
def test_what_is_saved_is_what_is_read(inventory: dict[ObjectKey, Entry]) -> None:
    assert load(dump(inventory)) == inventory
    assert digest(load(dump(inventory))) == digest(inventory)


@given(st.text(max_size=80))
def test_a_damaged_inventory_is_refused_by_line(text: str) -> None:
    damaged = dump({KEY: ENTRY}) + "x" + text.replace("\n", "")
    with pytest.raises(ValueError, match="inventory line 2"):
        load(damaged)
