"""`cnichain` and `kubectl cnichain`: the command line. Subcommands are imported when they are called, so that
`--help` stays fast and the agent's host never loads the operator."""

import gc
import importlib
import os
import sys
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from cnichain import __version__
from cnichain.cli.names import COMPLETE_VARIABLE, PROGRAM, called_as, in_sections

COMMANDS = {
    "agent": ("cnichain.cli.agent:agent", "Guard the CNI conflist of this node."),
    "analyze": (
        "cnichain.cli.analyze:analyze",
        "Find mistakes in manifests, without a cluster.",
    ),
    "bundle": ("cnichain.cli.bundle:bundle", "Pack charts and the list of images for an air gap."),
    "catalogue": ("cnichain.cli.catalogue:catalogue", "Show the versions that are known and what goes together."),
    "check": ("cnichain.cli.check:check", "Look whether the chain is well, or (--pre) could be installed."),
    "completion": ("cnichain.cli.completion:completion", "Print the completion script of a shell."),
    "dev": ("cnichain.dev.cli:dev", "A local control plane to try things out, without Docker."),
    "diff": ("cnichain.cli.diff:diff", "Show what the operator is about to change in the cluster."),
    "evidence": ("cnichain.cli.evidence:evidence", "Gather what supports an audit, as a signed archive."),
    "render": ("cnichain.cli.render:render", "Print what the operator would apply, without a cluster."),
    "hubble": ("cnichain.cli.hubble:hubble", "Reach Hubble's UI or its relay from this machine."),
    "nodes": ("cnichain.cli.nodes:nodes", "Show the chain on each node."),
    "pause": ("cnichain.cli.steer:pause", "Hold the rollout where it is."),
    "resume": ("cnichain.cli.steer:resume", "Let a rollout go on that was paused."),
    "retry": ("cnichain.cli.steer:retry", "Try a change once more that has failed."),
    "rollback": ("cnichain.cli.rollback:rollback", "Set the spec back to a revision that was good."),
    "status": ("cnichain.cli.status:status", "Show the whole chain on one screen, or wait until it is Ready."),
    "trace": ("cnichain.cli.trace:trace", "Tell whether Cilium manages a pod, and why."),
    "tree": ("cnichain.cli.tree:tree", "Show what the CNIChain owns, and how each of it is."),
    "overhead": ("cnichain.cli.overhead:overhead_command", "Show what the chain costs: CPU, memory, start of pods."),
    "unmanaged": ("cnichain.cli.unmanaged:unmanaged", "List the pods that Cilium does not manage, and why."),
    "operator": ("cnichain.cli.operator:operator", "Run the operator."),
}

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""
FAILED = 2
DEBUG_VARIABLE = "CNICHAIN_DEBUG"
RUN_BY_KUBERNETES = ("operator", "agent")


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
        gc.disable()  # what is imported stays: looking for garbage in it takes a tenth of the operator's start
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        finally:
            gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The list of subcommands, from the table above: importing them all would take a second."""
        width = max(map(len, COMMANDS))
        for title, names in in_sections(set(COMMANDS)).items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", COMMANDS[name][1]) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of subcommands for the shell, without importing them."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [
            *(CompletionItem(name, help=COMMANDS[name][1]) for name in sorted(COMMANDS) if name.startswith(incomplete)),
            *options,
        ]


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def root() -> None:
    """Chain Cilium and Hubble after the CNI that a cluster already has, and keep the chain right."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Entry point: runs a command and ends the process with its exit status.

    An error of the reader's is one line. An error of our own is one line as well, with the way to its traceback; but
    what runs in a cluster (operator, agent) always logs it.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        answer = root.main(
            args=arguments,
            prog_name=called_as(sys.argv[0]),
            complete_var=COMPLETE_VARIABLE,
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Who reads our output has gone, as with `| head`. The interpreter would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE) or not {*arguments[:1]}.isdisjoint(RUN_BY_KUBERNETES):
            raise
        click.echo(f"Error: cnichain has failed: {type(error).__name__}: {error}", err=True)
        click.echo(f"It is an error of its own. {DEBUG_VARIABLE}=1 shows where, for a report of it.", err=True)
        sys.exit(FAILED)
    sys.exit(answer if isinstance(answer, int) else 0)


if __name__ == "__main__":
    main()
