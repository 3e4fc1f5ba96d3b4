"""The user's own changes of a CNIChain, as JSON patches, and what a rollback would change. Pure.

The operator never writes `spec`; a person who runs one of these commands does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.api.names import RETRY_ANNOTATION
from cnichain.cli.layout import wrap
from cnichain.plan.history import Good, History
from cnichain.rollout.course import HOW, content_of

Object = Mapping[str, Any]
Patch = list[dict[str, Any]]


def made_for(live: Object) -> dict[str, Any]:
    """The part of a patch that has the API server refuse it (409) when the object is not as it was seen any more."""
    version = live["metadata"]["resourceVersion"]
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}


def paused(live: Object, *, to: bool) -> Patch:
    """Set `spec.rollout.paused`; empty when it means that already."""
    rollout = live["spec"].get("rollout")
    if bool((rollout or {}).get("paused")) is to:
        return []
    if rollout is None:
        return [made_for(live), {"op": "add", "path": "/spec/rollout", "value": {"paused": to}}]
    return [made_for(live), {"op": "add", "path": "/spec/rollout/paused", "value": to}]


def retried(live: Object, word: str) -> Patch:
    """Set the annotation that asks for another try."""
    annotations = live["metadata"].get("annotations")
    if annotations is None:
        path, value = "/metadata/annotations", {RETRY_ANNOTATION: word}
        return [made_for(live), {"op": "add", "path": path, "value": value}]
    path = "/metadata/annotations/" + RETRY_ANNOTATION.replace("/", "~1")
    return [made_for(live), {"op": "add", "path": path, "value": word}]


def candidates(history: History, spec: CNIChainSpec) -> list[Good]:
    """Good revisions that differ from what spec asks for, the newest first."""
    known = [one for one in (history.good, *history.earlier) if one is not None]
    now = content_of(spec)
    return [one for one in known if one.spec != now]


def choose(history: History, spec: CNIChainSpec, revision: int | None) -> Good | None:
    """The good revision to go back to: that number, or the newest that differs from spec. None when there is none."""
    found = candidates(history, spec)
    return next((one for one in found if revision in {None, one.revision}), None)


def rolled_back(live: Object, good: Good) -> Patch:
    """Set what reaches the nodes to what a good revision had; what says how stays. Empty when it is so already.

    A field that means the same already keeps the user's words, and a default is not written out. Raises
    ChainError(SpecInvalid) for a revision that this release cannot read.
    """
    before, after = parse_spec(live["spec"]), parse_spec(good.spec)
    was, will = content_of(before), content_of(after)
    least = after.model_dump(mode="json", by_alias=True, exclude=set(HOW), exclude_defaults=True)
    patch: Patch = []
    for name in will:
        if was.get(name) == will[name]:
            continue
        if name in least:
            patch.append({"op": "add", "path": f"/spec/{name}", "value": least[name]})
        elif name in live["spec"]:
            patch.append({"op": "remove", "path": f"/spec/{name}"})
    return [made_for(live), *patch] if patch else []


@dataclass(frozen=True)
class Difference:
    """One field that a rollback changes; None for one that is not there. Its path is below `spec`."""

    path: str
    before: Any
    after: Any


def differences(live: Object, good: Good) -> list[Difference]:
    """What going back to a good revision changes, field by field."""
    return list(_differences("spec", content_of(parse_spec(live["spec"])), content_of(parse_spec(good.spec))))


def _differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(f"{path}.{name}", before.get(name), after.get(name))
        return
    yield Difference(path, before, after)


def differences_text(changes: Sequence[Difference]) -> str:
    """The same for people, 80 columns wide."""
    lines: list[str] = []
    for one in changes:
        lines += wrap(f"~ {one.path}", "  ", "    ")
        lines += [line for sign, value in (("-", one.before), ("+", one.after)) for line in _value(sign, value)]
    return "\n".join(lines)


def _value(sign: str, value: Any) -> list[str]:
    return wrap(f"{sign} {value}", "      ", "        ") if value is not None else []


def known_text(history: History) -> list[str]:
    """The good revisions that are remembered, one in a line."""
    known = [one for one in (history.good, *history.earlier) if one is not None]
    return [f"revision {one.revision or '(no number)'} (Cilium {one.cilium}, good since {one.time})" for one in known]
