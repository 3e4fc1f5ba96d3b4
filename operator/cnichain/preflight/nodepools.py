"""NodePools of Karpenter: whether their nodes start closed to pods. Pure.

Source: Karpenter's NodePool (karpenter.sh/v1). Of a taint in `startupTaints` it knows that it is temporary; one in
`taints` it takes for lasting, and makes no node for a pod that does not tolerate it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnichain.api.names import STARTUP_TAINT
from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Finding, ok, warning
from cnichain.preflight.gathered import NodePoolSeen, known
from cnichain.preflight.subject import Subject

OS_LABEL = "kubernetes.io/os"
AUTO_MODE_GROUP = "eks.amazonaws.com"
"""The group of the NodeClasses of EKS Auto Mode, whose nodes are out of scope."""
PLACE = "spec.template.spec.startupTaints"
LABELS_LIMIT = 64
SHOWN = 5


def node_pools_seen(items: Iterable[Mapping[str, Any]]) -> tuple[NodePoolSeen, ...]:
    """The NodePools as preflight keeps them, sorted by name; those of EKS Auto Mode are left out."""
    return tuple(sorted((_seen(item) for item in items if not _is_of_auto_mode(item)), key=lambda pool: pool.name))


def _is_of_auto_mode(item: Mapping[str, Any]) -> bool:
    return bool((_template(item).get("nodeClassRef") or {}).get("group") == AUTO_MODE_GROUP)


def _template(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return ((item.get("spec") or {}).get("template") or {}).get("spec") or {}


def _seen(item: Mapping[str, Any]) -> NodePoolSeen:
    spec = _template(item)
    metadata = ((item.get("spec") or {}).get("template") or {}).get("metadata") or {}
    labels = {str(key): (str(value),) for key, value in (metadata.get("labels") or {}).items()}
    required = {
        str(one["key"]): tuple(map(str, one.get("values") or ()))
        for one in spec.get("requirements") or []
        if one.get("operator") == "In" and one.get("key")
    }
    return NodePoolSeen(
        name=str(item["metadata"]["name"]),
        starts_tainted=_has_taint(spec.get("startupTaints")),
        stays_tainted=_has_taint(spec.get("taints")),
        labels=dict(list((required | labels).items())[:LABELS_LIMIT]),
    )


def _has_taint(taints: Sequence[Mapping[str, Any]] | None) -> bool:
    return any(taint.get("key") == STARTUP_TAINT for taint in taints or [])


def check_node_pools(subject: Subject) -> Finding:
    """Karpenter's nodes take no pods before their chain is verified."""
    pools = known(subject.gathered.node_pools)
    if not subject.spec.nodes.startup_taint:
        return ok("spec.nodes.startupTaint is false.")
    scope = [pool for pool in pools if _may_be_in_scope(pool, subject.spec.nodes.selector)]
    if not scope:
        return ok("no NodePool of Karpenter's is in scope.")
    without = [pool.name for pool in scope if not pool.starts_tainted and not pool.stays_tainted]
    lasting = [pool.name for pool in scope if pool.stays_tainted]
    said = []
    if without:
        said.append(
            f"{_named(without)} without the taint {STARTUP_TAINT} in {PLACE}: pods start on new nodes before the chain "
            "is verified there, past Cilium and its policies"
        )
    if lasting:
        said.append(
            f"{_named(lasting)} with the taint {STARTUP_TAINT} in spec.template.spec.taints: Karpenter takes it for a "
            "lasting one, and makes no node for pods that do not tolerate it"
        )
    if not said:
        return ok(f"all NodePools in scope ({len(scope)}) start their nodes with the taint.", PLACE)
    return warning(Reason.STARTUP_TAINT_MISSING, f"{'; '.join(said)}.", PLACE)


def _may_be_in_scope(pool: NodePoolSeen, selector: Mapping[str, str]) -> bool:
    """Whether a node of the pool can have the labels of nodes in scope; a label that it says nothing of can be any."""
    wanted = {**selector, OS_LABEL: "linux"}
    return all(value in pool.labels[key] for key, value in wanted.items() if key in pool.labels)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"NodePool{'s' if len(names) > 1 else ''} {', '.join(names[:SHOWN])}{more}"
