"""The plan: what applying the manifests will create, change, replace and delete, and which pods will restart. Pure.

A plan holds no value of a Secret, and has a bounded size: it is kept in a ConfigMap, and people read it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from cnichain.api.objects import ObjectKey
from cnichain.render.manifests import Manifest, short_digest

FORMAT = 1
MOST_FIELDS = 60
"""Fields that are shown of one object."""
MOST_BYTES = 400_000
"""Size of a plan as text; a ConfigMap may have 1 MiB."""


class Action(StrEnum):
    """What happens to one object."""

    CREATE = "Create"
    CHANGE = "Change"
    RECREATE = "Recreate"
    PRUNE = "Prune"


@dataclass(frozen=True)
class Field:
    """One field that changes. before, after: as text, shortened; None where the field is not there, or is secret."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Item:
    """One object of a plan. note: what a reader must know beside the fields."""

    action: Action
    key: ObjectKey
    fields: tuple[Field, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Roll:
    """A workload whose pods will restart. pods: how many it has now. fields: those of the pod template that change."""

    key: ObjectKey
    pods: int
    fields: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class NodeChange:
    """A change of what every node in scope should have (spec of its CNIChainNode). nodes: on how many it arrives."""

    nodes: int
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Plan:
    """All of it. digest: of the state that it leads to, so that it stays the same on the way there."""

    digest: str
    items: tuple[Item, ...]
    rolls: tuple[Roll, ...] = ()
    nodes: NodeChange | None = None

    def count(self, *actions: Action) -> int:
        """Objects with one of these actions."""
        return sum(item.action in actions for item in self.items)

    @property
    def summary(self) -> str:
        """The plan in one sentence."""
        counts = (
            f"{self.count(Action.CREATE)} to create, {self.count(Action.CHANGE, Action.RECREATE)} to change, "
            f"{self.count(Action.PRUNE)} to prune"
        )
        rolls = f"; restarts {in_words([str(roll.key) for roll in self.rolls])}" if self.rolls else ""
        nodes = f"; changes the CNIChainNode of {self.nodes.nodes} nodes" if self.nodes else ""
        return f"{counts}{rolls}{nodes}"


def target_digest(manifests: Iterable[Manifest], node_spec: Mapping[str, Any]) -> str:
    """Digest of the state that manifests and node spec describe: what an approval is given for.

    Of a Secret only its name goes in: a certificate that is renewed on its time is no other plan.
    """
    parts = sorted((str(item.key), "" if item.kind == "Secret" else item.digest) for item in manifests)
    return short_digest([parts, node_spec])


def in_words(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def dump(plan: Plan, **about: Any) -> str:
    """The plan as the text of a ConfigMap, at most MOST_BYTES: fields of the largest objects go first."""
    text = _text(plan, about)
    while len(text.encode()) > MOST_BYTES:
        largest = max(plan.items, key=lambda item: len(item.fields))
        if not largest.fields:
            raise ValueError(f"a plan of {len(plan.items)} objects is too long for a ConfigMap")
        short = replace(largest, fields=(), note=f"{len(largest.fields)} fields change; too many to show all plans")
        plan = replace(plan, items=tuple(short if item is largest else item for item in plan.items))
        text = _text(plan, about)
    return text


def load(text: str) -> tuple[Plan, dict[str, Any]]:
    """The plan and what was said about it. Raises ValueError when the text is not one of this release's plans."""
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']}, this release reads {FORMAT}")
        items = tuple(
            Item(Action(one["action"]), ObjectKey(*one["key"]), _fields(one["fields"]), one["note"])
            for one in raw["items"]
        )
        rolls = tuple(
            Roll(ObjectKey(*one["key"]), one["pods"], tuple(one["fields"]), one["note"]) for one in raw["rolls"]
        )
        nodes = raw["nodes"] and NodeChange(raw["nodes"]["nodes"], _fields(raw["nodes"]["fields"]))
        return Plan(raw["digest"], items, rolls, nodes), raw["about"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"it lacks {error}") from error


def _text(plan: Plan, about: Mapping[str, Any]) -> str:
    return json.dumps({"format": FORMAT, "about": about, **asdict(plan)}, indent=1, ensure_ascii=False)


def _fields(raw: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    return tuple(Field(one["path"], one["before"], one["after"]) for one in raw)
