"""What a CNIChain's `status` holds: pydantic models, written by the operator alone. The CRD is generated from them."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from cnichain.api.chainnode import Condition
from cnichain.api.model import STATUS_CONFIG
from cnichain.api.names import CONFLIST_FILE
from cnichain.api.overheadstatus import OverheadStatus
from cnichain.api.podsstatus import PodsStatus
from cnichain.api.rolloutstatus import RejectedStatus, RolloutStatus


class _Status(BaseModel):
    model_config = STATUS_CONFIG


class EffectiveStatus(_Status):
    """What is in force, with everything that spec left out filled in."""

    primary: str = ""
    """The primary CNI."""
    min_version: str = ""
    """The oldest version of the primary that is chained after."""
    hubble_metrics: Annotated[list[str], Field(max_length=16)] = []
    """Hubble's metric sets."""
    flow_export: str = ""
    """Which flows Hubble writes to files on the nodes: off, denied, verdicts or all."""
    policy_audit_mode: bool = False
    """Whether Cilium only reports what its policies deny, and drops nothing."""
    writer: str = ""
    """Who writes the chained conflist first."""
    conflist_file: str = CONFLIST_FILE
    """Name of the chained conflist on the nodes."""
    values_digest: str = ""
    """Digest of the values that the chart was rendered with."""
    policy_engine: str = ""
    """The engine that enforces NetworkPolicy. On the way to Calico it is Cilium until its agents are told otherwise."""
    on_cilium_down: str = ""
    """New pods while Cilium does not answer."""
    on_shadow: str = ""
    """What happens to a file that takes the chain's place."""
    startup_taint: bool = False
    """Whether the operator takes the startup taint off nodes whose chain is verified."""
    progress_deadline: str = ""
    """Time without progress after which a stage is reported as failing."""
    deletion_policy: str = ""
    """What deleting this resource does."""
    turned_off: Annotated[list[str], Field(max_length=16)] = []
    """Features of Cilium that it turns off by itself in a chain."""


class VersionsStatus(_Status):
    """Versions of the parts."""

    operator: str = ""
    """The operator that wrote this status."""
    primary: str = ""
    """The primary CNI in the cluster."""
    cilium: str = ""
    """The Cilium whose every stage is applied and healthy."""
    cilium_target: str = ""
    """The Cilium that spec asks for."""
    first_minor: str = ""
    """The minor of Cilium that was installed first here; the chart keeps its defaults (upgradeCompatibility)."""
    calico: str = ""
    """The Calico whose every stage is applied and healthy."""
    chart_digest: str = ""
    """sha256 of the chart archive."""
    chart_source: str = ""
    """Where the chart comes from: official, or stand-in when it is not Cilium's."""
    kubernetes: str = ""
    """The API server's version."""


class NodesStatus(_Status):
    """Counts of nodes."""

    in_scope: int = 0
    """Nodes that the chain is for."""
    verified: int = 0
    """Nodes whose chain is verified."""
    out_of_scope: int = 0
    """Nodes that the chain is not for."""
    out_of_scope_by_kind: Annotated[dict[str, int], Field(max_length=16)] = {}
    """The same by kind: Fargate, Auto Mode, hybrid, Windows, not selected."""
    summary: str = ""
    """verified/inScope, for kubectl's table."""
    not_verified: Annotated[list[str], Field(max_length=20)] = []
    """Some of the nodes that are not verified, with their state."""


class CertificatesStatus(_Status):
    """Certificates that the operator holds for Hubble."""

    not_after: str = ""
    """When the first of them expires."""
    ca_not_after: str = ""
    """When the CA that signs them expires."""
    rotation: str = ""
    """Step of a replacement of the CA: TrustBoth, then IssueNew; empty when there is none."""
    rotation_since: str = ""
    """When that step began."""


class WaitingStatus(_Status):
    """What is waited for. Kept here so that a restart of the operator does not start the deadline anew."""

    what: Annotated[str, Field(max_length=1024)] = ""
    """The gate that is not passed yet."""
    since: str = ""
    """Since when it is this, RFC 3339 in UTC. It moves with each step forward."""


class RevisionOutcome(StrEnum):
    """How a revision went."""

    PROGRESSING = "Progressing"
    DEPLOYED = "Deployed"
    SUPERSEDED = "Superseded"
    FAILED = "Failed"


class RevisionStatus(_Status):
    """One set of manifests that was rolled out."""

    number: int = 0
    """Counts up from 1."""
    generation: int = 0
    """metadata.generation that asked for it first."""
    cilium: str = ""
    """Cilium's version."""
    values_digest: str = ""
    """Digest of the chart's values."""
    chart_digest: str = ""
    """sha256 of the chart archive."""
    manifests_digest: str = ""
    """Digest of all manifests but Secrets."""
    started: str = ""
    """When its first object was to be applied, RFC 3339 in UTC."""
    finished: str = ""
    """When it ended the way that outcome says."""
    outcome: RevisionOutcome = RevisionOutcome.PROGRESSING
    """Deployed: applied and healthy. Superseded: another came before it was. Failed: a person has to act."""
    reason: Annotated[str, Field(max_length=64)] = ""
    """Reason code, if it failed."""


