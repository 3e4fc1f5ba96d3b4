"""In which order nodes get a change: spread over zones, and over node pools within them. Pure."""

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from cnichain.rollout.nodes import NodeSituation

ZONE_LABEL = "topology.kubernetes.io/zone"
POOL_LABELS = (
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "kops.k8s.io/instancegroup",
)
"""Labels that say which pool a node is of; the first that a node has counts."""


def pool_of(labels: Mapping[str, str]) -> str:
    """The node pool that a node is of, "" when it is of none that is known."""
    for key in POOL_LABELS:
        if key in labels:
            return labels[key]
    return ""


def spread(nodes: Iterable[NodeSituation], down: Iterable[NodeSituation] = ()) -> list[NodeSituation]:
    """The nodes in an order that takes from each zone in turn, and within a zone from each pool in turn.

    The first n of them, for any n, are of as many zones as can be, so that no zone loses more than its share; nodes
    that are `down` already are counted to the share of their zone. Of zones that have lost as many, the one with most
    nodes left comes first: else the odd nodes of each wave would be of the same zones, and the last waves of the zone
    that is left. The same nodes come in the same order.
    """
    zones: dict[str, dict[str, list[NodeSituation]]] = {}
    for node in sorted(nodes, key=lambda node: node.name):
        zones.setdefault(node.zone, {}).setdefault(node.pool, []).append(node)
    left = {zone: deque(_in_turn([pools[pool] for pool in sorted(pools)])) for zone, pools in sorted(zones.items())}
    lost = Counter(node.zone for node in down)
    order: list[NodeSituation] = []
    while left:
        zone = min(left, key=lambda zone: (lost[zone], -len(left[zone])))
        order.append(left[zone].popleft())
        lost[zone] += 1
        if not left[zone]:
            del left[zone]
    return order


def budget(max_unavailable: str, nodes: int) -> int:
    """How many of `nodes` may be unavailable at once: `10%` of them, rounded down, or a count; at least one."""
    if max_unavailable.endswith("%"):
        return max(1, nodes * int(max_unavailable[:-1]) // 100)
    return max(1, int(max_unavailable))


def _in_turn(lists: Sequence[Sequence[NodeSituation]]) -> list[NodeSituation]:
    rounds = itertools.zip_longest(*lists)
    return [node for one in rounds for node in one if node is not None]
