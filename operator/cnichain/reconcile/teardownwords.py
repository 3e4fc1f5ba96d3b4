"""What a person is told about a deletion: what is waited for, what to do, and what stays. Pure."""

from collections.abc import Mapping, Sequence

from cnichain.api.chainnode import Desired
from cnichain.api.names import SKIP_NODE_ANNOTATION, SYSTEM_NAMESPACE
from cnichain.api.objects import ObjectKey
from cnichain.plan.inventory import KEPT_KINDS, Inventory
from cnichain.plan.nodes import ChainNodeRecord
from cnichain.plan.removal import NodesLeft
from cnichain.render.stages import WORKLOAD_KINDS

SHOWN = 5
PAGE = "docs/uninstall.md"


def how_far(left: NodesLeft) -> str:
    """How many nodes are back."""
    total = len(left.done) + len(left.waiting)
    skipped = f", {len(left.skipped)} skipped" if left.skipped else ""
    return f"{len(left.done)}/{total} nodes run the primary CNI alone{skipped}."


def nodes_waiting(left: NodesLeft, chain: str) -> tuple[str, str]:
    """Which nodes are waited for and why; and what to do when it takes too long."""
    shown = "; ".join(f"{name}: {why}" for name, why in list(left.waiting.items())[:SHOWN])
    more = f"; and {len(left.waiting) - SHOWN} more" if len(left.waiting) > SHOWN else ""
    said = f"{how_far(left)} Waiting for {shown}{more}."
    if left.unknown:
        said += f" {SKIP_NODE_ANNOTATION} names {_list(left.unknown)}, which nothing waits for."
    first = next(iter(left.waiting), "")
    names = ",".join([*left.skipped, *left.waiting])
    advice = (
        f"Look at the agent there: kubectl -n {SYSTEM_NAMESPACE} get pods -o wide --field-selector "
        f"spec.nodeName={first}. If the machine is gone: kubectl delete node {first}. To go on without these nodes: "
        f"kubectl annotate cnichain {chain} --overwrite {SKIP_NODE_ANNOTATION}={names} (see {PAGE})."
    )
    return said, advice


def objects_waiting(remaining: Sequence[ObjectKey]) -> tuple[str, str]:
    """Which objects are being deleted; and what to do when it takes too long."""
    said = f"{len(remaining)} objects are being deleted: {_list([str(key) for key in remaining])}."
    return (
        said,
        f"Look at metadata.finalizers of these objects, and at the controller that has to take them off ({PAGE}).",
    )


def retained(inventory: Inventory, reports: Mapping[str, ChainNodeRecord]) -> str:
    """What keeps running after a deletion with Retain."""
    workloads = sorted(f"{key.kind} {key.namespace}/{key.name}" for key in inventory if key.kind in WORKLOAD_KINDS)
    others = len(inventory) - len(workloads)
    running = f"{_list(workloads, 8)} and {others} more objects keep running as they are." if inventory else ""
    chained = [name for name, one in reports.items() if one.spec.get("desired") != Desired.UNCHAINED.value]
    back = sorted(set(reports) - set(chained))
    said = f"Deleted with deletionPolicy Retain. {running}"
    if chained and all(reports[name].spec.get("frozen") for name in chained):
        said += f" The agents of {len(chained)} nodes stay frozen, since spec.suspend was true: they change no file."
    elif chained:
        said += f" The agents keep guarding the chain on {len(chained)} nodes."
    if back:
        said += f" Already back at the primary CNI alone: {_list(back)}; an uninstallation was stopped there."
    return (
        f"{said} Nothing is corrected or upgraded any more. Apply a CNIChain to take everything back into care; to "
        f"remove it, see {PAGE}."
    )


def uninstalled(left: NodesLeft, stays: Sequence[ObjectKey], crds: Sequence[str]) -> str:
    """What was done and what is left; crds: those of Cilium, which cilium-operator has made."""
    remains = [f"{key.kind} {key.name}" for key in stays if key.kind in KEPT_KINDS]
    if crds:
        remains.append(f"{len(crds)} CustomResourceDefinitions of Cilium, with all policies")
    remains.append("cilium-cni in the CNI binary folder of each node")
    skipped = (
        f" Skipped, and perhaps still with the chain: {_list(left.skipped)}; their CNIChainNodes stay, so that their "
        "agents take it off when they come back."
        if left.skipped
        else ""
    )
    return (
        f"Uninstalled. {len(left.done)} nodes run the primary CNI alone, verified.{skipped} Left on purpose: "
        f"{'; '.join(remains)} (commands: {PAGE}). Pods that were started under Cilium keep its BPF programs, with the "
        "policies of that time, until they are restarted: restart them, or drain the nodes one by one."
    )


def _list(names: Sequence[str], shown: int = SHOWN) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"
