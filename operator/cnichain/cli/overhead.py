"""`cnichain overhead`: what the chain costs, in CPU, memory and the time that pods take to start. Reads only."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from cnichain.api.chain import parse_spec
from cnichain.api.chainstatus import parse_status
from cnichain.api.names import SINGLETON
from cnichain.api.overheadstatus import OverheadStatus
from cnichain.api.times import utc_now
from cnichain.cli.common import TEXT, UnansweredError, ask, emit, kubeconfig_option, output_option, printable
from cnichain.cli.overheadreport import as_data, as_text
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.reflector import key_of
from cnichain.kube.resources import CHAIN_NODES, CHAINS, CILIUM_ENDPOINTS, NODES, PODS, Resource
from cnichain.plan.coverage import node_states
from cnichain.plan.nodes import chain_node_record, node_record
from cnichain.plan.overhead import CALICO_NAMESPACES, NAMESPACES, PodUsage, overhead, starts, with_memory
from cnichain.plan.pods import endpoint_record, pod_record
from cnichain.reconcile.overhead import read_usage

Record = TypeVar("Record")
Key = tuple[str, str]


@click.command(
    name="overhead",
    epilog="Exit status: 0 shown, also where the metrics API (metrics-server) is not served and only the start of pods "
    "is, 2 it cannot be told. Usage is a look at this moment; status.overhead of the CNIChain has an average.",
)
@output_option
@kubeconfig_option
def overhead_command(output: str, kubeconfig: Path | None) -> None:
    """Show what the chain costs: CPU, memory, and how long pods take to start."""
    found, why_not = ask("overhead", "measure what the chain costs", _look, kubeconfig)
    if output == TEXT:
        click.echo(printable(as_text(found, why_not)))
    else:
        emit(as_data(found, why_not), output)


async def _look(client: KubeClient) -> tuple[OverheadStatus, str]:
    """What it costs now, and why usage is not measured, if it is not."""
    chain = await client.get(CHAINS, SINGLETON)
    if chain is None:
        raise UnansweredError(f"there is no CNIChain {SINGLETON}: nothing is chained.")
    spec, status = parse_spec(chain["spec"]), parse_status(chain.get("status") or {})
    endpoints, nodes, reports, pods, (usage, why_not) = await asyncio.gather(
        _records(client, CILIUM_ENDPOINTS, endpoint_record),
        _records(client, NODES, node_record),
        _records(client, CHAIN_NODES, chain_node_record),
        _records(client, PODS, pod_record),
        _usage(client),
    )
    states = node_states(_by_name(nodes), _by_name(reports), spec.nodes.selector, pods.values())
    node_of = {key: pod.node for key, pod in pods.items()}
    found = overhead(usage, node_of, starts(pods, endpoints, states), utc_now())
    # Of an earlier look only pods are remembered that are gone: usage is of now, or it is not told.
    known = OverheadStatus(pods_before=status.overhead.pods_before) if status.overhead else None
    return with_memory(found, known), why_not


async def _usage(client: KubeClient) -> tuple[list[PodUsage] | None, str]:
    """What the parts use; None and why where the metrics API does not answer."""
    try:
        found = await asyncio.gather(*(read_usage(client, name) for name in (*NAMESPACES, *CALICO_NAMESPACES)))
    except ApiError as error:
        if error.status in {404, 503}:
            return None, "the metrics API (metrics.k8s.io) is not served; install metrics-server."
        return None, error.as_chain_error("read the usage of pods").message
    except (KeyError, ValueError) as error:
        return None, f"the metrics API answers what cannot be read: {error!r}."
    return [pod for pods in found for pod in pods], ""


async def _records(
    client: KubeClient, resource: Resource, project: Callable[[Mapping[str, Any]], Record]
) -> dict[Key, Record]:
    """Records of all objects of a kind by namespace and name; none of a kind that is not served (yet)."""
    records: dict[Key, Record] = {}
    try:
        async for objects, _ in client.pages(resource):
            records |= {key_of(item): project(item) for item in objects}
    except ApiError as error:
        if not error.not_served:
            raise
    return records


def _by_name(records: Mapping[Key, Record]) -> dict[str, Record]:
    return {name: record for (_, name), record in records.items()}
