"""`cnichain pause`, `resume` and `retry`: the user's own changes of how a rollout goes on."""

from collections.abc import Callable
from pathlib import Path

import click

from cnichain.api.names import RETRY_ANNOTATION, SINGLETON
from cnichain.api.rolloutstatus import RolloutState
from cnichain.api.times import utc_now
from cnichain.cli.chainview import ChainView, get_chain
from cnichain.cli.change import Patch, paused, retried
from cnichain.cli.common import UnansweredError, ask, kubeconfig_option
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAINS
from cnichain.plan.installation import reconciler_of

MANAGER = "cnichain-cli"
"""The field manager of what a user changes by these commands."""
TRIES = 10
EPILOG = "Exit status: 0 it is so now, 2 it could not be done."
FORCE_TEXT = "Do it although Argo CD or Flux manages the CNIChain, and may put it back."

force_option = click.option("--force", is_flag=True, help=FORCE_TEXT)


@click.command(epilog=EPILOG)
@force_option
@kubeconfig_option
def pause(force: bool, kubeconfig: Path | None) -> None:
    """Hold the rollout where it is, and every plan that comes.

    Sets spec.rollout.paused to true. The chain on the nodes stays guarded; `cnichain resume` lets it go on.
    """
    _set_paused(True, force=force, kubeconfig=kubeconfig)


@click.command(epilog=EPILOG)
@force_option
@kubeconfig_option
def resume(force: bool, kubeconfig: Path | None) -> None:
    """Let a rollout go on that was paused.

    Sets spec.rollout.paused to false. The soak and the deadline begin anew.
    """
    _set_paused(False, force=force, kubeconfig=kubeconfig)


@click.command(epilog=EPILOG)
@kubeconfig_option
def retry(kubeconfig: Path | None) -> None:
    """Try a change once more that has failed and was rolled back or held.

    Sets the annotation cnichain.io/retry to a new word; Git tools leave it alone.
    """

    def patch(view: ChainView) -> Patch:
        return retried(view.raw, utc_now()) if view.status.rejected is not None else []

    _, view = ask("retry", "ask for another try", lambda client: change(client, patch), kubeconfig)
    if view.status.rejected is None:
        click.echo("There is nothing to try again: no change of this spec has failed.")
        return
    said = f"Cilium {view.status.rejected.cilium} is tried once more (annotation {RETRY_ANNOTATION})."
    click.echo(f"{said}\n`cnichain status --wait` follows it.")


def _set_paused(to: bool, *, force: bool, kubeconfig: Path | None) -> None:
    words = f"spec.rollout.paused to {str(to).lower()}"

    def patch(view: ChainView) -> Patch:
        found = paused(view.raw, to=to)
        if found and not force:
            refuse_for_git(view, f"set {words}")
        return found

    command = "pause" if to else "resume"
    changed, view = ask(command, f"set {words}", lambda client: change(client, patch), kubeconfig)
    if not changed:
        click.echo(f"CNIChain {SINGLETON} is {'paused' if to else 'not paused'} already.")
        return
    click.echo(f"CNIChain {SINGLETON} is {'paused' if to else 'not paused any more'}.")
    warn_of_git(view)
    rollout = view.status.rollout
    if rollout is not None and rollout.state is not RolloutState.DONE:
        click.echo(f"{rollout.done} of {rollout.total} nodes have the change that is under way.")


def refuse_for_git(view: ChainView, doing: str) -> None:
    """Raises UnansweredError where a tool applies the CNIChain again and again.

    doing: what to do in Git instead, as in "set spec.rollout.paused to true".
    """
    if tool := reconciler_of(view.raw):
        raise UnansweredError(
            f"{tool} manages CNIChain {SINGLETON} and may put it back as it is in Git. Better {doing} there; "
            "--force does it here all the same."
        )


def warn_of_git(view: ChainView) -> None:
    """Say that what was changed by force may not last."""
    if tool := reconciler_of(view.raw):
        click.echo(f"Warning: {tool} manages CNIChain {SINGLETON} and may put this back as it is in Git.", err=True)


async def change(client: KubeClient, make: Callable[[ChainView], Patch]) -> tuple[bool, ChainView]:
    """Change the CNIChain; whether there was anything to change, and the CNIChain as it was before.

    make: the patch for what is there. It is asked again when somebody else was faster, as the operator often is: it
    writes status all the time. Raises UnansweredError when that goes on, what `make` raises, ApiError.
    """
    for _ in range(TRIES):
        view = await get_chain(client)
        patch = make(view)
        if not patch:
            return False, view
        try:
            await client.json_patch(CHAINS, SINGLETON, patch, manager=MANAGER)
        except ApiError as error:
            if error.status != 409:
                raise
        else:
            return True, view
    raise UnansweredError(f"CNIChain {SINGLETON} is changed by somebody else all the time; try again.")