class InventoryStatus(_Status):
    """Where the list of applied objects is kept."""

    name: str = ""
    """Name of the ConfigMap."""
    namespace: str = ""
    """Its namespace."""
    objects: int = 0
    """How many objects it lists."""
    digest: str = ""
    """Digest of the list."""


class PreflightStatus(_Status):
    """What one check found before a change."""

    check: Annotated[str, Field(max_length=63)]
    """Code of the check."""
    level: Annotated[str, Field(pattern="^(warning|refused|unknown)$", max_length=7)]
    """warning stops nothing, refused stops the change, unknown could not be looked at."""
    reason: Annotated[str, Field(max_length=63)]
    """Reason code from the registry."""
    message: Annotated[str, Field(max_length=1024)]
    """What is so, and where."""


class AdoptionState(StrEnum):
    """How far the take-over of another installation is."""

    REQUIRED = "Required"
    ADOPTING = "Adopting"
    ADOPTED = "Adopted"


class AdoptionStatus(_Status):
    """A Cilium that somebody else has installed, and what became of it."""

    state: AdoptionState
    """Required: it waits for spec.adopt. Adopting: it is being taken over. Adopted: it is as a new installation."""
    installer: str = ""
    """What has installed it: helm, cilium-cli or kubectl."""
    release: str = ""
    """Namespace and name of helm's release."""
    version: str = ""
    """The version of Cilium that was found."""
    objects: int = 0
    """How many objects of it are taken over."""
    leftovers: int = 0
    """How many of its objects are not wanted any more, and deleted once the new state is healthy."""


class PlanState(StrEnum):
    """Where a plan stands."""

    PENDING = "Pending"
    APPLYING = "Applying"
    APPLIED = "Applied"


class PlanStatus(_Status):
    """The newest plan: what applying the spec changes in the cluster."""

    name: str = ""
    """Name of the ConfigMap that holds it."""
    namespace: str = ""
    """Its namespace."""
    digest: str = ""
    """Digest of the state that it leads to; what an approval names."""
    generation: int = 0
    """metadata.generation that it was made for."""
    state: PlanState = PlanState.PENDING
    """Pending while it is held, then Applying, then Applied."""
    create: int = 0
    """Objects to create."""
    change: int = 0
    """Objects to change or to replace."""
    prune: int = 0
    """Objects to delete."""
    rolls: Annotated[list[str], Field(max_length=20)] = []
    """Workloads whose pods restart."""


class CNIChainStatus(_Status):
    """What the chain is. Written by the operator alone."""

    observed_generation: int = 0
    """metadata.generation that this status is about."""
    conditions: Annotated[list[Condition], Field(max_length=32)] = []
    """Ready, Reconciling and Stalled (kstatus), and one for each part."""
    effective: EffectiveStatus | None = None
    """What is in force, with everything that spec left out filled in."""
    versions: VersionsStatus | None = None
    """Versions of the parts."""
    nodes: NodesStatus | None = None
    """Counts of nodes."""
    pods: PodsStatus | None = None
    """Pods in scope, by whether Cilium manages them."""
    preflight: Annotated[list[PreflightStatus], Field(max_length=64)] = []
    """What the checks before a change found, but for what is fine."""
    certificates: CertificatesStatus | None = None
    """Certificates that the operator holds."""
    inventory: InventoryStatus | None = None
    """Where the list of applied objects is kept."""
    waiting: WaitingStatus | None = None
    """What is waited for, and since when."""
    revisions: Annotated[list[RevisionStatus], Field(max_length=10)] = []
    """The last ten sets of manifests that were rolled out, the newest last."""
    adoption: AdoptionStatus | None = None
    """A Cilium that somebody else has installed, and what became of it."""
    plan: PlanStatus | None = None
    """The newest plan, by reference."""
    rollout: RolloutStatus | None = None
    """The newest change on its way over the nodes."""
    rejected: RejectedStatus | None = None
    """A change of this spec that failed, and is not tried again by itself."""
    overhead: OverheadStatus | None = None
    """What the chain costs: CPU, memory, and the time that pods take to start."""
    stage: str = ""
    """The stage that the operator is at."""
    hubble: str = ""
    """Hubble in one word, for kubectl's table."""
    unmanaged: str = ""
    """Pods in scope that Cilium does not manage, for kubectl's table."""


def parse_status(raw: Any) -> CNIChainStatus:
    """The status of a CNIChain as the API serves it; an empty one when it is of a form that this release cannot read.

    Everything in a status can be looked up anew, so one that a newer operator left must not stop an older one.
    """
    try:
        return CNIChainStatus.model_validate(raw)
    except ValidationError:
        return CNIChainStatus()
