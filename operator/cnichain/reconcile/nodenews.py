"""Events about nodes: what a person wants to hear of when it happens on a node, and when it is over. Pure."""

from collections.abc import Mapping

from cnichain.api.reasons import Reason
from cnichain.plan.nodes import ChainNodeRecord

TOLD = {
    Reason.CILIUM_DOWN_OPEN: "runs the primary CNI alone: Cilium does not answer there, and onCiliumDown is Open",
    Reason.CILIUM_DOWN_CLOSED: "starts no new pods: Cilium does not answer there, and onCiliumDown is Closed",
    Reason.CONFLIST_SHADOWED: "starts pods without policy: another file stands before the chained conflist",
    Reason.CONFLIST_CONFLICT: "holds back: another writer keeps changing the chained conflist",
}
"""Reasons of a node that are worth an event, and what they mean in words."""
SHOWN_NODES = 5

News = list[tuple[Reason, str]]


class NodeNews:
    """Remembers which nodes were told of, so that each change is told once.

    After a restart nothing is told again of what has been so before: the first look only remembers.
    """

    def __init__(self) -> None:
        self._told: dict[str, str] | None = None

    def news(self, reports: Mapping[str, ChainNodeRecord]) -> News:
        """The events to post for what has changed since the last look, one for each reason, with the nodes' names."""
        now = {name: report.reason for name, report in reports.items() if report.reason in TOLD}
        before, self._told = self._told, now
        if before is None:
            return []
        found: News = []
        for reason, meaning in TOLD.items():
            begun = sorted(name for name, value in now.items() if value == reason and before.get(name) != reason)
            if begun:
                found.append((reason, f"{_names(begun)} {meaning}."))
            over = sorted(name for name, value in before.items() if value == reason and now.get(name) != reason)
            well = [name for name in over if name in reports and reports[name].verified]
            if well:
                said = f"{_names(well)}: {reason} is over, the chain is verified again."
                found.append((Reason.CHAIN_VERIFIED, said))
        return found


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NODES} more" if len(names) > SHOWN_NODES else ""
    return f"{'Node' if len(names) == 1 else 'Nodes'} {', '.join(names[:SHOWN_NODES])}{more}"
