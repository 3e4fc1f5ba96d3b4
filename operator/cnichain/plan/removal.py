"""What deleting a CNIChain asks for, in which order its objects go, and which nodes it still waits for. Pure.

The order is that of an uninstallation that never leaves a node without network: every node first runs the primary CNI
alone, verified; then the stages go in reverse, workloads first and RBAC last, each part gone before the next is
touched.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cnichain.api.chain import DeletionPolicy, parse_duration
from cnichain.api.chainnode import Desired, NodeSpec, NodeState, node_spec_from_wire
from cnichain.api.names import SKIP_NODE_ANNOTATION
from cnichain.api.objects import ObjectKey
from cnichain.plan.inventory import KEPT_KINDS, Inventory, removal_rank
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, in_scope
from cnichain.render.stages import Stage

DEFAULT_DEADLINE = timedelta(minutes=10)

Order = Callable[[Iterable[ObjectKey]], Sequence[Sequence[ObjectKey]]]
"""Splits the objects of one stage into parts, in order of removal; each must be gone before the next is deleted."""


def by_kind(keys: Iterable[ObjectKey]) -> list[list[ObjectKey]]:
    """The usual order: workloads, then what they read, then RBAC."""
    parts: list[list[ObjectKey]] = [[], [], []]
    for key in sorted(keys):
        parts[removal_rank(key.kind)].append(key)
    return [part for part in parts if part]


ORDERS: Mapping[str, Order] = {}
"""Stages with an order of their own, by name: where an object's controller must outlive it, so that it can finish."""


@dataclass(frozen=True)
class Wishes:
    """What a CNIChain that is being deleted asks for.

    Read key by key and leniently: a spec that this release would refuse must not keep anyone from deleting it, and
    whatever does not clearly say Uninstall means Retain. skip: nodes that are not to be waited for.
    """

    uninstall: bool
    suspend: bool
    selector: Mapping[str, str]
    deadline: timedelta
    skip: frozenset[str]


def wishes_of(chain: Mapping[str, Any]) -> Wishes:
    """The wishes of a CNIChain as the API serves it."""
    spec = _mapping(chain.get("spec"))
    selector = _mapping(_mapping(spec.get("nodes")).get("selector"))
    deadline = parse_duration(str(_mapping(spec.get("rollout")).get("progressDeadline", "")))
    skip = str(_mapping(chain["metadata"].get("annotations")).get(SKIP_NODE_ANNOTATION, ""))
    return Wishes(
        uninstall=spec.get("deletionPolicy") == DeletionPolicy.UNINSTALL.value,
        suspend=spec.get("suspend") is True,
        selector={str(key): str(value) for key, value in selector.items()},
        deadline=deadline or DEFAULT_DEADLINE,
        skip=frozenset(name.strip() for name in skip.split(",") if name.strip()),
    )


@dataclass(frozen=True)
class Batch:
    """Objects of one stage that are deleted together."""

    stage: str
    keys: tuple[ObjectKey, ...]


def batches(inventory: Inventory) -> list[Batch]:
    """Everything that goes, in order: stages in reverse, those of a newer release first. CRDs and namespaces stay."""
    by_stage: dict[str, list[ObjectKey]] = {}
    for key, entry in inventory.items():
        if key.kind not in KEPT_KINDS:
            by_stage.setdefault(entry.stage, []).append(key)
    known = [stage.value for stage in reversed(Stage)]
    names = sorted(set(by_stage) - set(known)) + [name for name in known if name in by_stage]
    return [Batch(name, tuple(part)) for name in names for part in ORDERS.get(name, by_kind)(by_stage[name])]


def kept(inventory: Inventory) -> list[ObjectKey]:
    """What stays on purpose."""
    return sorted(key for key in inventory if key.kind in KEPT_KINDS)


def may_get_cilium(inventory: Inventory) -> bool:
    """Whether a node that joins may still get a Cilium pod, which would write the chained conflist there."""
    return any(key.kind == "DaemonSet" for key in inventory)


@dataclass(frozen=True)
class NodesLeft:
    """Where the nodes are on their way back to the primary CNI alone.

    done: nodes that run it, verified. waiting: the others, and why. skipped: those a person has given up. unknown:
    names to skip that no node has.
    """

    done: tuple[str, ...]
    waiting: Mapping[str, str]
    skipped: tuple[str, ...]
    unknown: tuple[str, ...]


def concerned(
    nodes: Mapping[str, NodeRecord],
    reports: Mapping[str, ChainNodeRecord],
    selector: Mapping[str, str],
    *,
    joining: bool,
) -> dict[str, NodeRecord]:
    """The nodes that must be without the chain: those that were told to have it, and, while `joining`, all in scope.

    A CNIChainNode whose Node is gone counts for nothing: there is no node to restore.
    """
    return {name: node for name, node in nodes.items() if name in reports or (joining and in_scope(node, selector))}


def nodes_left(
    nodes: Mapping[str, NodeRecord], reports: Mapping[str, ChainNodeRecord], skip: Iterable[str]
) -> NodesLeft:
    """How far the concerned nodes are."""
    skipped = {name for name in skip if name in nodes}
    waiting: dict[str, str] = {}
    for name, node in sorted(nodes.items()):
        if name not in skipped and (why := _why_waiting(node, reports.get(name))):
            waiting[name] = why
    done = tuple(sorted(set(nodes) - skipped - set(waiting)))
    return NodesLeft(done, waiting, tuple(sorted(skipped)), tuple(sorted(set(skip) - skipped)))


def _why_waiting(node: NodeRecord, report: ChainNodeRecord | None) -> str:
    if report is None or report.node_uid != node.uid or not report.state:
        return "no report from its agent yet"
    if report.spec.get("desired") != Desired.UNCHAINED.value or report.observed_generation < report.generation:
        return "its agent has not answered yet"
    if report.state != NodeState.UNCHAINED.value or not report.ready:
        return f"{report.state}: {report.reason}: {report.message}".rstrip(": ")
    return ""


def node_wish(report: ChainNodeRecord | None, reports: Mapping[str, ChainNodeRecord], *, frozen: bool) -> NodeSpec:
    """What a node should have while the chain is taken off, or, when frozen, as far as it was told already.

    A node that has no CNIChainNode yet takes over what the others were told, such as the name of the conflist.
    """
    given = report or next(iter(reports.values()), None)
    try:
        spec = node_spec_from_wire(given.spec) if given is not None else NodeSpec()
    except ValueError:
        spec = NodeSpec()  # of a newer release; its agent goes back to the primary by the defaults just as well
    return replace(spec, frozen=frozen, desired=spec.desired if frozen else Desired.UNCHAINED)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
