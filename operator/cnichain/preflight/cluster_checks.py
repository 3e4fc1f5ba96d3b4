"""Checks of nodes, addresses and what is around the chain. Pure."""

import ipaddress
from collections.abc import Iterable, Iterator

from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Category, Check, Finding, ok, warning
from cnichain.preflight.gathered import known
from cnichain.preflight.nodepools import check_node_pools
from cnichain.preflight.nodestart import check_host_routing, check_tolerations
from cnichain.preflight.project import ARGO_CD_KEYS
from cnichain.preflight.subject import Subject
from cnichain.preflight.webhooks import check_webhooks

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

POOLS = {"clusterPoolIPv4PodCIDRList": ("10.0.0.0/8",), "clusterPoolIPv6PodCIDRList": ("fd00::/104",)}
"""Values of the chart under ipam.operator, and the chart's own defaults (1.17 to 1.20)."""
TRACKING, LABEL_KEY, EXCLUSIONS = ARGO_CD_KEYS
SHOWN = 3


def check_scope(subject: Subject) -> Finding:
    """There are nodes in scope, and which are not."""
    kinds = sorted(subject.nodes.out_of_scope.items())
    left_out = ", ".join(f"{count} {kind}" for kind, count in kinds)
    told = f" Out of scope: {left_out}." if left_out else ""
    if subject.nodes.in_scope:
        return ok(f"{subject.nodes.in_scope} of {subject.nodes.total} nodes are in scope.{told}")
    return warning(Reason.NO_NODES_IN_SCOPE, f"None of {subject.nodes.total} nodes is in scope.{told}")


def check_addresses(subject: Subject) -> Finding:
    """The range from which cilium_host has its addresses is used nowhere else.

    Also in a chain Cilium gives each node's cilium_host an address of its own pool, which may be one that a pod or node
    has (cilium issue 30682).
    """
    gathered = subject.gathered
    used = [
        *(("Services", cidr) for cidr in known(gathered.service_cidrs)),
        *(("Calico's IPPool", cidr) for cidr in known(gathered.ip_pools)),
        *(("nodes", cidr) for cidr in subject.nodes.networks),
    ]
    pools = list(_pools(subject))
    clashes = [f"{whose} use {cidr}" for whose, cidr in used for pool in pools if _overlap(pool, cidr)]
    shown = f"Cilium's own pool is {', '.join(map(str, pools))}"
    if not clashes:
        return ok(f"{shown}, which nothing else uses as far as can be seen.")
    more = f"; and {len(clashes) - SHOWN} more" if len(clashes) > SHOWN else ""
    return warning(
        Reason.ADDRESS_OVERLAP, f"{shown}, and there {'; '.join(clashes[:SHOWN])}{more}.", "ipam.operator of the values"
    )


def _pools(subject: Subject) -> Iterator[Network]:
    """Cilium's own pools; a value that is not a network is the chart's to refuse."""
    ipv6 = subject.value("ipv6.enabled") is True
    for key, default in POOLS.items():
        if "IPv6" in key and not ipv6:
            continue
        value = subject.value(f"ipam.operator.{key}") or default
        yield from _networks(value if isinstance(value, list | tuple) else [value])


def _networks(texts: Iterable[object]) -> Iterator[Network]:
    for text in texts:
        try:
            yield ipaddress.ip_network(str(text), strict=False)
        except ValueError:
            continue


def _overlap(pool: Network, cidr: str) -> bool:
    return any(pool.version == other.version and pool.overlaps(other) for other in _networks([cidr]))


def check_argo_exclusions(subject: Subject) -> Finding:
    """Argo CD does not prune what Cilium makes for each pod."""
    settings = known(subject.gathered.argo_cd)
    if settings is None:
        return ok("no Argo CD in the namespace argocd.")
    if EXCLUSIONS in settings:
        return ok("Argo CD leaves CiliumIdentity alone.", "ConfigMap argocd/argocd-cm")
    return warning(
        Reason.ARGO_CD_IDENTITIES,
        f"ConfigMap argocd/argocd-cm: {EXCLUSIONS} does not name CiliumIdentity, so Argo CD may prune identities that "
        "carry the tracking label of an application's pods.",
        "ConfigMap argocd/argocd-cm",
    )


def check_argo_tracking(subject: Subject) -> Finding:
    """Argo CD does not take the chain's objects for an application's."""
    settings = known(subject.gathered.argo_cd)
    if settings is None:
        return ok("no Argo CD in the namespace argocd.")
    method = settings.get(TRACKING, "")
    if method != "label":
        return ok(f"Argo CD tracks by {method or 'its default'}.", "ConfigMap argocd/argocd-cm")
    key = settings.get(LABEL_KEY, "app.kubernetes.io/instance")
    return warning(
        Reason.ARGO_CD_LABEL_TRACKING,
        f"ConfigMap argocd/argocd-cm: objects are tracked by the label {key}, which pods hand on to what Cilium makes "
        "for them.",
        "ConfigMap argocd/argocd-cm",
    )


CLUSTER_CHECKS = (
    Check("scope", Category.NODES, "nodes in scope", check_scope),
    Check("node-pools", Category.NODES, "startup taint of Karpenter's nodes", check_node_pools),
    Check("tolerations", Category.NODES, "tolerations of Cilium's pods", check_tolerations),
    Check("host-routing", Category.NODES, "host routing on Bottlerocket", check_host_routing),
    Check("webhooks", Category.CLUSTER, "admission webhooks", check_webhooks),
    Check("addresses", Category.CLUSTER, "address overlap", check_addresses),
    Check("argocd-exclusions", Category.CLUSTER, "Argo CD's exclusions", check_argo_exclusions),
    Check("argocd-tracking", Category.CLUSTER, "Argo CD's tracking", check_argo_tracking),
)
