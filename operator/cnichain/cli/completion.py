"""`cnichain completion`: what a shell needs to complete commands, options and their values."""

import click
from click.shell_completion import get_completion_class

from cnichain.cli.names import COMPLETE_VARIABLE, PROGRAM

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
bash  echo 'eval "$(cnichain completion bash)"' >> ~/.bashrc
zsh   echo 'eval "$(cnichain completion zsh)"' >> ~/.zshrc
fish  cnichain completion fish > ~/.config/fish/completions/cnichain.fish

Exit status: 0, or 2 for a shell that is not known.
"""
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no shell {shell}.")
    click.echo(kind(ctx.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source())
