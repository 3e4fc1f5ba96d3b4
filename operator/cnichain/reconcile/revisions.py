"""The last revisions of the chain in status: what was rolled out when, and how it ended. Pure.

Model: Flux's helm-controller, which keeps the history of a release in its status.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cnichain.api.chainstatus import RevisionOutcome, RevisionStatus

KEPT = 10


@dataclass(frozen=True)
class Content:
    """What a revision rolls out. manifests: digest of all its manifests but Secrets, whose renewal is no revision."""

    generation: int
    cilium: str
    values: str
    chart: str
    manifests: str


def begun(revisions: Sequence[RevisionStatus], content: Content, now: str) -> list[RevisionStatus]:
    """The revisions once `content` is rolled out: the same ones while it is what the newest already is. now: RFC 3339.

    One that was not finished is superseded by the next.
    """
    kept = list(revisions)
    newest = kept[-1] if kept else None
    if newest is not None and newest.manifests_digest == content.manifests:
        if newest.outcome is RevisionOutcome.FAILED:
            kept[-1] = newest.model_copy(update={"outcome": RevisionOutcome.PROGRESSING, "reason": "", "finished": ""})
        return kept
    if newest is not None and newest.outcome is RevisionOutcome.PROGRESSING:
        kept[-1] = newest.model_copy(update={"outcome": RevisionOutcome.SUPERSEDED, "finished": now})
    kept.append(
        RevisionStatus(
            number=(newest.number if newest else 0) + 1,
            generation=content.generation,
            cilium=content.cilium,
            values_digest=content.values,
            chart_digest=content.chart,
            manifests_digest=content.manifests,
            started=now,
            outcome=RevisionOutcome.PROGRESSING,
        )
    )
    return kept[-KEPT:]


def deployed(revisions: Sequence[RevisionStatus], now: str) -> list[RevisionStatus]:
    """The newest one is applied and healthy. It stays so whatever fails later: that is no matter of its rollout."""
    return _ended(revisions, RevisionOutcome.DEPLOYED, "", now)


def failed(revisions: Sequence[RevisionStatus], reason: str, now: str) -> list[RevisionStatus]:
    """The newest one met an error that only a person can end."""
    return _ended(revisions, RevisionOutcome.FAILED, reason, now)


def _ended(
    revisions: Sequence[RevisionStatus], outcome: RevisionOutcome, reason: str, now: str
) -> list[RevisionStatus]:
    kept = list(revisions)
    if kept and kept[-1].outcome is RevisionOutcome.PROGRESSING:
        kept[-1] = kept[-1].model_copy(update={"outcome": outcome, "reason": reason, "finished": now})
    return kept
