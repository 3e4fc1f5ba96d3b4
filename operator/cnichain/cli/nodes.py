"""`cnichain nodes`: the chain on each node, as its agent reports it. Reads only."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from cnichain.cli.chainview import get_chain
from cnichain.cli.common import TEXT, ask, colour, emit, kubeconfig_option, output_option, plain, printable
from cnichain.cli.layout import Style
from cnichain.cli.nodesreport import NodeRow, as_data, as_text, rows
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAIN_NODES, NODES
from cnichain.plan.nodes import NodeRecord, in_scope, node_record

NOT_VERIFIED = 1


@click.command(
    epilog="Exit status: 0 the chain is verified on every node that is shown, 1 it is not on some, 2 it cannot be told."
)
@click.argument("names", nargs=-1, metavar="[NODE]...")
@click.option("--not-verified", is_flag=True, help="Show only nodes whose chain is not verified.")
@output_option
@kubeconfig_option
def nodes(names: tuple[str, ...], not_verified: bool, output: str, kubeconfig: Path | None) -> None:
    """Show the chain on each node: state, file, writer, drifts and the last repair.

    FILE is the one that a container runtime picks now, WRITER who wrote the chained conflist last, DRIFTS how often the
    agent has put right what somebody else had changed, REPAIR how long ago the last repair was.
    """
    everything = ask("nodes", "list nodes", _look, kubeconfig)
    missing = sorted(set(names) - {row.name for row in everything})
    if missing:
        raise click.UsageError(f"no such node in the chain: {', '.join(missing)}")
    shown = [row for row in everything if row.name in names or not names]
    shown = [row for row in shown if not (not_verified and row.ready)]
    if output == TEXT:
        style = Style(colour(), plain())
        click.echo(printable(as_text(shown, len(everything), datetime.now(UTC), style)), color=style.colour)
    else:
        emit(as_data(shown, len(everything)), output)
    sys.exit(0 if all(row.ready for row in shown) else NOT_VERIFIED)


async def _look(client: KubeClient) -> list[NodeRow]:
    view = await get_chain(client)
    items, _ = await client.list(CHAIN_NODES)
    scope: dict[str, NodeRecord] = {}
    if view.spec is not None:
        try:
            found, _ = await client.list(NODES)
        except ApiError as error:
            if error.status not in {401, 403}:
                raise
            click.echo("Nodes may not be listed: those without a CNIChainNode are not shown.", err=True)
            found = []
        records = map(node_record, found)
        scope = {record.name: record for record in records if in_scope(record, view.spec.nodes.selector)}
    return rows(items, scope)
