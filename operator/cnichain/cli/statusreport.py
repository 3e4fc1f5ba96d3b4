"""What `cnichain status` prints: one screen about the whole chain, and the same as data. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainnode import Condition
from cnichain.api.names import KIND_CHAIN, SINGLETON
from cnichain.api.reasons import REASONS, Reason
from cnichain.api.rolloutstatus import RolloutState
from cnichain.api.times import parse_rfc3339
from cnichain.cli.chainview import ChainView
from cnichain.cli.layout import Mark, Style, age, counted, fields, fix_of, link, wrap
from cnichain.plan.history import Good
from cnichain.reconcile.report import Type

PARTS = {
    "Cilium": Type.CILIUM_READY,
    "Chain": Type.CHAIN_READY,
    "Hubble": Type.HUBBLE_READY,
    "Calico": Type.CALICO_READY,
}
BAD_WHEN_FALSE = (Type.PREFLIGHT_PASSED, *PARTS.values())
WARN_WHEN_FALSE = (Type.PODS_MANAGED, Type.CATALOGUE_VALID)
BAD_WHEN_TRUE = (Type.ROLLED_BACK, Type.DRIFTED)
NAMED_NODES = 3


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be. fix: from the registry of reasons."""

    condition: str
    level: str
    reason: str
    message: str
    fix: str
    hint: str


def as_text(view: ChainView, good: Good | None, now: datetime, style: Style) -> str:
    """The screen."""
    found = problems(view)
    ready = view.condition(Type.READY)
    lines = [*_headline(view, ready, style), "", *_parts(view, style), ""]
    lines += fields(_facts(view, good, now))
    lines.append("")
    if not found:
        lines.append("Errors: none")
        return "\n".join(lines)
    lines.append("Errors" if found[0].level == "error" else "Warnings")
    for one in found:
        lines += _problem(one, style)
    return "\n".join(lines)


def _headline(view: ChainView, ready: Condition | None, style: Style) -> Iterator[str]:
    name = f"{KIND_CHAIN} {SINGLETON}"
    if ready is None:
        unread = "its status cannot be read by this release" if view.unread else "no operator has looked at it yet"
        yield f"{style.sign(Mark.BAD)} {name}: {unread}"
        return
    mark = Mark.GOOD if view.is_ready else Mark.BAD if view.is_stalled or ready.status == "False" else Mark.WARN
    state = "Ready" if ready.status == "True" else f"{'not ready' if ready.status == 'False' else 'held'}"
    state = "Ready" if view.is_ready else state
    if ready.observed_generation < view.generation:
        mark, state = Mark.WARN, f"generation {view.generation} has not been seen by the operator yet; before that"
        state += f" {ready.reason}"
    elif ready.reason != "Ready":
        state += f" ({ready.reason})"
    first, *rest = wrap(f"{name}: {state}", "  ")
    yield f"{style.sign(mark)} {style.strong(first[2:], mark)}"
    yield from rest
    yield from wrap(ready.message, "  ")


def _parts(view: ChainView, style: Style) -> Iterator[str]:
    for name, kind in PARTS.items():
        found = view.condition(kind)
        mark, text = _part(name, found, view)
        first, *rest = wrap(text, f"  {name:<10}", " " * 12) or [f"  {name}"]  # a blank text has no line
        yield f"{style.sign(mark)} {first[2:]}"
        yield from rest


def _part(name: str, found: Condition | None, view: ChainView) -> tuple[Mark, str]:
    versions = view.status.versions
    version = ""
    if versions is not None and name == "Cilium":
        version = versions.cilium
        if versions.cilium_target not in {"", versions.cilium}:
            version = f"{version} -> {versions.cilium_target}" if version else versions.cilium_target
    if versions is not None and name == "Calico":
        version = versions.calico
    prefix = f"{version}: " if version else ""
    if found is None:
        off = name == "Calico" and view.spec is not None and not view.spec.calico.enabled
        return Mark.NONE, "off" if off else "not known yet"
    if found.status == "True":
        return Mark.GOOD, prefix + found.message
    if found.reason == Reason.DISABLED.value:
        return Mark.NONE, "off"
    is_bad = found.status == "False" and _is_warning(found.reason) and not _waits_for_its_wave(found, view)
    return (Mark.BAD, prefix + found.reason) if is_bad else (Mark.WARN, prefix + found.message)


