"""User's values at keys that moved or went away between minors of the Cilium chart. Pure.

The chart answers a key that it does not read with silence, so a setting would be lost by an upgrade without a word.
Here it is taken to the place that the wanted minor reads, in both directions, so that the same spec also serves a way
back; or it is refused by name where the minor has no such thing any more; or its loss is told where nothing is lost.

Source of the tables: values.yaml, templates, validate.yaml and warnings.txt of the charts 1.17.3, 1.17.18, 1.18.12,
1.19.6 and 1.20.0, compared key by key (tests/render/test_moved.py compares them again).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason

Minor = tuple[int, int]
Values = Mapping[str, Any]
Predicate = Callable[[Any, Values], bool]

_MISSING = object()
PLAIN_INTERFACE = re.compile(r"\^([A-Za-z0-9_-]+)\$")


def _never(_value: Any, _values: Values) -> bool:
    return False


@dataclass(frozen=True)
class Move:
    """A key with a new place. since: the first minor that reads the new one; older minors read the old one alone.

    forth and back turn the value into the form of the other place; back answers _MISSING when there is no such form.
    """

    old: str
    new: str
    since: Minor
    forth: Callable[[Any], Any] = lambda value: value
    back: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Removal:
    """A key that no minor from `since` on reads. lost: whether the value asks for what is not there any more."""

    path: str
    since: Minor
    why: str
    lost: Predicate = _never


def get(values: Values, path: str) -> Any:
    """The value at a dotted path, _MISSING when it is not set."""
    node: Any = values
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _MISSING
        node = node[part]
    return node


def _on(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _interface(pattern: Any) -> Any:
    found = PLAIN_INTERFACE.fullmatch(str(pattern))
    return found[1] if found else _MISSING


MOVES = (
    Move("localRedirectPolicy", "localRedirectPolicies.enabled", (1, 18)),
    Move("enableCiliumEndpointSlice", "ciliumEndpointSlice.enabled", (1, 16)),
    Move(
        "l2podAnnouncements.interface",
        "l2podAnnouncements.interfacePattern",
        (1, 18),
        forth=lambda name: f"^{re.escape(str(name))}$" if name else name,
        back=lambda pattern: _interface(pattern) if pattern else pattern,
    ),
    Move("clustermesh.enableMCSAPISupport", "clustermesh.mcsapi.enabled", (1, 19)),
)

_ONLY_KPR = "this minor has it with kubeProxyReplacement=true only"
_ALWAYS = "this minor always does it"
_UNREAD = "this minor does not read it"


def _without_kpr(value: Any, values: Values) -> bool:
    return _on(value) and not _on(get(values, "kubeProxyReplacement"))


def _asked_for(value: Any, _values: Values) -> bool:
    return _on(value)


def _given(value: Any, _values: Values) -> bool:
    return bool(value)


REMOVALS = (
    Removal("externalIPs.enabled", (1, 18), _ONLY_KPR, _without_kpr),
    Removal("hostPort.enabled", (1, 18), _ONLY_KPR, _without_kpr),
    Removal("nodePort.enabled", (1, 19), _ONLY_KPR, _without_kpr),
    Removal("sessionAffinity", (1, 19), _ONLY_KPR),
    Removal("highScaleIPcache.enabled", (1, 18), "this minor has no high-scale ipcache", _asked_for),
    Removal("ciliumEndpointSlice.sliceMode", (1, 18), "this minor has one way to slice", _given),
    Removal("loadBalancer.standalone", (1, 19), "this minor has no such mode", _asked_for),
    Removal("customCalls.enabled", (1, 19), "this minor has no custom calls", _asked_for),
    Removal("enableK8sTerminatingEndpoint", (1, 18), _ALWAYS),
    Removal("enableRuntimeDeviceDetection", (1, 18), _ALWAYS),
    Removal("l2NeighDiscovery.refreshPeriod", (1, 18), _UNREAD),
    Removal("loadBalancer.experimental", (1, 18), _UNREAD),
    Removal("eni.updateEC2AdapterLimitViaAPI", (1, 18), _UNREAD),
    Removal("hubble.relay.dialTimeout", (1, 18), _UNREAD),
    Removal("enableInternalTrafficPolicy", (1, 19), _ALWAYS),
    Removal("enableK8sEndpointSlice", (1, 19), _ALWAYS),
    Removal("loadBalancer.protocolDifferentiation.enabled", (1, 19), _ALWAYS),
    Removal("svcSourceRangeCheck", (1, 19), _ALWAYS),
    Removal("encryption.ipsec.encryptedOverlay", (1, 20), _UNREAD),
    Removal("hubble.redact.kafka.apiKey", (1, 20), "this minor does not parse Kafka"),
    Removal("hubble.ui.backend.livenessProbe.enabled", (1, 20), _UNREAD),
    Removal("hubble.ui.backend.readinessProbe.enabled", (1, 20), _UNREAD),
    Removal("preflight.tofqdnsPreCache", (1, 20), _UNREAD),
)


@dataclass(frozen=True)
class Placed:
    """Values at the places that a minor reads. notes: what was moved or has no effect, one sentence each."""

    values: dict[str, Any]
    notes: tuple[str, ...]


def placed(values: Values, minor: Minor) -> Placed:
    """A user's values at the places that the charts of a minor read.

    Raises ChainError: ValueAmbiguous when both places of a key are set and differ; ValueRemoved when a value asks for
    what the minor does not have.
    """
    tree, notes = _copied(values), list[str]()
    for move in MOVES:
        _move(tree, values, move, minor, notes)
    name = f"{minor[0]}.{minor[1]}"
    for item in REMOVALS:
        value = get(values, item.path)
        if minor < item.since or value is _MISSING:
            continue
        if item.lost(value, values):
            raise ChainError(
                Reason.VALUE_REMOVED, f"spec.cilium.values.{item.path} asks for what Cilium {name} lacks: {item.why}."
            )
        _take(tree, item.path)
        notes.append(f"spec.cilium.values.{item.path} has no effect in Cilium {name}: {item.why}.")
    return Placed(tree, tuple(notes))


def _move(tree: dict[str, Any], values: Values, move: Move, minor: Minor, notes: list[str]) -> None:
    newer = minor >= move.since
    source, target, turn = (move.old, move.new, move.forth) if newer else (move.new, move.old, move.back)
    value = get(values, source)
    if value is _MISSING:
        return
    turned = None if value is None else turn(value)
    name = f"{minor[0]}.{minor[1]}"
    if turned is _MISSING:
        raise ChainError(
            Reason.VALUE_REMOVED,
            f"spec.cilium.values.{source} asks for what Cilium {name} lacks: it reads {target}, "
            f"which cannot say {str(value)[:80]!r}.",
        )
    there = get(values, target)
    if there is not _MISSING and there != turned:
        raise ChainError(
            Reason.VALUE_AMBIGUOUS,
            f"spec.cilium.values.{source} and .{target} differ, and Cilium {name} reads .{target}; keep one of them.",
        )
    _take(tree, source)
    _put(tree, target, turned)
    notes.append(f"spec.cilium.values.{source} was taken to {target}, which Cilium {name} reads.")


def _copied(values: Values) -> dict[str, Any]:
    """A copy whose mappings may be changed; everything else is shared."""
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _take(tree: dict[str, Any], path: str) -> None:
    *above, last = path.split(".")
    for part in above:
        tree = tree[part]
    del tree[last]


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for part in above:
        below = tree.get(part)
        tree[part] = below if isinstance(below, dict) else {}
        tree = tree[part]
    tree[last] = value
