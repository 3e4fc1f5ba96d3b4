"""What an admission webhook or policy made of an object on its way in: told apart from drift. Pure.

Server-side apply keeps our field manager on a field that admission has changed, so no drift is ever seen there: the
answer to the apply is the one place where it shows. Values that only differ in how they are written are no change
(`1000m` and `1`), nor are empty values that the server leaves out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cnichain.plan.fields import ABSENT

QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+)(m|k|[KMGTPE]i?|)")
FACTORS = {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000)} | {
    unit: base**power
    for power, letter in enumerate("KMGTPE", start=1)
    for unit, base in ((letter, Decimal(1000)), (f"{letter}i", Decimal(1024)))
}
ENTRY_KEYS = ("name", "mountPath", "containerPort", "port", "topologyKey", "ip")
"""Keys by which server-side apply merges list entries in the kinds that charts hold; the first that all have counts."""
MOST = 10
"""Fields that are remembered per object."""


def mutated_fields(sent: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the fields that came back with another value than they were sent with, at most MOST of them."""
    parts = {key: value for key, value in sent.items() if key not in {"apiVersion", "kind", "metadata", "stringData"}}
    metadata = {key: sent["metadata"].get(key) or {} for key in ("labels", "annotations")}
    found = [*_mutated(metadata, answer["metadata"], "metadata"), *_mutated(parts, answer, "")]
    return tuple(found[:MOST])


def _mutated(sent: Any, got: Any, path: str) -> Iterator[str]:
    if got is ABSENT or got is None:
        if not _empty(sent):
            yield path
    elif isinstance(sent, Mapping) and isinstance(got, Mapping):
        for name, value in sent.items():
            yield from _mutated(value, got.get(name, ABSENT), f"{path}.{name}" if path else name)
    elif _is_list(sent) and _is_list(got):
        yield from _mutated_list(sent, got, path)
    elif not _same(sent, got):
        yield path


def _mutated_list(sent: Sequence[Any], got: Sequence[Any], path: str) -> Iterator[str]:
    key = _entry_key(sent, got)
    if key is None:
        if len(sent) != len(got):
            yield path
            return
        for number, (one, other) in enumerate(zip(sent, got, strict=True)):
            yield from _mutated(one, other, f"{path}[{number}]")
        return
    by_key = {item[key]: item for item in got}
    for item in sent:
        yield from _mutated(item, by_key.get(item[key], ABSENT), f"{path}[{item[key]}]")


def _entry_key(sent: Sequence[Any], got: Sequence[Any]) -> str | None:
    """The key that tells the entries apart, None for lists of plain values, or with entries that share it."""
    if not all(isinstance(item, Mapping) for item in (*sent, *got)):
        return None
    for key in ENTRY_KEYS:
        names = [[str(item[key]) for item in items if key in item] for items in (sent, got)]
        if all(len(set(found)) == len(items) for found, items in zip(names, (sent, got), strict=True)):
            return key
    return None


def _same(sent: Any, got: Any) -> bool:
    if sent == got and isinstance(sent, bool) == isinstance(got, bool):
        return True
    if _empty(sent) and _empty(got):
        return True
    one, other = _quantity(sent), _quantity(got)
    return one is not None and one == other


def _quantity(value: Any) -> Decimal | None:
    """A number, or a quantity as Kubernetes writes them; None for anything else."""
    if isinstance(value, bool):
        return None
    found = QUANTITY.fullmatch(str(value))
    return Decimal(found[1]) * FACTORS[found[2]] if found else None


def _empty(value: Any) -> bool:
    """Whether a server may leave the value out: Go's `omitempty`, all the way down."""
    if isinstance(value, Mapping):
        return all(_empty(one) for one in value.values())
    return value is None or value in ("", 0, False) or value == []


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
