"""The nodes of a rollout, sorted by how far they are. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cnichain.rollout.nodes import NodeSituation, Step
from cnichain.rollout.order import spread


@dataclass(frozen=True)
class Target:
    """What every node should have. digest: of all of it. templates: digest of the pod template of each DaemonSet.

    back: it is the way back to the last good revision, which neither soaks nor is gated.
    """

    digest: str
    templates: Mapping[str, str]
    back: bool = False


@dataclass(frozen=True)
class View:
    """The nodes, sorted by how far they are. Those that cannot be reached are `away`, unless they have the change;
    those that were given it and are late are `behind`."""

    target: Target
    nodes: Sequence[NodeSituation]
    fresh: list[NodeSituation] = field(default_factory=list)
    outdated: list[NodeSituation] = field(default_factory=list)
    moving: list[NodeSituation] = field(default_factory=list)
    current: list[NodeSituation] = field(default_factory=list)
    away: list[NodeSituation] = field(default_factory=list)
    behind: list[NodeSituation] = field(default_factory=list)

    @cached_property
    def pending(self) -> list[NodeSituation]:
        """Nodes that can be given the change, each zone in turn; what is down is counted to its zone already."""
        return [*spread(self.fresh, self._down), *spread(self.outdated, self._down)]

    @property
    def unavailable(self) -> list[str]:
        """Nodes of the chain that serve no pods well now."""
        return [node.name for node in self._down]

    @cached_property
    def _down(self) -> list[NodeSituation]:
        return [node for node in self.nodes if node.opened and not node.available(self.target.templates)]


def view_of(nodes: Sequence[NodeSituation], target: Target, behind: Collection[str]) -> View:
    """The view of nodes on their way to a target. behind: names of those that were late before."""
    view = View(target, nodes)
    into = {Step.FRESH: view.fresh, Step.OUTDATED: view.outdated, Step.MOVING: view.moving, Step.CURRENT: view.current}
    for node in sorted(nodes, key=lambda node: node.name):
        step = node.step(target.templates)
        late = step is Step.MOVING and node.name in behind
        (view.behind if late else into[step] if node.reachable or step is Step.CURRENT else view.away).append(node)
    return view
