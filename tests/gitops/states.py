"""Every state that the operator and the agent can write, made by their own code."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.gitops.conftest import Object

from cnichain.api.chainnode import Condition, to_wire
from cnichain.api.chainstatus import NodesStatus
from cnichain.api.errors import ChainError
from cnichain.api.names import API_VERSION, KIND_CHAIN, KIND_NODE
from cnichain.api.reasons import Reason
from cnichain.api.rolloutstatus import RejectedStatus
from cnichain.node.ciliumhealth import Health
from cnichain.node.decision import Decision
from cnichain.node.state import Memory
from cnichain.node.status import Seen, build, with_ready
from cnichain.reconcile.conditions import conditions, starting
from cnichain.reconcile.report import Hold, Removal, Report, StageReport
from cnichain.render.stages import Stage

GENERATION = 2
T1, T2, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z", "2026-01-01T01:00:00Z"
ALL = NodesStatus(in_scope=3, verified=3, summary="3/3")
SOME = NodesStatus(in_scope=3, verified=2, summary="2/3", not_verified=["node-c: WaitPrimary: no conflist yet"])
SPEC = {"cilium": {"version": "1.17.3"}}


def report(**changes: Any) -> Report:
    """A pass that found all well, but for the changes."""
    well = Report(
        generation=GENERATION, preflight="Nothing stands in the way.", nodes=ALL, chained="aws-cni, cilium-cni on 3/3."
    )
    well.calico = ""
    well.stages = {stage: StageReport() for stage in (Stage.CONFIG, Stage.OPERATOR, Stage.AGENTS, Stage.HUBBLE)}
    return replace(well, **changes)


def waiting(stage: Stage, reason: Reason = Reason.WAITING_FOR_HEALTH, **changes: Any) -> Report:
    """A pass that a stage has ended."""
    one = report(current=stage, **changes)
    one.stages[stage] = StageReport("DaemonSet kube-system/cilium: 2 of 3 pods available", reason)
    return one


def removing(reason: Reason) -> Report:
    """A pass of an uninstallation."""
    return report(
        removal=Removal(reason, "Stage nodes: node-c still has the chain.", "2/3 nodes run the primary alone.")
    )


def failing(reason: Reason, **changes: Any) -> Report:
    """A pass that an error has ended. Nothing beyond it is known."""
    return Report(generation=GENERATION, error=ChainError(reason, "what and where."), **changes)


def ready_before(generation: int = GENERATION) -> list[Condition]:
    """The conditions of a chain that was Ready."""
    return conditions(replace(report(), generation=generation), [], T1)


def chain(
    written: Iterable[Condition], *, generation: int = GENERATION, observed: int = GENERATION, deleting: bool = False
) -> Object:
    """A CNIChain with the conditions as StatusWriter sends them."""
    status = {"observedGeneration": observed, "conditions": to_wire(list(written))}
    return {**unseen_chain(generation, deleting=deleting), "status": status}


def unseen_chain(generation: int = 1, *, deleting: bool = False) -> Object:
    """A CNIChain without any status."""
    metadata: Object = {"name": "default", "generation": generation}
    if deleting:
        metadata |= {"deletionTimestamp": T1, "finalizers": ["cnichain.io/finalizer"]}
    return {"apiVersion": API_VERSION, "kind": KIND_CHAIN, "metadata": metadata, "spec": SPEC}


def after(pass_: Report, before: Iterable[Condition] = (), *, now: str = T2, deleting: bool = False) -> Object:
    """A CNIChain after a pass."""
    return chain(conditions(pass_, before, now), generation=pass_.generation, deleting=deleting)


def first_patch(before: Iterable[Condition] = ()) -> Object:
    """A CNIChain that the operator has just seen."""
    return chain(starting(GENERATION, before, T2))


def held(reason: Reason) -> Report:
    """A pass whose plan waits for a person."""
    return report(hold=Hold(reason, "Plan 3f2a waits."))


def rejected(action: str, **changes: Any) -> Report:
    """A pass after a change that has failed. action: what was done about it."""
    failure = RejectedStatus(
        content="0a1b", cilium="1.17.18", reason=Reason.AGENT_CRASHED.value, message="node-a: pod cilium-x crashes",
        action=action, back_to="1.17.3" if action == "RolledBack" else "",
    )  # fmt: skip
    one = report(rejected=failure)
    for stage, said in changes.pop("stages", {}).items():
        one.stages[stage] = said
    return replace(one, **changes)


def node(decision: Decision, *, generation: int = 1, observed: int = 1, deleting: bool = False) -> Object:
    """A CNIChainNode as its agent reports a decision."""
    seen = Seen(
        folder=None, effective=None, binaries=frozenset(), generation=observed, conflist_file="05-cilium.conflist",
        cilium=Health.GOOD, runtime=None, note="", version="0", uid="",
    )  # fmt: skip
    status = build(decision, seen, with_ready(Memory(), decision, T1), aside=())
    return {**unseen_node(generation, deleting=deleting), "status": to_wire(status)}


def unseen_node(generation: int = 1, *, deleting: bool = False) -> Object:
    """A CNIChainNode that no agent has reported on."""
    metadata: Object = {"name": "node-a", "generation": generation}
    if deleting:
        metadata |= {"deletionTimestamp": T1, "finalizers": ["cnichain.io/node"]}
    return {"apiVersion": API_VERSION, "kind": KIND_NODE, "metadata": metadata, "spec": {"desired": "Chained"}}
