"""The gate on pods that Cilium does not manage: which of them a change has brought. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from cnichain.plan.coverage import Cause, Unmanaged

BROUGHT_BY_CHANGE = Cause.UNKNOWN
"""The one cause that counts on a node whose agent is Ready and whose chain is verified: its pod started after that.

Pods from before the chain are normal. And a pod that was last counted while the agent was down or the chain was not
verified says nothing: the count is older than the node's state, and the next one tells the pod's real cause. On a node
that gets its first chain every pod is found so for a while.
"""


def unmanaged_by_node(found: Iterable[Unmanaged]) -> Counter[str]:
    """How many pods each node has that got no endpoint although everything was there for it. found: a whole count."""
    return Counter(one.pod.node for one in found if one.cause is BROUGHT_BY_CHANGE)


def unmanaged_alarms(before: Mapping[str, int], now: Mapping[str, int], nodes: Iterable[str]) -> dict[str, str]:
    """What got worse, in words, by node. before, now: of unmanaged_by_node. nodes: those that have the change."""
    more = {name: now.get(name, 0) - before.get(name, 0) for name in nodes}
    return {
        name: f"{count} more pods than before the change run without Cilium; `cnichain unmanaged` names them"
        for name, count in more.items()
        if count > 0
    }
