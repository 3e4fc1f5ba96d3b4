"""Changes that the API server refuses on an object that is there, and for which kinds a new object is the answer. Pure.

Which fields cannot change: validation in kubernetes/pkg/apis (apps, batch, core, rbac); the messages below are those of
the real server (tests/apply/test_changes.py).
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

MESSAGES = (
    "field is immutable",
    "cannot change roleRef",
    "may not change once set",
    "updates to statefulset spec for fields other than",
)
FIELD = re.compile(r"is invalid: \[?([A-Za-z0-9.\[\]]+): ")


class Recreate(StrEnum):
    """How an object may be replaced, as Kubernetes names the propagation of a delete."""

    BACKGROUND = "Background"
    ORPHAN = "Orphan"


BY_KIND = {
    "ClusterRoleBinding": Recreate.BACKGROUND,
    "Deployment": Recreate.BACKGROUND,
    "Job": Recreate.BACKGROUND,
    "RoleBinding": Recreate.BACKGROUND,
    "Secret": Recreate.BACKGROUND,
    "Service": Recreate.BACKGROUND,
}
"""Kinds whose objects can be gone for a moment: no node loses its network by it."""


def is_immutable(status: int, message: str) -> bool:
    """Whether the server refused a change because the field can never change."""
    return status == 422 and any(text in message for text in MESSAGES)


def field_of(message: str) -> str:
    """The field that the server's message is about, empty when it does not say."""
    found = FIELD.search(message)
    return found[1] if found else ""


def recreate_policy(kind: str, live: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> Recreate | None:
    """How an object may be replaced; None when a person has to.

    A DaemonSet is only ever deleted without its pods, and only when the new one adopts them: else the old pods would
    hold the ports and mounts of their node against the new ones, or nodes would be without an agent.
    """
    if live is None:
        return None
    if kind != "DaemonSet":
        return BY_KIND.get(kind)
    labels = live["spec"]["template"]["metadata"].get("labels") or {}
    selector = wanted["spec"]["selector"].get("matchLabels") or {}
    adopts = bool(selector) and not wanted["spec"]["selector"].get("matchExpressions")
    return Recreate.ORPHAN if adopts and selector.items() <= labels.items() else None


def what_to_do(kind: str, namespace: str, name: str) -> str:
    """The way out for a person, where the operator does not replace an object itself."""
    place = f" --namespace={namespace}" if namespace else ""
    orphan = " --cascade=orphan" if kind == "DaemonSet" else ""
    after = " and then its old pods node by node" if kind == "DaemonSet" else ""
    return (
        f"Undo the change in spec, or delete the object (`kubectl delete {kind.lower()} {name}{place}{orphan}`){after}."
    )


PATHS: Mapping[str, tuple[str, ...]] = {
    "ClusterRoleBinding": ("roleRef",),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "RoleBinding": ("roleRef",),
    "Secret": ("type",),
    "StatefulSet": ("spec.selector", "spec.serviceName"),
}


def immutable_differences(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Dotted paths of the fields in which a live object differs from a manifest and can never become like it."""
    kind = str(wanted["kind"])
    found = [path for path in PATHS.get(kind, ()) if _at(wanted, path) not in (None, _at(live, path))]
    if kind == "Service" and ("None" in (_at(live, "spec.clusterIP"), _at(wanted, "spec.clusterIP"))):
        found += ["spec.clusterIP"] if _at(live, "spec.clusterIP") != _at(wanted, "spec.clusterIP") else []
    return found


def _at(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
