"""What the subcommands share: their options, output for people or programs, signs and colour, and one way to the
cluster with the errors of that way."""

import json
import os
import re
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import yaml

from cnichain.api.errors import ChainError
from cnichain.interrupt import run_until_interrupted
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import CredentialsError, load_credentials
from cnichain.kube.errors import ApiError

COLUMNS = 80
TEXT, JSON, YAML = "text", "json", "yaml"
UNANSWERED = 2
FILE = click.Path(dir_okay=False, exists=True, path_type=Path)
_STEERING = re.compile(
    r"\x1b(?!\[(?:0|1|2|3[0-7]|39|9[0-7])m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""Control characters, and those that turn the direction of writing, but for the colours that click.style makes."""
Answer = TypeVar("Answer")
Command = TypeVar("Command", bound=Callable[..., Any])


class UnansweredError(click.ClickException):
    """The command has no answer: not "no", but "it cannot be told". Exit status 2, as kubectl diff has it."""

    exit_code = UNANSWERED

    def show(self, file: IO[str] | None = None) -> None:
        """Print it; on a terminal without breaking words, in a file as one line that can be searched."""
        text = printable(f"Error: {self.format_message()}")
        if file is None and sys.stderr.isatty():
            text = textwrap.fill(text, COLUMNS, break_on_hyphens=False, break_long_words=False)
        click.echo(text, file=file, err=True)


def output_option(command: Command) -> Command:
    """`-o text|json|yaml`, passed as `output`."""
    kind = click.Choice([TEXT, JSON, YAML])
    return click.option("-o", "--output", type=kind, default=TEXT, show_default=True, help="Form of the output.")(
        command
    )


def kubeconfig_option(command: Command) -> Command:
    """`--kubeconfig FILE`, passed as `kubeconfig`; None for the file that kubectl would take."""
    text = "Kubeconfig; left out: $KUBECONFIG or ~/.kube/config."
    return click.option("--kubeconfig", type=FILE, help=text)(command)


def ask(
    command: str, doing: str, question: Callable[[KubeClient], Awaitable[Answer]], kubeconfig: Path | None
) -> Answer:
    """Run `question` with a client of the cluster. command: for the user agent. doing: what an API error stopped, as
    in "count pods". Raises UnansweredError for a cluster that cannot be asked."""

    async def connected() -> Answer:
        async with KubeClient(load_credentials(kubeconfig), user_agent=f"cnichain-{command}") as client:
            return await question(client)

    try:
        return run_until_interrupted(connected())
    except (CredentialsError, ChainError) as error:
        raise UnansweredError(str(error)) from error
    except ApiError as error:
        raise UnansweredError(error.as_chain_error(doing).message) from error


def emit(data: Any, output: str) -> None:
    """Print data for programs. output: JSON or YAML."""
    if output == JSON:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)


def printable(text: str) -> str:
    """A report with what would steer a terminal shown in its place: an agent, a file name or an event may hold it."""
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def colour() -> bool:
    """Whether standard output is a terminal that wants colour (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def plain() -> bool:
    """Whether standard output cannot carry the signs √ ‼ ×."""
    try:
        "√‼×".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False
