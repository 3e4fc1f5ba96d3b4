"""What evidence of a chain holds: plain data, made by `collect`, judged by `gaps`, shown by `report`, kept as JSON.

Nothing here is a secret: no key, no value of spec.cilium.values, no environment of a pod.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnichain.api.chainnode import to_wire


@dataclass(frozen=True)
class Cluster:
    """Which cluster it is. uid: of the namespace kube-system, which lasts as long as the cluster."""

    kubernetes: str = ""
    uid: str = ""
    nodes: int = 0
    pods: int = 0


@dataclass(frozen=True)
class ConditionFact:
    """A condition of the CNIChain."""

    type: str
    status: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True)
class ChainFact:
    """The CNIChain. spec: without spec.cilium.values, of which value_keys has the paths alone."""

    name: str = ""
    uid: str = ""
    generation: int = 0
    observed_generation: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)
    value_keys: tuple[str, ...] = ()
    effective: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    conditions: tuple[ConditionFact, ...] = ()
    inventory_digest: str = ""


@dataclass(frozen=True)
class ImageFact:
    """An image that a workload of the chain runs. pinned: by digest. known: it is the catalogue's of that version."""

    workload: str
    image: str
    pinned: bool
    known: bool


@dataclass(frozen=True)
class NodeFact:
    """The chain of one node. kind: why the chain is not for it, "" in scope. pods: that run on it, of any kind."""

    name: str
    kind: str = ""
    verified: bool = False
    state: str = ""
    reason: str = ""
    chain: str = ""
    file: str = ""
    digest: str = ""
    source_digest: str = ""
    runtime: str = ""
    agent: str = ""
    since: str = ""
    pods: int = 0


@dataclass(frozen=True)
class PodFact:
    """A pod that no policy of Cilium holds for, or that policies treat in a way to know of."""

    namespace: str
    name: str
    node: str
    why: str = ""


@dataclass(frozen=True)
class PolicyFact:
    """A policy. selected: pods that it is about; -1 where its selector is not evaluated."""

    kind: str
    namespace: str
    name: str
    digest: str
    selected: int = -1


@dataclass(frozen=True)
class NamespaceFact:
    """Policies by namespace. Pods are those on the pod network; ingress, egress: those isolated in that direction.

    unselected: those that no policy isolates in either direction.
    """

    name: str
    pods: int = 0
    ingress: int = 0
    egress: int = 0
    unselected: int = 0
    policies: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """All policies. counts: by kind, of the kinds that are served."""

    counts: Mapping[str, int] = field(default_factory=dict)
    policies: tuple[PolicyFact, ...] = ()
    namespaces: tuple[NamespaceFact, ...] = ()


@dataclass(frozen=True)
class VerdictFact:
    """What Hubble has counted since its agents started. unread: why it is not known, by node."""

    asked: int = 0
    answered: int = 0
    flows: Mapping[str, int] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExporterFact:
    """A flow exporter as the agents read it from its ConfigMap."""

    name: str
    file: str
    active: bool
    include: tuple[Mapping[str, Any], ...] = ()
    exclude: tuple[Mapping[str, Any], ...] = ()
    max_size_mb: int | None = None
    max_files: int | None = None


@dataclass(frozen=True)
class ExportFact:
    """What agents are told of flow export and enforcement. settings: the ones of cilium-config that matter here."""

    profile: str = ""
    exporters: tuple[ExporterFact, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CertificateFact:
    """The public part of a certificate."""

    secret: str
    entry: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: str
    not_after: str
    serial: str
    fingerprint: str


@dataclass(frozen=True)
class GapFact:
    """Something that the evidence does not cover, or that weakens it. code: of `gaps.GAPS`."""

    code: str
    title: str
    detail: str
    count: int
    examples: tuple[str, ...]
    means: str
    next: str


@dataclass(frozen=True)
class Evidence:
    """All of it. created: RFC 3339 in UTC. unread: what the caller could not read, with the API server's words."""

    created: str
    tool: str
    cluster: Cluster = Cluster()
    chain: ChainFact = ChainFact()
    images: tuple[ImageFact, ...] = ()
    nodes: tuple[NodeFact, ...] = ()
    policies: Inventory = Inventory()
    verdicts: VerdictFact = VerdictFact()
    export: ExportFact = ExportFact()
    certificates: tuple[CertificateFact, ...] = ()
    pods: Mapping[str, tuple[PodFact, ...]] = field(default_factory=dict)
    managed: int = 0
    unread: tuple[str, ...] = ()
    gaps: tuple[GapFact, ...] = ()


FILES = ("cluster", "chain", "images", "nodes", "policies", "verdicts", "export", "certificates", "pods", "gaps")
"""Each a file of the archive, `NAME.json`."""


def as_files(evidence: Evidence) -> dict[str, Any]:
    """The sections of the evidence as JSON-ready data, by file name."""
    files = {f"{name}.json": to_wire(getattr(evidence, name)) for name in FILES}
    head = {"created": evidence.created, "tool": evidence.tool, "managedPods": evidence.managed}
    return files | {"about.json": head | {"unread": list(evidence.unread)}}
