"""What preflight keeps of the cluster: small, aggregated, the same for 3 nodes and for 5,000. Plain data.

Whatever may be forbidden to read is either its value or `Unread`; `known` turns that into the level `unknown` of the
check that needs it, and of no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cnichain.catalogue.facts import NodeSystem

T = TypeVar("T")


@dataclass(frozen=True)
class Unread:
    """Something that could not be read. why: what it is and what the API server said."""

    why: str


class NotReadableError(Exception):
    """A check needs what could not be read."""

    def __init__(self, unread: Unread) -> None:
        super().__init__(unread.why)
        self.why = unread.why


def known(value: T | Unread) -> T:
    """The value. Raises NotReadableError when there is none."""
    if isinstance(value, Unread):
        raise NotReadableError(value)
    return value


@dataclass(frozen=True)
class DaemonSetSeen:
    """A DaemonSet somewhere in the cluster.

    images: of all its containers. owned: it carries our owner label. helm_release: `namespace/name` of the Helm release
    that its annotations name, or "". managers: field managers of its spec but for our own, sorted.
    """

    namespace: str
    name: str
    images: tuple[str, ...]
    owned: bool = False
    helm_release: str = ""
    managers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"DaemonSet {self.namespace}/{self.name}"


@dataclass(frozen=True)
class WebhookSeen:
    """An admission webhook that is asked about the chain's pods or DaemonSets and may say no.

    name: `configuration/webhook`. resources: which of `pods` and `daemonsets`. target: `Service namespace/name`, or a
    URL's host. conditional: it has matchConditions, which nobody evaluated.
    """

    name: str
    resources: tuple[str, ...]
    target: str
    conditional: bool = False


@dataclass(frozen=True)
class NodePoolSeen:
    """A NodePool of Karpenter's.

    starts_tainted, stays_tainted: our startup taint is among its startup taints, or among the lasting ones. labels: the
    values that its nodes can have for a label, where it says so.
    """

    name: str
    starts_tainted: bool
    stays_tainted: bool = False
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Named:
    """Something that several nodes have in common: how many, and one of them."""

    name: str
    count: int
    example: str


@dataclass(frozen=True)
class NodesSeen:
    """All nodes, aggregated.

    out_of_scope: counts by kind (`Fargate`, `Auto Mode`, `hybrid`, `Windows`, `not selected`). systems: the kinds of
    nodes in scope. networks: networks of nodes' addresses (/24, /64) and their pod CIDRs, sorted.
    """

    in_scope: int = 0
    total: int = 0
    out_of_scope: Mapping[str, int] = field(default_factory=dict)
    systems: tuple[NodeSystem, ...] = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportsSeen:
    """What the agents report, aggregated.

    reporting: how many do. effective_files: files that a runtime picks although they are neither the primary's nor the
    chained conflist. plugins: plugin types in chains. drop_ins: files that containerd 2.1 appends.
    """

    reporting: int = 0
    effective_files: tuple[Named, ...] = ()
    plugins: tuple[Named, ...] = ()
    drop_ins: tuple[Named, ...] = ()


@dataclass(frozen=True)
class Gathered:
    """What had to be asked for beside the watches.

    kube_proxy_mode: `none` when there is no kube-proxy. tigera_operators: `namespace/name` of the Deployments.
    active_operator: the namespace that the ConfigMap active-operator names, or "". calico_dataplane: `linuxDataplane`
    of Calico's Installation or `BPF` by its FelixConfiguration, "" when there is neither. service_cidrs, ip_pools: as
    CIDRs. argo_cd: the settings of argocd-cm that matter here, None when there is no Argo CD. node_pools: Karpenter's.
    """

    daemon_sets: tuple[DaemonSetSeen, ...] | Unread = ()
    kube_proxy_mode: str | Unread = "none"
    tigera_operators: tuple[str, ...] | Unread = ()
    active_operator: str | Unread = ""
    calico_dataplane: str | Unread = ""
    webhooks: tuple[WebhookSeen, ...] | Unread = ()
    service_cidrs: tuple[str, ...] | Unread = ()
    ip_pools: tuple[str, ...] | Unread = ()
    argo_cd: Mapping[str, str] | Unread | None = None
    node_pools: tuple[NodePoolSeen, ...] | Unread = ()
