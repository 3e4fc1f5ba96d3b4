"""What a count of pods says: the condition PodsManaged, `status.pods`, and kubectl's column. Pure.

PodsManaged holds back no Ready: pods that are older than the chain are the normal state after an adoption, and whether
they may be restarted is their owners' business. The condition, the column and the metrics tell of them.
"""

from collections.abc import Iterable

from cnichain.api.podsstatus import EXAMPLES, GROUPS, PodsStatus
from cnichain.api.reasons import Reason
from cnichain.plan.coverage import MEANING, Cause, Coverage, Unmanaged
from cnichain.reconcile.verdict import Verdict

SHOWN = 3
TO_DO = {
    Cause.OLDER_THAN_CHAIN: "restart their workloads, or set spec.unmanagedPods.action to Restart",
    Cause.CHAIN_NOT_VERIFIED: "see ChainReady",
    Cause.AGENT_DOWN: "look at Cilium's pods on these nodes",
    Cause.SECURITY_GROUP_POD: "see docs/coverage.md before you restart them",
    Cause.UNKNOWN: "look at the Cilium agent's log on these nodes, then restart them",
}


def verdict(coverage: Coverage) -> Verdict:
    """The condition PodsManaged for a count."""
    if not coverage.unmanaged:
        return Verdict("True", Reason.ALL_MANAGED, "Every pod in scope has a CiliumEndpoint of its own.")
    parts = []
    for cause, number in coverage.by_cause.items():
        mine = [one for one in coverage.unmanaged if one.cause.value == cause]
        parts.append(f"{number} {cause} ({MEANING[Cause(cause)]}): {_names(mine)}; {TO_DO[Cause(cause)]}.")
    total = len(coverage.unmanaged)
    said = f"{total} {'pod is' if total == 1 else 'pods are'} not managed by Cilium. {' '.join(parts)}"
    return Verdict("False", Reason.UNMANAGED_PODS, said)


def as_status(coverage: Coverage) -> PodsStatus:
    """`status.pods` for a count."""
    return PodsStatus(
        managed=coverage.managed,
        unmanaged=len(coverage.unmanaged),
        by_cause=coverage.by_cause,
        by_node=coverage.by_node(GROUPS),
        by_namespace=coverage.by_namespace(GROUPS),
        examples=[example(one) for one in coverage.unmanaged[:EXAMPLES]],
        out_of_scope=sum(coverage.out_of_scope.values()),
        out_of_scope_by_kind=dict(coverage.out_of_scope),
    )


def example(one: Unmanaged) -> str:
    """One unmanaged pod in words."""
    pod = one.pod
    owner = f"{pod.workload.kind} {pod.workload.name}" if pod.workload.kind else "no owner"
    return f"{pod.namespace}/{pod.name} on {pod.node}: {one.cause.value}, {owner}"


def _names(mine: Iterable[Unmanaged]) -> str:
    names = [f"{one.pod.namespace}/{one.pod.name}" for one in mine]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
