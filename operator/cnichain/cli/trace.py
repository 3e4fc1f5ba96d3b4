"""`cnichain trace pod/NAME`: the way of one pod through the chain. Reads only."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.cli.chainview import get_chain
from cnichain.cli.common import (
    TEXT,
    UNANSWERED,
    UnansweredError,
    ask,
    colour,
    emit,
    kubeconfig_option,
    output_option,
    plain,
    printable,
)
from cnichain.cli.layout import Style
from cnichain.cli.tracereport import Facts, Verdict, as_data, as_text, trace_of
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAIN_NODES, CILIUM_ENDPOINTS, NODES, PODS

UNMANAGED = 1
KINDS = ("pod", "pods", "po")


@click.command(
    epilog="Exit status: 0 Cilium manages the pod, or the chain is not for it, or it does not run yet; 1 it is "
    "unmanaged; 2 it cannot be told."
)
@click.argument("what", metavar="pod/NAME")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the pod.")
@output_option
@kubeconfig_option
def trace(what: str, namespace: str, output: str, kubeconfig: Path | None) -> None:
    """Tell whether Cilium manages a pod, and why.

    Shows its node, the conflist that pods there get, its CiliumEndpoint with the identity, and which engine enforces
    NetworkPolicy for it. NAMESPACE/NAME is taken, too.
    """
    kind, slash, name = what.partition("/")
    if not slash:
        name = kind
    elif kind not in KINDS:
        namespace = kind
    if not name:
        raise click.UsageError(f"{what!r} names no pod; write pod/NAME.")
    found = trace_of(ask("trace", "read the pod", lambda client: _look(client, namespace, name), kubeconfig))
    if output == TEXT:
        style = Style(colour(), plain())
        click.echo(printable(as_text(found, datetime.now(UTC), style)), color=style.colour)
    else:
        emit(as_data(found), output)
    sys.exit({Verdict.UNMANAGED: UNMANAGED, Verdict.UNKNOWN: UNANSWERED}.get(found.verdict, 0))


async def _look(client: KubeClient, namespace: str, name: str) -> Facts:
    view = await get_chain(client)
    pod = await client.get(PODS, name, namespace)
    if pod is None:
        raise UnansweredError(f"there is no pod {namespace}/{name}; name its namespace with -n.")
    node_name = (pod.get("spec") or {}).get("nodeName") or ""
    node: Object | None = None
    report: Object | None = None
    agents: list[Object] = []
    if node_name:
        node = await client.get(NODES, node_name)
        report = await client.get(CHAIN_NODES, node_name)
        agents, _ = await client.list(
            PODS, namespace=CILIUM_NAMESPACE, labels="k8s-app=cilium", fields=f"spec.nodeName={node_name}"
        )
    return Facts(view, pod, node, report, await _endpoint(client, namespace, name), agents)


async def _endpoint(client: KubeClient, namespace: str, name: str) -> Object | None:
    """The CiliumEndpoint of that name. `get` answers None as well while Cilium's CRDs are not there."""
    try:
        return await client.get(CILIUM_ENDPOINTS, name, namespace)
    except ApiError as error:
        if error.not_served:
            return None
        raise
