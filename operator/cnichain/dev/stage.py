"""The form of one Stage object of kwok, and of what selects the objects that it is played for."""

from typing import Any

Expression = dict[str, Any]


def stage(
    name: str, kind: str, expressions: list[Expression], template: str, delay: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A Stage that patches the status of an object which fits all expressions. template: Go's, of that status."""
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": expressions},
        "next": {"statusTemplate": template},
    }
    if delay is not None:
        spec["delay"] = delay
    return {**header(name), "spec": spec}


def header(name: str) -> dict[str, Any]:
    """All of a Stage but its spec."""
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}}


def annotation(name: str) -> str:
    """The expression that gives an annotation's value."""
    return f'.metadata.annotations["{name}"]'


def annotated(name: str) -> Expression:
    """The object has that annotation."""
    return {"key": annotation(name), "operator": "Exists"}


def without(name: str) -> Expression:
    """The object has no such annotation."""
    return {"key": annotation(name), "operator": "DoesNotExist"}


def valued(name: str, value: str, *, is_so: bool = True) -> Expression:
    """The annotation has that value; or, with is_so false, another one or none."""
    return {"key": annotation(name), "operator": "In" if is_so else "NotIn", "values": [value]}
