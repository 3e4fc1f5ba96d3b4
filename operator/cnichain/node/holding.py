"""What the agent keeps to itself for a moment, as the next look may put better news in its place. Pure.

A write for each node is what an adoption costs the API server most, and each wakes the operator. Only what is expected
is held back, for a time that depends on what it is, and what is over: a repair that is done. What is wrong is sent at
once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.chainnode import CiliumHealth, NodeState

_OF_A_REPAIR = frozenset({"repairs", "lastRepair", "lastWriter"})
"""Fields of a status that a repair changes, beside the times of its conditions."""


@dataclass(frozen=True)
class Holds:
    """Seconds for which a status is held back at most.

    runtime: the files are right, and the runtime, which is asked again at once, has not shown yet that it loaded them.
    cilium: a node that was never reported of waits for Cilium. The operator has just opened it for Cilium's pod, which
    brings what is missing; where that pod fails, the operator sees it in the pod. health: the chain is there for the
    first time, and Cilium, which starts just then, does not answer yet. The operator waits for its pod as well.
    repair: the chain stood and stands again. What breaks it on one node may do so on all of them at once, and thousands
    of agents that tell of it in the same second would keep the API server from everybody else: each takes a moment of
    its own within this time.
    """

    runtime: float = 2.0
    cilium: float = 20.0
    health: float = 10.0
    repair: float = 10.0

    def of(self, status: Mapping[str, Any], sent: Mapping[str, Any] | None) -> float:
        """Seconds for such a status, from the time on that the node is in this state; 0.0: it is sent at once.

        status: as it would be sent. sent: what the object says now, None or empty when nobody has reported yet.
        """
        state, before = status.get("state"), (sent or {}).get("state") or ""
        if state == NodeState.VERIFY:
            return self.runtime
        if state == NodeState.WAIT_CILIUM:
            return 0.0 if before else self.cilium
        is_new = state == NodeState.IN_SYNC and before in ("", NodeState.WAIT_CILIUM)
        return self.health if is_new and status.get("ciliumHealth") != CiliumHealth.HEALTHY else 0.0

    def spread(self, status: Mapping[str, Any], sent: Mapping[str, Any] | None) -> float:
        """Seconds within which an agent takes a moment of its own for such a status, from the time on that there is
        something to tell; 0.0: it is sent at once. status, sent: as above."""
        return self.repair if _is_repair(status, sent or {}) else 0.0


def _is_repair(status: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    """Whether all that has changed is that the chain was repaired."""
    is_well = status.get("state") == sent.get("state") == NodeState.IN_SYNC
    is_repaired = status.get("repairs") != sent.get("repairs")
    return is_well and is_repaired and _but_for_repairs(status) == _but_for_repairs(sent)


def _but_for_repairs(status: Mapping[str, Any]) -> dict[str, Any]:
    """What a repair leaves as it was."""
    rest = {name: value for name, value in status.items() if name not in _OF_A_REPAIR}
    conditions = rest.pop("conditions", None) or []
    return rest | {"conditions": [{**one, "lastTransitionTime": ""} for one in conditions]}


USUAL = Holds()
"""What agents do that ask Cilium for its health."""
UNASKED = Holds(health=0.0)
"""What agents do that do not."""
