"""From two states of an object to what a plan says about it: its fields, and whether its pods restart. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnichain.api.chainnode import NodeSpec, to_wire
from cnichain.api.objects import ObjectKey
from cnichain.plan.fields import ABSENT, Difference, differences
from cnichain.plan.model import MOST_FIELDS, Action, Field, Item, NodeChange, Roll

EXCERPT = 120
"""Characters that are shown of a value."""
SECRET_FIELDS = ("data", "stringData")
POD_TEMPLATE = "spec.template"


def item_of_change(key: ObjectKey, live: Mapping[str, Any], planned: Mapping[str, Any]) -> Item:
    """How a live object will change. planned: the API server's answer to a dry run of the apply."""
    found = differences(live, planned)
    note = f"and {len(found) - MOST_FIELDS} more fields" if len(found) > MOST_FIELDS else ""
    fields = tuple(_field(key, item) for item in found[:MOST_FIELDS])
    return Item(Action.CHANGE, key, fields, note if fields else "no field changes its value")


def roll_of(key: ObjectKey, live: Mapping[str, Any], planned: Mapping[str, Any]) -> Roll | None:
    """The restart of a workload's pods, None when there is none.

    The workload's controller compares whole pod templates, so that is what is compared here.
    """
    if key.kind not in {"DaemonSet", "Deployment", "StatefulSet"}:
        return None
    if live["spec"]["template"] == planned["spec"]["template"]:
        return None
    prefix = f"{POD_TEMPLATE}."
    paths = [item.path.removeprefix(prefix) for item in differences(live, planned) if item.path.startswith(prefix)]
    strategy = planned["spec"].get("updateStrategy") or {}
    note = "wave by wave (spec.rollout)" if strategy.get("type") == "OnDelete" else ""
    return Roll(key, pods_of(live), tuple(paths[:MOST_FIELDS]), note)


def pods_of(live: Mapping[str, Any]) -> int:
    """How many pods a workload has, or should have."""
    status = live.get("status") or {}
    return int(status.get("desiredNumberScheduled") or status.get("replicas") or 0)


def node_change(wanted: NodeSpec, specs: Iterable[Mapping[str, Any]]) -> NodeChange | None:
    """What changes in the CNIChainNodes of nodes in scope, None when nothing does.

    Nodes that go in or out of the chain, and those that were frozen, are no change of the plan: `desired` and `frozen`
    are left out.
    """
    after = _planned(to_wire(wanted))
    others = [before for before in map(_planned, specs) if before != after]
    if not others:
        return None
    names = sorted({name for before in others for name in {*before, *after} if before.get(name) != after.get(name)})
    fields = [Difference(f"spec.{name}", others[0].get(name, ABSENT), after.get(name, ABSENT)) for name in names]
    return NodeChange(len(others), tuple(Field(one.path, *excerpts(one.before, one.after)) for one in fields))


def excerpts(before: Any, after: Any) -> tuple[str | None, str | None]:
    """Two values as text around the place where they begin to differ; None for ABSENT."""
    one, other = _text(before), _text(after)
    start = 0
    if one is not None and other is not None and max(len(one), len(other)) > EXCERPT:
        pairs = zip(one, other, strict=False)
        same = next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
        start = max(0, same - EXCERPT // 4)
    return _excerpt(one, start), _excerpt(other, start)


def _planned(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in {"desired", "frozen"}}


def _field(key: ObjectKey, item: Difference) -> Field:
    if key.kind == "Secret" and item.path.startswith(SECRET_FIELDS):
        return Field(item.path, None, None)
    return Field(item.path, *excerpts(item.before, item.after))


def _text(value: Any) -> str | None:
    if value is ABSENT:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | Sequence):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return json.dumps(value)


def _excerpt(text: str | None, start: int) -> str | None:
    if text is None or len(text) <= EXCERPT:
        return text
    head = "…" if start else ""
    tail = "…" if start + EXCERPT < len(text) else ""
    return head + text[start : start + EXCERPT] + tail
