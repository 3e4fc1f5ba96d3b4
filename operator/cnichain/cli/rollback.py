"""`cnichain rollback`: set the spec back to a revision that was good."""

import sys
from pathlib import Path

import click

from cnichain.api.errors import ChainError
from cnichain.api.names import SINGLETON, SYSTEM_NAMESPACE
from cnichain.apply.history import HistoryStore
from cnichain.catalogue.load import load_catalogue
from cnichain.cli.chainview import ChainView, get_chain
from cnichain.cli.change import Difference, Patch, choose, differences, differences_text, known_text, rolled_back
from cnichain.cli.common import UnansweredError, ask, kubeconfig_option
from cnichain.cli.steer import change, force_option, refuse_for_git, warn_of_git
from cnichain.kube.client import KubeClient
from cnichain.plan.history import Good, History
from cnichain.preflight.upgrade import check_step

DECLINED = 1


@click.command(epilog="Exit status: 0 spec is set back, 1 it was not confirmed, 2 it could not be done.")
@click.option("--to", "revision", type=click.IntRange(1), help="Number of the revision, as status.revisions has it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@force_option
@kubeconfig_option
@click.option("--namespace", default=SYSTEM_NAMESPACE, show_default=True, help="Where the operator keeps the history.")
def rollback(revision: int | None, yes: bool, force: bool, kubeconfig: Path | None, namespace: str) -> None:
    """Set the spec back to a revision that was good, after showing what that changes.

    Left out, it is the newest good revision that differs from the spec. What says how (rollout, nodes, suspend, adopt,
    deletionPolicy, unmanagedPods) stays. It is a change like any other: it goes over the nodes in waves.
    """
    view, good = ask("rollback", "read the history", lambda client: _look(client, namespace, revision), kubeconfig)
    if not force:
        refuse_for_git(view, f"set spec back to Cilium {good.cilium}")
    changes = _changes(view, good)
    number = f"revision {good.revision}, " if good.revision else ""
    click.echo(f"Back to {number}Cilium {good.cilium}, which was good since {good.time}:\n")
    click.echo(f"{differences_text(changes)}\n")
    if not yes:
        if not sys.stdin.isatty():
            raise UnansweredError("standard input is no terminal to confirm on; give --yes.")
        if not click.confirm("Set the spec back?"):
            click.echo("Nothing was changed.")
            sys.exit(DECLINED)

    def patch(now: ChainView) -> Patch:
        if now.generation != view.generation:
            raise UnansweredError(
                "the spec was changed by somebody else meanwhile; nothing was changed here. Try again."
            )
        return rolled_back(now.raw, good)

    ask("rollback", "set the spec back", lambda client: change(client, patch), kubeconfig)
    warn_of_git(view)
    click.echo(f"CNIChain {SINGLETON} asks for Cilium {good.cilium} now.\n`cnichain status --wait` follows it.")


async def _look(client: KubeClient, namespace: str, revision: int | None) -> tuple[ChainView, Good]:
    view = await get_chain(client)
    if view.spec is None:
        raise UnansweredError(f"the spec of CNIChain {SINGLETON} cannot be read: {', '.join(view.unread)}")
    history = await HistoryStore(client, namespace, SINGLETON).read()
    good = choose(history, view.spec, revision)
    if good is None:
        raise UnansweredError(_nothing(history, revision))
    versions = view.status.versions
    try:
        check_step(versions.cilium if versions else "", good.cilium, load_catalogue(None))
    except ChainError as error:
        raise UnansweredError(f"the operator would refuse it: {error.message}") from error
    return view, good


def _nothing(history: History, revision: int | None) -> str:
    known = "; ".join(known_text(history))
    if not known:
        return "no revision has been good on every node yet, so there is nothing to go back to."
    if revision is None:
        return f"the spec is as the only good revision has it. Known: {known}."
    return f"revision {revision} is not among the good ones that differ from the spec. Known: {known}."


def _changes(view: ChainView, good: Good) -> list[Difference]:
    try:
        return differences(view.raw, good)
    except ChainError as error:
        raise UnansweredError(f"revision {good.revision} cannot be read by this release: {error.message}") from error
