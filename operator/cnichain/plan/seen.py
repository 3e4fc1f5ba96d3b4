"""Nodes and their agents' reports, aggregated for preflight: what they have in common, and how many. Pure."""

import ipaddress
from collections.abc import Mapping, Sequence

from cnichain.api.names import CONFLIST_FILE
from cnichain.catalogue.facts import NodeSystem
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, out_of_scope, out_of_scope_kind
from cnichain.preflight.gathered import Named, NodesSeen, ReportsSeen

NETWORK_BITS = {4: 24, 6: 64}
"""Addresses of nodes are kept as networks of this size: a subnet has many nodes."""
KINDS_LIMIT = 64
"""Kinds of nodes, networks and files that are kept, the most frequent first."""


def nodes_seen(nodes: Mapping[str, NodeRecord], selector: Mapping[str, str]) -> NodesSeen:
    """All nodes, aggregated; of nodes that have not said yet what they run, only the count."""
    scope = [node for node in nodes.values() if not out_of_scope_kind(node, selector)]
    by_system: dict[tuple[str, str], list[str]] = {}
    for node in scope:
        if node.kernel:
            by_system.setdefault((node.kernel, node.os_image), []).append(node.name)
    systems = [
        NodeSystem(kernel, os_image, len(names), min(names)) for (kernel, os_image), names in sorted(by_system.items())
    ]
    return NodesSeen(
        in_scope=len(scope),
        total=len(nodes),
        out_of_scope=out_of_scope(nodes, selector),
        systems=tuple(systems[:KINDS_LIMIT]),
        networks=tuple(sorted(_networks(list(nodes.values()))))[:KINDS_LIMIT],
    )


def _networks(nodes: Sequence[NodeRecord]) -> set[str]:
    """Networks of the nodes' addresses, and their pod CIDRs, merged where they adjoin."""
    addresses = {_prefix(node.address) for node in nodes if node.address}
    found = {_network(text) for text in addresses} | {_network(cidr) for node in nodes for cidr in node.pod_cidrs}
    v4 = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv4Network))
    v6 = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv6Network))
    return {*map(str, v4), *map(str, v6)}


def _prefix(address: str) -> str:
    """An IPv4 address with its last part zero: as text, since there may be thousands and networks are few."""
    head, dot, _ = address.rpartition(".")
    return f"{head}.0" if dot else address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A CIDR as it is, an address as the network of the usual size around it; None when it is neither."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    size = NETWORK_BITS[network.version]
    return network if network.prefixlen <= size else network.supernet(new_prefix=size)


def reports_seen(reports: Mapping[str, ChainNodeRecord]) -> ReportsSeen:
    """What the agents report, aggregated."""
    speaking = [item for item in reports.values() if item.state]
    foreign = {
        item.name: (item.effective_file,)
        for item in speaking
        if item.effective_file and item.effective_file not in (CONFLIST_FILE, item.source_file)
    }
    return ReportsSeen(
        reporting=len(speaking),
        effective_files=_named(foreign),
        plugins=_named({item.name: item.plugins for item in speaking}),
        drop_ins=_named({item.name: item.drop_ins for item in speaking}),
    )


def _named(by_node: Mapping[str, tuple[str, ...]]) -> tuple[Named, ...]:
    """What is on nodes, by name: on how many, and on which first of them."""
    nodes: dict[str, list[str]] = {}
    for node, names in by_node.items():
        for name in dict.fromkeys(names):
            nodes.setdefault(name, []).append(node)
    return tuple(Named(name, len(on), min(on)) for name, on in sorted(nodes.items()))[:KINDS_LIMIT]
