"""What a pass found and did, as it gathers it: the input of conditions, status and events. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from cnichain.api.chainstatus import NodesStatus, PreflightStatus
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.api.rolloutstatus import RejectedStatus
from cnichain.catalogue.load import InForce
from cnichain.reconcile.verdict import Verdict
from cnichain.render.stages import Stage


class Type(StrEnum):
    """Condition types of a CNIChain, in the order they are shown."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PREFLIGHT_PASSED = "PreflightPassed"
    CILIUM_READY = "CiliumReady"
    CHAIN_READY = "ChainReady"
    HUBBLE_READY = "HubbleReady"
    CALICO_READY = "CalicoReady"
    PODS_MANAGED = "PodsManaged"
    DRIFTED = "Drifted"
    ROLLING_OUT = "RollingOut"
    ROLLED_BACK = "RolledBack"
    CATALOGUE_VALID = "CatalogueValid"


NEEDED = (Type.PREFLIGHT_PASSED, Type.CILIUM_READY, Type.CHAIN_READY, Type.HUBBLE_READY, Type.CALICO_READY)
"""What must hold for the chain to be Ready; Calico where it is on."""


@dataclass(frozen=True)
class StageReport:
    """One stage as a pass left it. waiting_for: what its gate still waits for, empty when it is healthy.

    reason: what kind of wait it is.
    """

    waiting_for: str = ""
    reason: Reason = Reason.WAITING_FOR_HEALTH


@dataclass(frozen=True)
class Removal:
    """How far an uninstallation is. nodes: how many nodes are back at the primary alone, in words."""

    reason: Reason
    message: str
    nodes: str


@dataclass(frozen=True)
class Hold:
    """Why a plan is not applied: Paused or ApprovalRequired, and what to do about it."""

    reason: Reason
    message: str

    def about(self, more: str) -> "Hold":
        """The same with more to say."""
        return replace(self, message=self.message + more)


@dataclass
class Report:
    """What a pass saw and did, filled in as it goes.

    error stops the pass; error_in says which part it belongs to. overdue: the gate has waited past its deadline.
    findings: of preflight, but for what is fine; None when it did not get to look. refused: what preflight refuses
    while the chain that runs is kept as it is. calico: the version that spec asks for, "" when it is off, None while
    that is not known. soon: what is waited for comes in a moment, and nothing that is watched says so.
    hold: a plan is not applied. fight, mutated: objects that another writer, or admission, keeps from being as applied.
    look_again: seconds until the next correction in a fight is due. rotation_again: how long until a step of replacing
    the CA may be over, None when it is not being replaced. coverage: what PodsManaged says, None to leave it as it is.
    node_states: how many nodes in scope are in each state, None when the pass did not get to look at them.
    """

    generation: int
    catalogue: InForce | None = None
    preflight: str = ""
    findings: list[PreflightStatus] | None = None
    refused: ChainError | None = None
    stages: dict[Stage, StageReport] = field(default_factory=dict)
    current: Stage | None = None
    nodes: NodesStatus | None = None
    node_states: Mapping[str, int] | None = None
    chained: str = ""
    drift: str = ""
    fight: str = ""
    mutated: str = ""
    look_again: float | None = None
    rotation_again: timedelta | None = None
    rollout_again: timedelta | None = None
    rejected: RejectedStatus | None = None
    rollback_failed: str = ""
    hold: Hold | None = None
    error: ChainError | None = None
    error_in: Type = Type.PREFLIGHT_PASSED
    overdue: bool = False
    suspended: bool = False
    removal: Removal | None = None
    calico: str | None = None
    soon: bool = False
    coverage: Verdict | None = None
