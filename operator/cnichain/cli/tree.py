"""`cnichain tree`: what the CNIChain owns, and how each of it is. Reads only, of Secrets no value."""

import sys
from pathlib import Path

import click

from cnichain.api.names import SINGLETON, SYSTEM_NAMESPACE
from cnichain.api.objects import ObjectKey
from cnichain.apply.store import InventoryStore
from cnichain.cli.chainview import ChainView, get_chain
from cnichain.cli.common import TEXT, ask, colour, emit, kubeconfig_option, output_option, plain, printable
from cnichain.cli.layout import Style
from cnichain.cli.nodesreport import NodeRow, rows
from cnichain.cli.treereport import Leaf, as_data, as_text, is_well
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAIN_NODES, Discovery, Resource
from cnichain.plan.health import health_of
from cnichain.plan.inventory import Entry
from cnichain.reconcile.concurrently import each

UNHEALTHY = 1
WITH_STATUS = frozenset({"DaemonSet", "Deployment", "CustomResourceDefinition", "Namespace"})
"""Kinds whose health is more than that they are there; of all others only the metadata is asked for."""
METADATA_ACCEPT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


@click.command(
    epilog="Exit status: 0 everything is there and does its job, 1 something is not, 2 it cannot be told. What you may "
    "not read is shown as not looked at, and counts as neither."
)
@output_option
@kubeconfig_option
@click.option(
    "--namespace", default=SYSTEM_NAMESPACE, show_default=True, help="Where the operator keeps its inventory."
)
def tree(output: str, kubeconfig: Path | None, namespace: str) -> None:
    """Show what the CNIChain owns: its objects by stage, and its nodes."""
    view, leaves, nodes = ask("tree", "read the inventory", lambda client: _look(client, namespace), kubeconfig)
    if output == TEXT:
        style = Style(colour(), plain())
        click.echo(printable(as_text(view, leaves, nodes, style)), color=style.colour)
    else:
        emit(as_data(view, leaves, nodes), output)
    sys.exit(0 if is_well(leaves, nodes) else UNHEALTHY)


async def _look(client: KubeClient, namespace: str) -> tuple[ChainView, list[Leaf], list[NodeRow]]:
    view = await get_chain(client)
    inventory = await InventoryStore(client, namespace, SINGLETON).read()
    discovery = await client.discover()

    async def leaf(item: tuple[ObjectKey, Entry]) -> Leaf:
        return await _leaf(client, discovery, *item)

    leaves = await each(sorted(inventory.items()), leaf)
    reports, _ = await client.list(CHAIN_NODES)
    return view, leaves, rows(reports, {})


async def _leaf(client: KubeClient, discovery: Discovery, key: ObjectKey, entry: Entry) -> Leaf:
    resource = discovery.resource(key.api_version, key.kind)
    if resource is None:
        return Leaf(entry.stage, key, healthy=False, message="the API server does not serve this kind")
    try:
        live = await _get(client, resource, key)
    except ApiError as error:
        if error.status in {401, 403}:
            return Leaf(entry.stage, key, healthy=None, message="you may not read it")
        raise
    health = health_of(live, str(key))
    return Leaf(entry.stage, key, health.healthy, health.message or _ready(live or {}))


def _ready(live: Object) -> str:
    """How many pods of a workload are ready; empty for what has none."""
    spec, status = live.get("spec") or {}, live.get("status") or {}
    match live.get("kind"):
        case "DaemonSet":
            return f"{status.get('numberReady', 0)}/{status.get('desiredNumberScheduled', 0)} ready"
        case "Deployment":
            return f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)} ready"
        case _:
            return ""


async def _get(client: KubeClient, resource: Resource, key: ObjectKey) -> Object | None:
    namespace = key.namespace or None
    if key.kind in WITH_STATUS:
        return await client.get(resource, key.name, namespace)
    try:
        return await client.request("GET", resource.path(namespace, key.name), accept=METADATA_ACCEPT)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
