"""Preflight of a pass: gathered seldom, judged each time."""

import time
from collections.abc import Sequence

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainstatus import PreflightStatus
from cnichain.api.errors import ChainError
from cnichain.catalogue.model import Catalogue, PrimaryRule
from cnichain.kube.client import KubeClient, Object
from cnichain.plan.seen import nodes_seen, reports_seen
from cnichain.preflight.finding import Level, Result
from cnichain.preflight.gathered import Gathered
from cnichain.preflight.registry import VITAL, of_level, refusal, run_checks
from cnichain.preflight.subject import Subject
from cnichain.reconcile.gather import gather
from cnichain.reconcile.nodesync import NodeView

FRESH_SECONDS = 600.0
"""What was gathered counts for so long, unless spec or the primary change."""
REFUSED_SECONDS = 20.0
"""The same while something is refused: who has put it right should not have to wait."""
MESSAGE_LIMIT = 1024
FINDINGS_LIMIT = 64


class Preflight:
    """Runs all checks in each pass. Nodes and reports come from the watches; the rest is gathered anew only when it is
    old, or when spec or the primary have changed."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._gathered: tuple[object, float, Gathered] | None = None
        self._fresh_seconds = FRESH_SECONDS

    async def results(
        self,
        spec: CNIChainSpec,
        rule: PrimaryRule,
        kubernetes: str,
        primary: Object | None,
        nodes: NodeView,
        catalogue: Catalogue,
    ) -> list[Result]:
        """The findings of all checks. Raises ApiError when the API server does not answer."""
        subject = Subject(
            spec=spec,
            catalogue=catalogue,
            rule=rule,
            kubernetes=kubernetes,
            primary_read=primary,
            nodes_read=nodes_seen(nodes.nodes, spec.nodes.selector),
            reports_read=reports_seen(nodes.reports),
            gathered=await self._look((spec, kubernetes, _generation(primary))),
        )
        results = run_checks(subject)
        self._fresh_seconds = REFUSED_SECONDS if of_level(results, Level.REFUSED) else FRESH_SECONDS
        return results

    async def _look(self, key: object) -> Gathered:
        now = time.monotonic()
        last = self._gathered
        if last is None or last[0] != key or now - last[1] > self._fresh_seconds:
            self._gathered = last = (key, now, await gather(self._client))
        return last[2]


def _generation(item: Object | None) -> tuple[str, int] | None:
    return None if item is None else (item["metadata"]["uid"], item["metadata"].get("generation", 0))


def as_status(results: Sequence[Result]) -> list[PreflightStatus]:
    """Everything but what is fine, as status holds it: refused first, then warnings, then what is not known."""
    found = [item for level in (Level.REFUSED, Level.WARNING, Level.UNKNOWN) for item in of_level(results, level)]
    return [
        PreflightStatus(
            check=item.check.code,
            level=item.finding.level.value,
            reason=item.finding.reason.value,
            message=item.finding.message[:MESSAGE_LIMIT],
        )
        for item in found[:FINDINGS_LIMIT]
    ]


def stopping(results: Sequence[Result], *, upkeep: bool) -> ChainError | None:
    """What is refused, if anything.

    Raises it when it stops the pass. A chain that runs in the wanted version is not abandoned for it (`upkeep`): its
    nodes and objects are looked after as before, and the conditions say what is refused; a suspended one is not
    changed anyway. Without the primary nothing goes on.
    """
    error = refusal(results)
    if error is not None and (not upkeep or any(item.check.code in VITAL for item in of_level(results, Level.REFUSED))):
        raise error
    return error
