"""Who owns the fields of a live object, and the patch that hands them to our field manager. Pure.

A server-side apply removes a field that is not in the manifest only when its manager alone owned it. So a key that helm
or kubectl has set once stays for ever beside ours: old keys of cilium-config, a `lifecycle.postStart` that strips the
primary's iptables rules, an `env` entry with both `value` and `valueFrom`. Handing every such field to our manager
before the first apply makes that apply remove them. Source of the way: client-go's util/csaupgrade.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cnichain.api.names import FIELD_MANAGER

Fields = Mapping[str, Any]
"""`fieldsV1` as the API serves it: a tree whose leaf is {}, and in which "." marks a branch that is owned itself."""
Patch = list[dict[str, Any]]

CONTROLLERS = frozenset(
    {"cloud-controller-manager", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"}
)
CONTROLLER_PREFIXES = ("cilium-agent", "cilium-operator", "cluster-proportional-autoscaler", "keda-", "vpa-")
"""Managers whose fields are their work on the object and not part of an installation; they stay theirs."""

CAPTURED = "before-first-apply"
"""The manager under which the API server gathers all fields of an object that it has kept no owners for."""
UNTRACK: Patch = [{"op": "add", "path": "/metadata/managedFields", "value": [{}]}]
"""The API's way to forget all owners, which a first apply under any name needs to gather them under CAPTURED."""


def managers(live: Mapping[str, Any]) -> list[str]:
    """Names of the managers that own fields beyond the status, the oldest first."""
    found = [item for item in _entries(live) if item.get("subresource") != "status"]
    return [str(item["manager"]) for item in sorted(found, key=lambda item: str(item.get("time", "")))]


def is_applied_by_us(live: Mapping[str, Any]) -> bool:
    """Whether our field manager has an entry of its own."""
    return any(_is_ours(item) for item in _entries(live))


def is_handed_over(live: Mapping[str, Any]) -> bool:
    """Whether all that an installer could own is our field manager's."""
    return is_applied_by_us(live) and not any(_moves(item) for item in _entries(live))


def is_untracked(live: Mapping[str, Any]) -> bool:
    """Whether the API server has kept no owners for anything but the status, as when someone has emptied the list."""
    return not managers(live)


def hand_over(live: Mapping[str, Any], api_version: str) -> Patch:
    """The JSON patch after which our manager owns, as if it had applied them, all fields of the managers that move.

    api_version: that of the object, for the entry. The patch names the resourceVersion that it was made for, so that
    the API server refuses it (409) when the object has changed since.
    """
    entries = _entries(live)
    kept = [item for item in entries if not _moves(item) and not _is_ours(item)]
    taken = [item for item in entries if _moves(item) or _is_ours(item)]
    fields: Fields = {}
    for item in taken:
        fields = union(fields, item.get("fieldsV1") or {})
    mine = {
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "apiVersion": api_version,
        "time": max((str(item["time"]) for item in taken if item.get("time")), default=None),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    entry = {key: value for key, value in mine.items() if value is not None}
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [*kept, entry]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]


def union(one: Fields, other: Fields) -> dict[str, Any]:
    """All fields of two sets (the whole `fieldsV1` of two entries)."""
    result = dict(one)
    for key, value in other.items():
        result[key] = _union_below(result[key], value) if key in result else value
    return result


def _union_below(one: Fields, other: Fields) -> dict[str, Any]:
    """The same below the root, where {} means that the field itself is owned."""
    owns_itself = not one or not other
    result = union(one, other)
    return {".": {}, **result} if owns_itself and result else result


def _entries(live: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return live["metadata"].get("managedFields") or []


def _is_ours(item: Mapping[str, Any]) -> bool:
    return bool(item["manager"] == FIELD_MANAGER and item["operation"] == "Apply" and not item.get("subresource"))


def _moves(item: Mapping[str, Any]) -> bool:
    """Whether an entry is of an installer, or of someone who has changed what it installed."""
    if _is_ours(item) or item.get("subresource") == "status":
        return False
    manager = str(item["manager"])
    return manager not in CONTROLLERS and not manager.startswith(CONTROLLER_PREFIXES)