def _facts(view: ChainView, good: Good | None, now: datetime) -> Iterator[tuple[str, str]]:
    status, spec = view.status, view.spec
    if versions := status.versions:
        parts = {
            (status.effective.primary if status.effective else "") or "primary": versions.primary,
            "Kubernetes": versions.kubernetes,
            "operator": versions.operator,
        }
        yield "Versions", ", ".join(f"{name} {version}" for name, version in parts.items() if version)
    if nodes := status.nodes:
        left_out = counted(nodes.out_of_scope_by_kind)
        yield "Nodes", f"{nodes.verified}/{nodes.in_scope} verified" + (f"; out of scope: {left_out}" * bool(left_out))
    if pods := status.pods:
        causes, left_out = counted(pods.by_cause), counted(pods.out_of_scope_by_kind)
        told = f"{pods.managed} managed, {pods.unmanaged} unmanaged" + f" ({causes})" * bool(causes)
        yield "Pods", told + f"; out of scope: {left_out}" * bool(left_out)
    elif (found := view.condition(Type.PODS_MANAGED)) and found.status == "Unknown":
        yield "Pods", f"not counted ({found.reason})"
    if status.effective and status.effective.policy_engine:
        yield "Policy", f"enforced by {status.effective.policy_engine}"
    yield from _rollout(view, spec, now)
    if certificates := status.certificates:
        told = f"valid {_until(certificates.not_after, now)}, CA {_until(certificates.ca_not_after, now)}"
        yield "Certificates", told + f"; CA is being replaced: {certificates.rotation}" * bool(certificates.rotation)
    if good is not None:
        number = f"revision {good.revision}, " if good.revision else ""
        yield "Last good", f"{number}Cilium {good.cilium}, since {good.time}"
    levels = [item.level for item in status.preflight]
    if levels:
        told = counted({"refused": levels.count("refused"), "warnings": levels.count("warning")})
        unknown = levels.count("unknown")
        told = ", ".join(filter(None, (told, f"{unknown} could not be looked at" * bool(unknown))))
        yield "Preflight", f"{told}; `cnichain check --pre` tells them"


def _rollout(view: ChainView, spec: CNIChainSpec | None, now: datetime) -> Iterator[tuple[str, str]]:
    status = view.status
    if rollout := status.rollout:
        told = f"{rollout.state.value}: {rollout.done} of {rollout.total} nodes, wave {rollout.wave}"
        told += "; on the way back" * rollout.back
        if rollout.state is not RolloutState.DONE and rollout.message:
            told += f"; {rollout.message}"
        if rollout.left_behind:
            more = len(rollout.left_behind) - NAMED_NODES
            told += f"; left behind: {', '.join(rollout.left_behind[:NAMED_NODES])}" + f", {more} more" * (more > 0)
        yield "Rollout", told
    if spec is not None:
        how = spec.rollout
        canary = f"canary of {how.canary.nodes}, soak {how.canary.soak}, waves of {how.max_unavailable}"
        flags = {
            "PAUSED (spec.rollout.paused)": how.paused,
            "SUSPENDED (spec.suspend)": spec.suspend,
            f"approval {how.approval.value}": how.approval.value != "Automatic",
            "probe pods": how.probe.enabled,
            "no automatic rollback": not how.auto_rollback,
        }
        yield "Gates", ", ".join([canary, *(name for name, on in flags.items() if on)])
    if status.waiting and status.waiting.what:
        since = parse_rfc3339(status.waiting.since)
        lasted = f", for {age((now - since).total_seconds())}" if since else ""
        yield "Waits for", f"{status.waiting.what}{lasted}"


