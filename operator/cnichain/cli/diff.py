"""`cnichain diff`: the plan that the operator has made, compared with the cluster by the API server itself.

The operator renders with the cluster's own facts and holds the certificates, so its plan is the true one: nothing is
rendered here.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cnichain.api.chainstatus import PlanState, parse_status
from cnichain.api.names import APPROVAL_ANNOTATION, SINGLETON, SYSTEM_NAMESPACE
from cnichain.api.reasons import Reason
from cnichain.apply.planstore import PlanStore
from cnichain.cli.common import TEXT, UnansweredError, ask, emit, kubeconfig_option, output_option, printable
from cnichain.cli.plantext import plan_text
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import CHAINS
from cnichain.plan.model import Plan

LOOK_SECONDS = 1.0


@click.command()
@kubeconfig_option
@click.option("--namespace", default=SYSTEM_NAMESPACE, show_default=True, help="Where the operator keeps the plan.")
@output_option
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for the operator to see the spec.")
def diff(kubeconfig: Path | None, namespace: str, output: str, timeout: float) -> None:
    """Show what the operator is about to change in the cluster.

    Ends with 0 when there is nothing to change, 1 when there is, and 2 when that cannot be told.
    """
    chain, found = ask("diff", "read the plan", lambda client: _look(client, namespace, timeout), kubeconfig)
    if found is None:
        if output == TEXT:
            click.echo(f"No changes: the cluster is as CNIChain {SINGLETON} asks for.")
        else:
            emit({}, output)
        return
    plan, about = found
    state = parse_status(chain.get("status")).plan
    held = _ready(chain)
    said = _state(held, plan, state.state if state else PlanState.PENDING)
    if output == TEXT:
        click.echo(printable(plan_text(plan, said)), nl=False)
    else:
        where = state.state.value if state else ""
        emit({"state": where, "reason": held.get("reason", ""), **about, **asdict(plan)}, output)
    sys.exit(1)


async def _look(
    client: KubeClient, namespace: str, timeout_seconds: float
) -> tuple[Object, tuple[Plan, dict[str, Any]] | None]:
    """The CNIChain, and its plan when one is to be applied."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        chain = await client.get(CHAINS, SINGLETON)
        if chain is None:
            raise UnansweredError(f"there is no CNIChain {SINGLETON}.")
        waits_for = _unseen(chain)
        if not waits_for:
            break
        if time.monotonic() > deadline:
            raise UnansweredError(waits_for)
        await asyncio.sleep(LOOK_SECONDS)
    status = parse_status(chain.get("status")).plan
    if status is None or status.state is PlanState.APPLIED:
        return chain, None
    try:
        found = await PlanStore(client, namespace, SINGLETON).read()
    except ValueError as error:
        raise UnansweredError(str(error)) from error
    if found is None or found[0].digest != status.digest:
        raise UnansweredError(f"the plan {status.digest} is not in ConfigMap {namespace}/{status.name}; try again.")
    return chain, found


def _unseen(chain: Object) -> str:
    """Why there is no answer yet; empty when there is one. Raises UnansweredError for a spec that leads to no plan."""
    generation, status = chain["metadata"]["generation"], chain.get("status") or {}
    if status.get("observedGeneration", 0) < generation:
        return f"the operator has not seen generation {generation} of the CNIChain yet; does it run?"
    ready = _ready(chain)
    if ready.get("reason") == Reason.RECONCILING.value:
        return f"the operator is looking at generation {generation}; try again in a moment."
    rolling_out = _condition(chain, "RollingOut")
    if ready["status"] == "False" and rolling_out.get("status") == "False":
        raise UnansweredError(f"no plan can be told, because of an error: {ready['reason']}: {ready['message']}")
    return ""


def _ready(chain: Object) -> Mapping[str, str]:
    return _condition(chain, "Ready")


def _condition(chain: Object, kind: str) -> Mapping[str, str]:
    conditions = (chain.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})


def _state(ready: Mapping[str, str], plan: Plan, state: PlanState) -> str:
    if state is not PlanState.PENDING:
        return f"It is being applied: {ready.get('message', '')}"
    if ready.get("reason") == Reason.APPROVAL_REQUIRED.value:
        command = f"kubectl annotate cnichain {SINGLETON} --overwrite {APPROVAL_ANNOTATION}={plan.digest}"
        return f"It waits for approval: {command}"
    return "It is held: spec.rollout.paused is true."
