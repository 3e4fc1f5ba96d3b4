"""`CNIChainNode`: what one node should have (`spec`, the operator's) and what it has (`status`, its agent's).

Plain dataclasses on purpose: the agent runs on every node and carries neither pydantic nor a Kubernetes client.
The CRD is generated from these same classes (`api/crd.py`), so agent, operator and schema cannot drift apart.
Field names are snake_case here and camelCase on the wire; `to_wire` and the `from_wire` functions translate.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform

from cnichain.api.primaries import PrimaryPlugin


@dataclass(frozen=True)
class _Limit:
    """A bound that the CRD states.

    It becomes the constraint of the same name of annotated_types, which pydantic reads, only when the schema is made:
    to import that package here would cost each node's agent 8 MB.
    """

    bound: int
    __is_annotated_types_grouped_metadata__: ClassVar = True

    def __iter__(self) -> Iterator[object]:
        import annotated_types  # noqa: PLC0415 - see above

        yield getattr(annotated_types, type(self).__name__)(self.bound)


class Ge(_Limit):
    """At least so much."""


class MaxLen(_Limit):
    """At most so many characters or entries."""


Digest = Annotated[str, MaxLen(71)]
"""`sha256:` and 64 hex digits, or empty when there is nothing to digest."""
FileName = Annotated[str, MaxLen(255)]
ShortText = Annotated[str, MaxLen(1024)]


T = TypeVar("T")


def camel(name: str) -> str:
    """snake_case to the camelCase of the Kubernetes API."""
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)


@dataclass_transform(frozen_default=True)
def wire(cls: type[T]) -> type[T]:
    """A frozen dataclass that pydantic, where it is there, reads with camelCase names and attribute docstrings."""
    cls.__pydantic_config__ = {"alias_generator": camel, "use_attribute_docstrings": True}  # type: ignore[attr-defined]
    return dataclass(frozen=True)(cls)


class NodeState(StrEnum):
    """State of the chain on one node (state machine: docs/architecture.md)."""

    UNKNOWN = "Unknown"
    WAIT_PRIMARY = "WaitPrimary"
    WAIT_CILIUM = "WaitCilium"
    PUBLISH = "Publish"
    VERIFY = "Verify"
    IN_SYNC = "InSync"
    DRIFT_SOURCE = "DriftSource"
    DRIFT_DEST = "DriftDest"
    SHADOWED = "Shadowed"
    RUNTIME_STALE = "RuntimeStale"
    CILIUM_DOWN = "CiliumDown"
    CONFLICT = "Conflict"
    FROZEN = "Frozen"
    UNINSTALLING = "Uninstalling"
    UNCHAINED = "Unchained"


class Desired(StrEnum):
    """What the operator wants of a node: the chain, or the primary CNI alone."""

    CHAINED = "Chained"
    UNCHAINED = "Unchained"


class Writer(StrEnum):
    """`spec.conflist.writer`: who writes the chained conflist first."""

    CILIUM = "Cilium"
    CNICHAIN = "CNIChain"


class OnCiliumDown(StrEnum):
    """`spec.conflist.onCiliumDown`: refuse new pods (Closed) or let them in by the primary alone (Open)."""

    CLOSED = "Closed"
    OPEN = "Open"


class OnShadow(StrEnum):
    """`spec.conflist.onShadow`: a file that takes the chain's place goes aside (SetAside) or is reported (Report)."""

    SET_ASIDE = "SetAside"
    REPORT = "Report"


class RuntimeView(StrEnum):
    """Whether the runtime has loaded the effective file; Unknown when it cannot be asked or does not tell."""

    VERIFIED = "Verified"
    STALE = "Stale"
    UNKNOWN = "Unknown"


class CiliumHealth(StrEnum):
    """Whether the node's cilium-agent answers its health check; Down after a grace time without a good answer."""

    HEALTHY = "Healthy"
    DOWN = "Down"
    UNKNOWN = "Unknown"


class LastWriter(StrEnum):
    """Who wrote the chained conflist last; Unknown without a file, or when the agent has lost its memory."""

    AGENT = "Agent"
    OTHER = "Other"
    UNKNOWN = "Unknown"


@wire
class CiliumEntry:
    """Parameters of the cilium-cni entry, as cilium-agent itself would write them."""

    enable_debug: bool = False
    """Cilium's own `debug` setting."""
    log_file: Annotated[str, MaxLen(4096)] = "/var/run/cilium/cilium-cni.log"
    """The chart's `cni.logFile`."""


@wire
class NodeSpec:
    """What this node should have. Written by the operator alone."""

    primary: PrimaryPlugin = PrimaryPlugin.AWS_VPC_CNI
    """The primary CNI whose conflist the chain is derived from."""
    desired: Desired = Desired.CHAINED
    """Chained, or Unchained when the node is to run the primary CNI alone."""
    conflist_file: FileName = "05-cilium.conflist"
    """Name of the chained conflist in the CNI configuration folder."""
    writer: Writer = Writer.CILIUM
    """Who writes the chained conflist first."""
    on_cilium_down: OnCiliumDown = OnCiliumDown.CLOSED
    """What happens to new pods while Cilium does not answer."""
    on_shadow: OnShadow = OnShadow.SET_ASIDE
    """What happens to a file that takes the chain's place."""
    frozen: bool = False
    """While true the agent reports and changes no file."""
    cilium: CiliumEntry = field(default_factory=CiliumEntry)
    """Parameters of the cilium-cni entry."""


@wire
class Repairs:
    """How often the agent has put the chain right since the node joined."""

    total: Annotated[int, Ge(0)] = 0
    """All of them, the first one included."""
    drifts: Annotated[int, Ge(0)] = 0
    """Those that put right what someone else had changed or removed."""
    by_cause: dict[str, int] = field(default_factory=dict)
    """By the state that called for the repair: Publish, DriftSource, DriftDest, Shadowed, CiliumDown."""


