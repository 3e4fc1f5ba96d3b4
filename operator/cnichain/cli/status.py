"""`cnichain status`: the whole chain on one screen, or the wait until it is Ready. Reads only."""

import asyncio
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from cnichain.api.chain import DURATION_PATTERN, parse_duration
from cnichain.api.names import SINGLETON, SYSTEM_NAMESPACE
from cnichain.apply.history import HistoryStore
from cnichain.cli.chainview import ChainView, get_chain
from cnichain.cli.common import TEXT, ask, colour, emit, kubeconfig_option, output_option, plain, printable
from cnichain.cli.layout import Style, age, cut
from cnichain.cli.statusreport import as_data, as_text
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.plan.history import Good
from cnichain.reconcile.report import Type

NOT_READY = 1
LOOK_SECONDS = 1.0


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    """`5m`, `90s`, `1h30m`, as in spec. Raises a usage error for any other text."""
    if not re.match(DURATION_PATTERN, value):
        raise click.BadParameter(f"{value!r} is no duration; write it as 90s, 5m or 1h30m.", ctx, param)
    return parse_duration(value)


@click.command(
    epilog="Exit status: 0 it is Ready as its newest spec wants it, 1 it is not (with --wait: not in time, or Stalled, "
    "which needs a person), 2 it cannot be told."
)
@click.option("--wait", is_flag=True, help="Wait until it is Ready; end at once when it is Stalled.")
@click.option("--wait-duration", callback=_duration, default="5m", show_default=True, help="How long to wait at most.")
@output_option
@kubeconfig_option
@click.option("--namespace", default=SYSTEM_NAMESPACE, show_default=True, help="Where the operator keeps its records.")
def status(wait: bool, wait_duration: timedelta, output: str, kubeconfig: Path | None, namespace: str) -> None:
    """Show the whole chain on one screen."""

    async def question(client: KubeClient) -> tuple[ChainView, Good | None]:
        view = await (_wait(client, wait_duration.total_seconds()) if wait else get_chain(client))
        return view, await _last_good(client, namespace)

    view, good = ask("status", "read the CNIChain", question, kubeconfig)
    if output == TEXT:
        style = Style(colour(), plain())
        click.echo(printable(as_text(view, good, datetime.now(UTC), style)), color=style.colour)
    else:
        emit(as_data(view, good), output)
    if wait and not view.is_ready:
        why = (
            "it is Stalled, which needs a person"
            if view.is_stalled
            else f"not Ready within {age(wait_duration.total_seconds())}"
        )
        click.echo(f"Gave up: {why}.", err=True)
    sys.exit(0 if view.is_ready else NOT_READY)


async def _wait(client: KubeClient, seconds: float) -> ChainView:
    """Look every second until the chain is Ready or Stalled, or the time is over; the last look.

    An API server that is away for a while is waited for as well. Raises what the first look raises.
    """
    started = time.monotonic()
    view = await get_chain(client)
    told = ""
    while not (view.is_ready or view.is_stalled) and time.monotonic() - started < seconds:
        told = _tell(_words(view), told, time.monotonic() - started)
        await asyncio.sleep(LOOK_SECONDS)
        try:
            view = await get_chain(client)
        except ApiError as error:
            if not error.transient:
                raise
            told = _tell(f"the API server does not answer: {error.message}", told, time.monotonic() - started)
    return view


def _words(view: ChainView) -> str:
    ready = view.condition(Type.READY)
    if ready is None or ready.observed_generation < view.generation:
        return f"the operator has not seen generation {view.generation} yet"
    return f"{ready.reason}: {ready.message}"


def _tell(words: str, told: str, seconds: float) -> str:
    """Say on standard error how far it is, once for each step; what was said last."""
    if words != told:
        width = 79 if sys.stderr.isatty() else len(words) + 8
        click.echo(printable(cut(f"{age(seconds):>5}  {words}", width)), err=True)
    return words


async def _last_good(client: KubeClient, namespace: str) -> Good | None:
    """The last good revision; None when none is known, or the record may not be read: the screen is without it then."""
    try:
        return (await HistoryStore(client, namespace, SINGLETON).read()).good
    except ApiError as error:
        if error.status in {401, 403}:
            return None
        raise