def _until(text: str, now: datetime) -> str:
    moment = parse_rfc3339(text)
    if moment is None:
        return "until an unknown day"
    left = (moment - now).total_seconds()
    return f"until {moment:%Y-%m-%d} ({age(left)})" if left > 0 else f"ENDED on {moment:%Y-%m-%d}"


def problems(view: ChainView) -> list[Problem]:
    """What is wrong, the parts before their sum, each reason once."""
    found: list[Problem] = []
    for item in view.status.conditions:
        is_bad = item.status == "False" if item.type in (*BAD_WHEN_FALSE, *WARN_WHEN_FALSE) else False
        is_bad = is_bad or (item.type in BAD_WHEN_TRUE and item.status == "True")
        if is_bad and _is_warning(item.reason) and not _waits_for_its_wave(item, view):
            found.append(_from(item, "warning" if item.type in WARN_WHEN_FALSE else "error"))
    for kind in (Type.STALLED, Type.READY):
        item_found = view.condition(kind)
        if item_found is None or item_found.reason in {one.reason for one in found}:
            continue
        if item_found.status == ("True" if kind is Type.STALLED else "False") and _is_warning(item_found.reason):
            found.append(_from(item_found, "error"))
    if view.unread:
        named = ", ".join(view.unread)
        message = f"This release of cnichain cannot read: {named}."
        found.append(Problem("", "error", "Unreadable", message, "Use the release that the operator has.", ""))
    return sorted(found, key=lambda one: one.level != "error")


def _from(item: Condition, level: str) -> Problem:
    known = item.reason in {reason.value for reason in REASONS}
    hint = link(item.reason) if known else ""
    return Problem(item.type, level, item.reason, item.message, fix_of(item.reason), hint)


def _problem(one: Problem, style: Style) -> Iterator[str]:
    mark = Mark.BAD if one.level == "error" else Mark.WARN
    yield f"{style.sign(mark)} {one.condition}: {one.reason}" if one.condition else f"{style.sign(mark)} {one.reason}"
    yield from wrap(one.message, "  ")
    if one.fix and one.fix not in one.message:
        yield from wrap(one.fix, "  -> ", "     ")
    if one.hint:
        yield f"  {one.hint}"


def _waits_for_its_wave(item: Condition, view: ChainView) -> bool:
    """Whether nodes are not verified because the change is still on its way, as Ready says: that is no error."""
    ready = view.condition(Type.READY)
    on_its_way = ready is not None and ready.status != "True" and not _is_warning(ready.reason)
    return on_its_way and item.reason == Reason.NODES_NOT_VERIFIED.value


def _is_warning(reason: str) -> bool:
    """Whether a reason is more than a step on the way; one that this release does not know counts as such."""
    try:
        return REASONS[Reason(reason)].warning
    except ValueError:
        return True


def as_data(view: ChainView, good: Good | None) -> Mapping[str, Any]:
    """The same for programs."""
    status, ready = view.status, view.condition(Type.READY)
    wire = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    kept = ("versions", "effective", "nodes", "pods", "rollout", "rejected", "waiting", "certificates", "preflight")
    return {
        "name": view.raw["metadata"]["name"],
        "generation": view.generation,
        "observedGeneration": status.observed_generation,
        "ready": view.is_ready,
        "stalled": view.is_stalled,
        "reason": ready.reason if ready else "",
        "message": ready.message if ready else "",
        "paused": bool(view.spec and view.spec.rollout.paused),
        "components": {
            name.lower(): {"status": found.status, "reason": found.reason, "message": found.message}
            for name, kind in PARTS.items()
            if (found := view.condition(kind))
        },
        **{name: wire[name] for name in kept if name in wire},
        "lastGood": {"revision": good.revision, "cilium": good.cilium, "time": good.time} if good else None,
        "errors": [asdict(one) for one in problems(view)],
    }