@wire
class LastRepair:
    """The newest repair."""

    time: Annotated[str, MaxLen(64)]
    """When it was done, RFC 3339 in UTC."""
    cause: Annotated[str, MaxLen(64)]
    """The state that called for it."""
    duration_milliseconds: Annotated[int, Ge(0)]
    """From the event, or the poll that found it, to the verified file."""
    previous_digest: Digest = ""
    """Digest of the file that was replaced or set aside; empty when there was none."""


@wire
class RuntimeReport:
    """What the container runtime itself says, over its socket."""

    name: Annotated[str, MaxLen(64)] = ""
    """Name and version; empty while it cannot be asked."""
    view: RuntimeView = RuntimeView.UNKNOWN
    """Whether it has loaded the effective file."""
    message: ShortText = ""
    """What differs, or why it is not known."""


@wire
class Condition:
    """A Kubernetes condition (meta/v1)."""

    type: Annotated[str, MaxLen(316)]
    """CamelCase name of the condition."""
    status: Annotated[str, MaxLen(7)]
    """True, False or Unknown."""
    reason: Annotated[str, MaxLen(1024)]
    """Reason code from the registry."""
    message: Annotated[str, MaxLen(32768)]
    """What is so, where, and what to do next."""
    last_transition_time: Annotated[str, MaxLen(64)]
    """When status last changed, RFC 3339 in UTC."""
    observed_generation: Annotated[int, Ge(0)] = 0
    """metadata.generation that this was observed for."""


@wire
class NodeStatus:
    """What this node has. Written by the node's agent alone."""

    observed_generation: Annotated[int, Ge(0)] = 0
    """metadata.generation of the spec that the agent acts on."""
    state: NodeState = NodeState.UNKNOWN
    """Where the node stands in the state machine."""
    reason: Annotated[str, MaxLen(64)] = ""
    """Reason code from the registry."""
    message: ShortText = ""
    """What is so, where, and what to do next."""
    effective_file: FileName = ""
    """The file that a container runtime picks now: the first in byte order."""
    network: Annotated[str, MaxLen(255)] = ""
    """The network name inside the effective file."""
    plugins: Annotated[list[str], MaxLen(64)] = field(default_factory=list)
    """Plugin types of the effective file, in chaining order."""
    chain: ShortText = ""
    """The same as one string, for kubectl's table."""
    source_file: FileName = ""
    """The primary's conflist that the chain is derived from."""
    source_digest: Digest = ""
    """Digest of the source file's bytes."""
    result_digest: Digest = ""
    """Digest of the chained conflist's bytes on disk."""
    last_writer: LastWriter = LastWriter.UNKNOWN
    """Who wrote the chained conflist last, as far as it can be known."""
    drop_ins: Annotated[list[FileName], MaxLen(32)] = field(default_factory=list)
    """Files that containerd 2.1 and newer append to the chain: <folder>/<network>/*.conf."""
    set_aside: Annotated[list[FileName], MaxLen(32)] = field(default_factory=list)
    """Files that took the chain's place and were set aside; kept in the agent's folder on the node, below aside/."""
    runtime: RuntimeReport = field(default_factory=RuntimeReport)
    """The runtime's own view."""
    cilium: Annotated[str, MaxLen(32)] = ""
    """Whether the cilium-cni binary is there: Installed or Missing."""
    cilium_health: CiliumHealth = CiliumHealth.UNKNOWN
    """Whether the node's cilium-agent answers its health check."""
    missing_binaries: Annotated[list[str], MaxLen(64)] = field(default_factory=list)
    """Plugin types of the chain that have no executable in the CNI binary folder."""
    repairs: Repairs = field(default_factory=Repairs)
    """Repairs done, by cause."""
    last_repair: LastRepair | None = None
    """The newest repair."""
    agent_version: Annotated[str, MaxLen(64)] = ""
    """Version of the agent that wrote this."""
    conditions: Annotated[list[Condition], MaxLen(16)] = field(default_factory=list)
    """Ready: the chain on this node is verified."""


def to_wire(value: Any) -> Any:
    """A dataclass of this module as JSON-ready data: camelCase keys, enums as strings, None left out."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((camel(item.name), getattr(value, item.name)) for item in fields(value))
        return {key: to_wire(inner) for key, inner in pairs if inner is not None}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_wire(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_wire(inner) for inner in value]
    return value


def node_spec_from_wire(raw: Mapping[str, Any]) -> NodeSpec:
    """The `spec` of a CNIChainNode as the API serves it. Unknown keys of a newer operator are left out.

    Raises ValueError when a value has a name this agent does not know (an older agent under a newer operator):
    the agent then keeps the last spec it understood.
    """
    default = NodeSpec()
    entry = raw.get("cilium") or {}
    return NodeSpec(
        primary=PrimaryPlugin(raw.get("primary", default.primary)),
        desired=Desired(raw.get("desired", default.desired)),
        conflist_file=str(raw.get("conflistFile", default.conflist_file)),
        writer=Writer(raw.get("writer", default.writer)),
        on_cilium_down=OnCiliumDown(raw.get("onCiliumDown", default.on_cilium_down)),
        on_shadow=OnShadow(raw.get("onShadow", default.on_shadow)),
        frozen=bool(raw.get("frozen", default.frozen)),
        cilium=CiliumEntry(
            enable_debug=bool(entry.get("enableDebug", default.cilium.enable_debug)),
            log_file=str(entry.get("logFile", default.cilium.log_file)),
        ),
    )
