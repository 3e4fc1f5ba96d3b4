"""What the checks of a running chain need, read of the cluster by the caller's own kubeconfig. Reads only."""

import asyncio
from datetime import UTC, datetime

from cnichain.api.errors import ChainError
from cnichain.api.names import GROUP, LEASE_NAME, PLURAL_CHAINS, PLURAL_NODES, SYSTEM_NAMESPACE
from cnichain.catalogue.model import Catalogue
from cnichain.cli.chainview import ChainView, get_chain
from cnichain.cli.checkreport import Words
from cnichain.cli.livechecks import WORKLOADS, Found, Live, LiveCategory
from cnichain.cli.nodesreport import NodeRow, rows
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import CHAIN_NODES, CRDS, DAEMON_SETS, DEPLOYMENTS, LEASES, NODES, Resource
from cnichain.plan.nodes import in_scope, node_record
from cnichain.preflight.gathered import Unread
from cnichain.reconcile.gather import read
from cnichain.render.stages import cilium_crds

WORDS = Words(LiveCategory, "The chain is well", "The chain is not well", "failed")
RESOURCES = {"Deployment": DEPLOYMENTS, "DaemonSet": DAEMON_SETS}


async def look(client: KubeClient, catalogue: Catalogue) -> Live:
    """Everything that the checks need. Raises UnansweredError without a CNIChain, ApiError when the API fails."""
    view = await get_chain(client)
    kubernetes = await client.server_version()
    crds, lease, nodes, served, objects = await asyncio.gather(
        _by_name(client, CRDS, [f"{plural}.{GROUP}" for plural in (PLURAL_CHAINS, PLURAL_NODES)]),
        _get(client, LEASES, LEASE_NAME, SYSTEM_NAMESPACE),
        _nodes(client, view),
        _cilium_crds(client, view, catalogue),
        asyncio.gather(*(_workload(client, what) for what in WORKLOADS)),
    )
    return Live(
        view=view,
        now=datetime.now(UTC),
        kubernetes=kubernetes,
        crds=crds,
        lease=lease,
        nodes=nodes,
        cilium_crds=served,
        objects=dict(zip(WORKLOADS, objects, strict=True)),
    )


async def _get(client: KubeClient, resource: Resource, name: str, namespace: str | None = None) -> Found:
    where = f"{namespace}/{name}" if namespace else name
    return await read(f"get {resource.kind} {where}", client.get(resource, name, namespace), None)


async def _by_name(client: KubeClient, resource: Resource, names: list[str]) -> dict[str, Found]:
    found = await asyncio.gather(*(_get(client, resource, name) for name in names))
    return dict(zip(names, found, strict=True))


async def _workload(client: KubeClient, what: str) -> Found:
    kind, _, place = what.partition(" ")
    namespace, _, name = place.partition("/")
    return await _get(client, RESOURCES[kind], name, namespace)


async def _list(client: KubeClient, resource: Resource) -> list[Object] | Unread:
    nothing: tuple[list[Object], str] = ([], "")
    answer = await read(f"list {resource.plural}", client.list(resource), nothing)
    return answer if isinstance(answer, Unread) else answer[0]


async def _nodes(client: KubeClient, view: ChainView) -> list[NodeRow] | Unread:
    """Rows of all nodes of the chain; those without a CNIChainNode are missing where nodes may not be listed."""
    reports, nodes = await asyncio.gather(_list(client, CHAIN_NODES), _list(client, NODES))
    if isinstance(reports, Unread):
        return reports
    if isinstance(nodes, Unread) or view.spec is None:
        return rows(reports, {})
    selector = view.spec.nodes.selector
    records = {record.name: record for record in map(node_record, nodes) if in_scope(record, selector)}
    return rows(reports, records)


async def _cilium_crds(client: KubeClient, view: ChainView, catalogue: Catalogue) -> dict[str, bool] | Unread:
    """Whether each CRD that this Cilium's operator makes is served."""
    versions = view.status.versions
    version = (versions.cilium or versions.cilium_target) if versions else ""
    try:
        names = cilium_crds(catalogue.cilium_release(version))
    except ChainError:
        return Unread(f"the catalogue of this release has no Cilium {version or '(its version is not known)'}.")
    discovery = await client.discover()
    served = {f"{resource.plural}.{resource.group}" for resource in discovery.by_kind.values()}
    return {name: name in served for name in names}
