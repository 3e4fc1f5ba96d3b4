"""`cnichain` and `kubectl cnichain`: the command line. Subcommands are imported when they are called, so that
`--help` stays fast and the agent's host never loads the operator."""

import importlib
import sys
from typing import Any

import click

from cnichain import __version__

COMMANDS = {
    "agent": ("cnichain.cli.agent:agent", "Guard the CNI conflist of this node."),
    "catalogue": ("cnichain.cli.catalogue:catalogue", "Show the versions that are known and what goes together."),
    "check": ("cnichain.cli.check:check", "Look whether the cluster can take the chain."),
    "dev": ("cnichain.dev.cli:dev", "A local control plane to try things out, without Docker."),
    "diff": ("cnichain.cli.diff:diff", "Show what the operator is about to change in the cluster."),
    "overhead": ("cnichain.cli.overhead:overhead_command", "Show what the chain costs: CPU, memory, start of pods."),
    "unmanaged": ("cnichain.cli.unmanaged:unmanaged", "List the pods that Cilium does not manage, and why."),
    "operator": ("cnichain.cli.operator:operator", "Run the operator."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all subcommands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The subcommand, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The list of subcommands, from the table above: importing them all would take a second."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cnichain")
def root() -> None:
    """Chain Cilium and Hubble after the CNI that a cluster already has, and keep the chain right."""


def main(argv: list[str] | None = None) -> Any:
    """Entry point."""
    return root.main(args=argv)


if __name__ == "__main__":
    sys.exit(main())
