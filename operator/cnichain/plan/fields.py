"""Fields of live objects by the sets that server-side apply keeps (managedFields, FieldsV1). Pure.

FieldsV1 is a tree: `f:<name>` is a field, `k:<JSON>` the list entry with these keys, `v:<JSON>` an entry of a set, `.`
the entry itself; an empty tree is a leaf (source: structured-merge-diff, fieldpath/serialize.go). Only fields that our
manager owns are ever compared: whatever others put beside them is not ours to judge.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cnichain.api.names import FIELD_MANAGER

Tree = Mapping[str, Any]
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class _Absent:
    """The value of a field that is not there; None is a value."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Difference:
    """One field with two values; ABSENT where it is not there. path: `spec.containers[agent].image`."""

    path: str
    before: Any
    after: Any


def entries(live: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The managedFields of a live object."""
    return live["metadata"].get("managedFields") or []


def owned_tree(live: Mapping[str, Any], manager: str = FIELD_MANAGER) -> Tree:
    """The fields of a live object that a manager owns by server-side apply."""
    for item in entries(live):
        if item["manager"] == manager and item["operation"] == "Apply" and not item.get("subresource"):
            found: Tree = item.get("fieldsV1") or {}
            return found
    return {}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between two states of a live object, in fields that our manager owns in either of them."""
    owned = _union(owned_tree(before), owned_tree(after))
    return sorted(_differences(before, after, owned, ""), key=lambda item: item.path)


def lost(body: Any, owned: Tree) -> list[str]:
    """Paths of a manifest's fields that are not in the tree of what we own (any more).

    body: the manifest as it was applied.
    """
    fields = {key: value for key, value in body.items() if key not in {"apiVersion", "kind", "metadata"}}
    metadata = {key: value for key, value in body["metadata"].items() if key in {"labels", "annotations"}}
    return sorted(_lost(fields | ({"metadata": metadata} if metadata else {}), owned, ""))


def managers_of(path: str, live: Mapping[str, Any], ours: str = FIELD_MANAGER) -> list[str]:
    """Field managers other than ours that own a field, or something below it."""
    found = []
    for item in entries(live):
        if item["manager"] == ours or item.get("subresource") == "status":
            continue
        if any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in leaves(item.get("fieldsV1") or {})):
            found.append(str(item["manager"]))
    return sorted(set(found))


def extract(value: Any, owned: Tree) -> Any:
    """The part of a value that a tree of owned fields covers: what its owner last applied."""
    steps = [step for step in owned if step != "."]
    if not steps:
        return value
    if isinstance(value, Mapping):
        inner = ((step[2:], _enter(step, value), owned[step]) for step in steps)
        return {name: extract(one, below) for name, one, below in inner if one is not ABSENT}
    pairs = ((step, _enter(step, value)) for step in steps)
    return [_extract_entry(step, one, owned[step]) for step, one in pairs if one is not ABSENT]


def leaves(tree: Tree, path: str = "") -> Iterator[str]:
    """Paths of all leaves of a tree."""
    for step, below in tree.items():
        if step == ".":
            continue
        here = path + _label(step, first=not path)
        yield here
        yield from leaves(below, here)


def _differences(before: Any, after: Any, owned: Tree, path: str) -> Iterator[Difference]:
    if before is ABSENT and after is ABSENT:
        return
    steps = [step for step in owned if step != "."]
    if not steps or before is ABSENT or after is ABSENT or type(before) is not type(after):
        if before != after:
            yield Difference(path, before, after)
        return
    for step in steps:
        here = path + _label(step, first=not path)
        yield from _differences(_enter(step, before), _enter(step, after), owned[step], here)


def _lost(body: Any, owned: Tree, path: str) -> Iterator[str]:
    if not any(step != "." for step in owned):
        return
    if isinstance(body, Mapping):
        for name, value in body.items():
            step, here = f"f:{name}", path + _label(f"f:{name}", first=not path)
            if value is None or value in ({}, []):
                continue
            if step not in owned:
                yield here
            else:
                yield from _lost(value, owned[step], here)
    elif isinstance(body, Sequence) and not isinstance(body, str):
        for item in body:
            entry = _entry_step(item, owned)
            if entry is None:
                yield f"{path}[{_shown_key(item)}]"
            else:
                yield from _lost(item, owned[entry], path + _label(entry))


def _extract_entry(step: str, value: Any, owned: Tree) -> Any:
    """A list entry with the keys that tell it apart: the server may have filled one in."""
    inner = extract(value, owned)
    return json.loads(step[2:]) | inner if step.startswith("k:") and isinstance(inner, Mapping) else inner


def _entry_step(item: Any, owned: Tree) -> str | None:
    """The step that stands for a list entry. Keys that the entry leaves to the server's default match any value."""
    for step in owned:
        if step.startswith("v:") and json.loads(step[2:]) == item:
            return step
        keys = json.loads(step[2:]) if step.startswith("k:") and isinstance(item, Mapping) else None
        if keys is not None and all(item.get(key, value) == value for key, value in keys.items()):
            return step
    return None


def _shown_key(item: Any) -> str:
    return str(item.get("name", "entry")) if isinstance(item, Mapping) else str(item)


def _enter(step: str, value: Any) -> Any:
    """The value behind one step, ABSENT when there is none."""
    kind, rest = step[:2], step[2:]
    if kind == "f:":
        return value.get(rest, ABSENT) if isinstance(value, Mapping) else ABSENT
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ABSENT
    wanted = json.loads(rest)
    if kind == "k:":
        matching = (one for one in value if all(one.get(key) == given for key, given in wanted.items()))
        return next(matching, ABSENT)
    return wanted if wanted in value else ABSENT


def _label(step: str, *, first: bool = False) -> str:
    """One step as people write it: `.name`, `["a.name/with.dots"]`, `[key]`."""
    kind, rest = step[:2], step[2:]
    if kind == "f:":
        if PLAIN_NAME.fullmatch(rest):
            return rest if first else f".{rest}"
        return f"[{json.dumps(rest)}]"
    wanted = json.loads(rest)
    return f"[{'/'.join(str(one) for one in wanted.values())}]" if kind == "k:" else f"[{wanted}]"


def _union(one: Tree, other: Tree) -> Tree:
    return {step: _union(one.get(step, {}), other.get(step, {})) for step in sorted({*one, *other})}
