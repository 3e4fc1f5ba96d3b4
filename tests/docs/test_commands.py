"""Every `cnichain` command in the pages is one that the program takes: its subcommand, its options, its values."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from cnichain.cli.main import root
from docpages import Command, commands, pages

PROGRAMS = ("cnichain", "kubectl cnichain", "kubectl-cnichain", ".venv/bin/cnichain")
CLUSTERLESS = ("catalogue", "completion")
"""Subcommands that need no cluster, no agent's folder and no build: those are run."""
STAND_FOR_SOMETHING = {"...", "…", "\\"}
"""Words in prose that stand for more words."""


def documented() -> list[Command]:
    """Every command line of every page, once."""
    found = {command.words: command for page in pages() for command in commands(page, *PROGRAMS)}
    return list(found.values())


def parse(group: click.Group, words: list[str], *, named: bool = False) -> None:
    """Parse as the program does, without running anything; named: its name alone will do. Raises click.UsageError."""
    context = click.Context(group, info_name="cnichain")
    command: click.Command = group
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"there is no command {name!r} below {context.command_path!r}")
        command, context = found, click.Context(found, info_name=name, parent=context)
    if "--help" in words or "-h" in words or (named and not words):
        return
    context.resilient_parsing = False
    command.parse_args(context, words)


@pytest.mark.parametrize("command", documented(), ids=lambda command: command.where)
def test_it_is_a_command_of_the_program(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    # A reader has the files and folders that are named, this checkout has not.
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, _param, _context: value)
    try:
        parse(root, [word for word in command.words if word not in STAND_FOR_SOMETHING], named=command.prose)
    except click.ClickException as error:
        pytest.fail(f"{command.where}: `{command.line}`: {error.format_message()}")


@pytest.mark.parametrize(
    "command", [item for item in documented() if item.words[:1] and item.words[0] in CLUSTERLESS], ids=lambda c: c.where
)
def test_what_needs_no_cluster_runs(command: Command) -> None:
    done = CliRunner().invoke(root, list(command.words))
    assert done.exit_code == 0, f"{command.where}: `{command.line}`: {done.output}"
    assert done.output.strip(), f"{command.where}: `{command.line}` prints nothing"


def test_the_pages_have_commands_at_all() -> None:
    """Else the tests above would hold for want of anything to look at."""
    subcommands = {command.words[0] for command in documented() if command.words}
    assert {"check", "diff", "unmanaged", "catalogue", "dev"} <= subcommands


@pytest.mark.parametrize("wrong", ["check --pre --nosuch", "nosuch", "dev up --nodes many", "dev nosuch", "dev"])
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises(click.ClickException):
        parse(root, wrong.split())


def _leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name)


def test_every_subcommand_is_in_the_pages() -> None:
    named = [command.words for command in documented()]
    missing = [" ".join(leaf) for leaf in _leaves(root) if not any(words[: len(leaf)] == leaf for words in named)]
    assert missing == [], "subcommands that no page has: docs/cli.md is where each is described"
