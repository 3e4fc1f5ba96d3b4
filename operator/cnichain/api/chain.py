"""`CNIChain`: the one resource that users write. Pydantic models of its spec; the CRD is generated from them.

Two rules keep GitOps tools quiet: the operator never writes `spec`, and the schema has no defaults in spec. What a
left-out field means is decided here, in the models, and shown in `status.effective`.
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from cnichain.api.chainnode import OnCiliumDown, OnShadow, Writer
from cnichain.api.chainstatus import CNIChainStatus
from cnichain.api.errors import ChainError
from cnichain.api.flowexport import HubbleExport
from cnichain.api.model import SPEC_CONFIG, STATUS_CONFIG
from cnichain.api.names import API_VERSION, KIND_CHAIN
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason

VERSION_PATTERN = r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}$"
DURATION_PATTERN = r"^([0-9]{1,6}(h|m|s)){1,3}$"
COUNT_OR_PERCENT_PATTERN = r"^(100|[1-9]?[0-9])%$|^[1-9][0-9]{0,4}$"

Version = Annotated[str, Field(pattern=VERSION_PATTERN, max_length=14)]
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=21)]


class _Model(BaseModel):
    model_config = SPEC_CONFIG


class HubbleMetric(StrEnum):
    """A metric set of Hubble."""

    DNS = "dns"
    DROP = "drop"
    TCP = "tcp"
    FLOW = "flow"
    PORT_DISTRIBUTION = "port-distribution"
    ICMP = "icmp"
    HTTP = "http"


class PolicyEngine(StrEnum):
    """The one engine that enforces NetworkPolicy."""

    CILIUM = "Cilium"
    CALICO = "Calico"


class DeletionPolicy(StrEnum):
    """What deleting the CNIChain does to the cluster."""

    RETAIN = "Retain"
    UNINSTALL = "Uninstall"


class UnmanagedAction(StrEnum):
    """What to do about pods that Cilium does not manage."""

    REPORT = "Report"
    RESTART = "Restart"


class Approval(StrEnum):
    """Whether a plan is applied by itself."""

    AUTOMATIC = "Automatic"
    REQUIRED = "Required"


class PrimarySpec(_Model):
    """The CNI that the cluster keeps."""

    plugin: PrimaryPlugin = PrimaryPlugin.AWS_VPC_CNI
    """Which CNI it is. Left out: aws-vpc-cni."""
    min_version: Version | None = None
    """Oldest version of the primary to chain after. Left out: the catalogue's recommendation."""


class CiliumSpec(_Model):
    """The Cilium that is chained after the primary CNI."""

    version: Version
    """Exact version; the catalogue pins its chart's digest."""
    values: Annotated[dict[str, Any], Field(max_length=256)] = {}
    """Values of the official chart. Keys that the operator owns are refused by name."""


class Toggle(_Model):
    """A part that can be switched off."""

    enabled: bool = True
    """Left out: true."""


class DropEventsSpec(_Model):
    """Kubernetes events on pods whose packets a policy has dropped."""

    enabled: bool = False
    """Left out: false. Cilium calls it alpha."""
    interval: Duration = "2m"
    """The same event again after so long at the earliest. Left out: 2m."""


class HubbleSpec(_Model):
    """Hubble, Cilium's view of the flows."""

    relay: Toggle = Toggle()
    """Hubble Relay, the cluster-wide API."""
    ui: Toggle = Toggle()
    """Hubble UI; it needs the relay."""
    metrics: Annotated[list[HubbleMetric], Field(max_length=16)] = list(HubbleMetric)
    """Metric sets. Left out: all seven."""
    export: HubbleExport = HubbleExport()
    """Flow export for audit."""
    drop_events: DropEventsSpec = DropEventsSpec()
    """Kubernetes events on pods whose packets a policy has dropped. Left out: none."""


class CalicoSpec(_Model):
    """Calico as policy engine beside Cilium."""

    enabled: bool = False
    """Left out: false. With true, policyEngine must be Calico: Calico enforces wherever it runs."""
    version: Version | None = None
    """Exact version of Calico."""
    container_ip_forwarding: Annotated[str, Field(alias="containerIPForwarding", pattern="^(Enabled|Disabled)$")] = (
        "Enabled"
    )
    """Whether containers may forward packets, where Calico's own CNI plugin is used. After aws-vpc-cni it is not, and
    tigera-operator refuses an Installation that has the field, so it is not passed on."""


class ConflistSpec(_Model):
    """The chained conflist on every node."""

    writer: Writer = Writer.CILIUM
    """Who writes 05-cilium.conflist first; the agent guards it in both cases. Left out: Cilium."""
    on_cilium_down: OnCiliumDown = OnCiliumDown.CLOSED
    """New pods while Cilium does not answer: refused (Closed) or let in by the primary alone (Open)."""
    on_shadow: OnShadow = OnShadow.SET_ASIDE
    """A file that comes later and takes the chain's place: set aside (SetAside), or only reported (Report)."""


