"""`cnichain unmanaged`: the pods in scope that Cilium does not manage, each with its cause. Reads only."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from cnichain.api.chain import parse_spec
from cnichain.api.names import SINGLETON
from cnichain.cli.common import TEXT, UnansweredError, ask, emit, kubeconfig_option, output_option, printable
from cnichain.cli.unmanagedreport import as_data, as_text
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.reflector import key_of
from cnichain.kube.resources import CHAIN_NODES, CHAINS, CILIUM_ENDPOINTS, NODES, PODS, Resource
from cnichain.plan.coverage import Coverage, Rule, count, node_states
from cnichain.plan.nodes import chain_node_record, node_record
from cnichain.plan.pods import endpoint_record, pod_record

NOT_FINISHED = "status.phase!=Succeeded,status.phase!=Failed"
FOUND = 1
Record = TypeVar("Record")
Key = tuple[str, str]


@click.command(
    epilog="Exit status: 0 no pod is unmanaged, 1 there are some, 2 it cannot be told. One look alone is taken: the "
    "operator counts a pod when it has found it so twice, 30 seconds apart."
)
@click.option("-n", "--namespace", help="Show this namespace alone.")
@click.option("--node", help="Show this node alone.")
@output_option
@click.option("--min-age", default=60.0, show_default=True, help="Leave out pods that are younger, in seconds.")
@kubeconfig_option
def unmanaged(namespace: str | None, node: str | None, output: str, min_age: float, kubeconfig: Path | None) -> None:
    """List the pods that Cilium does not manage, and why."""
    now = time.time()
    coverage = ask("unmanaged", "count pods", lambda client: _look(client, min_age, now), kubeconfig)
    shown = [
        one for one in coverage.unmanaged if namespace in {None, one.pod.namespace} and node in {None, one.pod.node}
    ]
    if output == TEXT:
        click.echo(printable(as_text(coverage, shown, now)))
    else:
        emit(as_data(coverage, shown, now), output)
    sys.exit(FOUND if shown else 0)


async def _look(client: KubeClient, min_age: float, now: float) -> Coverage:
    """Count the pods of the cluster once."""
    chain = await client.get(CHAINS, SINGLETON)
    if chain is None:
        raise UnansweredError(f"there is no CNIChain {SINGLETON}: no pod is in its scope.")
    spec = parse_spec(chain["spec"])
    if str(spec.cilium.values.get("disableEndpointCRD", "")).lower() == "true":
        raise UnansweredError(
            "spec.cilium.values has disableEndpointCRD: Cilium publishes no CiliumEndpoints to count."
        )
    endpoints, nodes, reports, pods = await asyncio.gather(
        _records(client, CILIUM_ENDPOINTS, endpoint_record),
        _records(client, NODES, node_record),
        _records(client, CHAIN_NODES, chain_node_record),
        _records(client, PODS, pod_record, NOT_FINISHED),
    )
    states = node_states(_by_name(nodes), _by_name(reports), spec.nodes.selector, pods.values())
    return count(pods, endpoints, states, {}, now, Rule(min_age=min_age, confirm=0))


async def _records(
    client: KubeClient, resource: Resource, project: Callable[[Mapping[str, Any]], Record], fields: str = ""
) -> dict[Key, Record]:
    """Records of all objects of a kind by namespace and name. Raises UnansweredError for a kind that is not served."""
    records: dict[Key, Record] = {}
    try:
        async for objects, _ in client.pages(resource, fields=fields):
            records |= {key_of(item): project(item) for item in objects}
    except ApiError as error:
        if error.not_served:
            raise UnansweredError(f"the cluster serves no {resource.kind}s (yet).") from error
        raise
    return records


def _by_name(records: Mapping[Key, Record]) -> dict[str, Record]:
    return {name: record for (_, name), record in records.items()}
