"""`cnichain agent`: the node agent, for trying it out.

In a cluster the agent has an entry point of its own, which saves the memory of this one.
"""

import sys

import click

from cnichain.node.main import main as agent_main


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def agent(arguments: tuple[str, ...]) -> None:
    """Guard the CNI conflist of this node."""
    sys.exit(agent_main(list(arguments)))