class NodesSpec(_Model):
    """Which nodes are in scope."""

    selector: Annotated[
        dict[
            Annotated[str, Field(max_length=317)],
            Annotated[str, Field(max_length=63)],
        ],
        Field(max_length=32),
    ] = {}
    """Labels that a node must have. Left out: every Linux node on EC2."""
    startup_taint: bool = True
    """Keep new nodes closed to pods until their chain is verified."""


class CanarySpec(_Model):
    """The first nodes of a change."""

    nodes: Annotated[int, Field(ge=0, le=1000)] = 1
    """How many. Left out: 1."""
    soak: Duration = "2m"
    """How long they must stay well before the rest follows."""


class ProbeSpec(_Model):
    """A pod of the operator's own on each node that a change has reached, before the next node gets it."""

    enabled: bool = False
    """Left out: false."""
    image: Annotated[str, Field(max_length=512)] = ""
    """An image with the program `sleep`. Left out: Cilium's own, which is on the node already."""


class RolloutSpec(_Model):
    """How a change reaches the nodes."""

    canary: CanarySpec = CanarySpec()
    """The first nodes of a change."""
    max_unavailable: Annotated[str, Field(pattern=COUNT_OR_PERCENT_PATTERN, max_length=5)] = "10%"
    """Nodes of a wave that may be down at once: a count or a percentage, as a string."""
    paused: bool = False
    """Hold the rollout where it is."""
    approval: Approval = Approval.AUTOMATIC
    """Required: a plan waits until the annotation cnichain.io/approved-plan has its digest. Left out: Automatic."""
    probe: ProbeSpec = ProbeSpec()
    """Whether a new pod on each changed node must get a network that Cilium manages. Left out: no."""
    auto_rollback: bool = True
    """Go back to the last good revision when a change fails."""
    progress_deadline: Duration = "10m"
    """Time without progress after which a stage is reported as failing."""


class UnmanagedPodsSpec(_Model):
    """Pods in scope that Cilium does not manage."""

    action: UnmanagedAction = UnmanagedAction.REPORT
    """Report them, or restart them within a budget. Left out: Report."""
    max_unavailable: Annotated[int, Field(ge=1, le=3)] = 1
    """With Restart: pods of one Deployment or StatefulSet that may be down at once. Left out: 1. PodDisruptionBudgets
    hold besides. DaemonSets and the cluster's DNS always go one by one."""


class CNIChainSpec(_Model):
    """What the chain should be."""

    primary: PrimarySpec = PrimarySpec()
    """The CNI that the cluster keeps."""
    cilium: CiliumSpec
    """The Cilium that is chained after it."""
    hubble: HubbleSpec = HubbleSpec()
    """Hubble, Cilium's view of the flows."""
    calico: CalicoSpec = CalicoSpec()
    """Calico as policy engine beside Cilium."""
    policy_engine: PolicyEngine = PolicyEngine.CILIUM
    """The one engine that enforces NetworkPolicy. Left out: Cilium."""
    policy_audit_mode: bool = False
    """While true Cilium drops NOTHING because of a policy and only says what it would drop. Left out: false."""
    conflist: ConflistSpec = ConflistSpec()
    """The chained conflist on every node."""
    nodes: NodesSpec = NodesSpec()
    """Which nodes are in scope."""
    rollout: RolloutSpec = RolloutSpec()
    """How a change reaches the nodes."""
    unmanaged_pods: UnmanagedPodsSpec = UnmanagedPodsSpec()
    """Pods in scope that Cilium does not manage."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """What deleting this resource does. Left out: Retain, everything keeps running."""
    adopt: bool = False
    """Take over a Cilium that helm, cilium-cli or kubectl has installed. Left out: false, it is refused by name."""
    suspend: bool = False
    """While true the operator looks and reports, and changes nothing."""


class CNIChain(_Model):
    """A CNI chain: the cluster's primary CNI, and Cilium and Hubble after it."""

    model_config = STATUS_CONFIG

    api_version: str = API_VERSION
    kind: str = KIND_CHAIN
    metadata: dict[str, Any]
    spec: CNIChainSpec
    status: CNIChainStatus | None = None


def parse_spec(raw: Any) -> CNIChainSpec:
    """The spec of a CNIChain as the API serves it.

    Raises ChainError(SpecInvalid) that names every field that is wrong. The API server has checked the schema
    already; this catches an object that an older or looser schema let in.
    """
    try:
        return CNIChainSpec.model_validate(raw)
    except ValidationError as error:
        found = "; ".join(
            f"spec.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ChainError(Reason.SPEC_INVALID, f"{found}.") from error


def parse_duration(text: str) -> timedelta:
    """`1h30m`, `2m`, `90s` (DURATION_PATTERN) as a timedelta."""
    seconds = {"h": 3600, "m": 60, "s": 1}
    return timedelta(seconds=sum(int(count) * seconds[unit] for count, unit in re.findall(r"([0-9]+)([hms])", text)))
