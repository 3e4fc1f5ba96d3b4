"""What the conditions say after a change that failed. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from cnichain.api.reasons import REASONS, Reason
from cnichain.api.rolloutstatus import RejectedStatus
from cnichain.reconcile.report import Report, Type
from cnichain.reconcile.verdict import Verdict
from cnichain.rollout.course import Action


def rolled_back(report: Report) -> Verdict:
    """Whether a change of this spec has failed, and was taken back."""
    failed = report.rejected
    if failed is None:
        return Verdict("False", Reason.NO_ROLLBACK, "No change of this spec has failed.")
    if failed.action == Action.HELD.value:
        return Verdict("False", Reason.ROLLOUT_FAILED, _story(report, failed))
    if report.rollback_failed:
        return Verdict("False", Reason.ROLLBACK_FAILED, _story(report, failed))
    return Verdict("True", Reason.ROLLED_BACK, _story(report, failed))


def _story(report: Report, failed: RejectedStatus) -> str:
    """What failed, where, and what was done about it."""
    done = {
        Action.ROLLED_BACK.value: f"In force is Cilium {failed.back_to} of the last good revision.",
        Action.UNCHAINED.value: "The nodes run the primary alone.",
        Action.HELD.value: "It stays where it is, and no other node gets it.",
    }[failed.action]
    too = f" The way back failed too: {report.rollback_failed}." if report.rollback_failed else ""
    return f"Cilium {failed.cilium} failed ({failed.reason}): {failed.message}. {done}{too}"


def rejected(report: Report, failed: RejectedStatus, missing: Sequence[Verdict]) -> dict[Type, Verdict]:
    """Ready and its kin after a change that failed: on the way back it is Reconciling, then Stalled."""
    story = _story(report, failed)
    reason = Reason.ROLLOUT_FAILED if failed.action == Action.HELD.value else Reason.ROLLED_BACK
    if report.rollback_failed:
        reason = Reason.ROLLBACK_FAILED
    first = missing[0] if missing else None
    # Where the nodes run the primary alone the chain is missing for good.
    ended = failed.action == Action.UNCHAINED.value and first is not None and first.reason is not Reason.ROLLING_BACK
    if reason is Reason.ROLLED_BACK and first is not None and not ended:
        verdict = Verdict("False", Reason.ROLLING_BACK, f"{first.message}. {story}")
        going = replace(verdict, status="True")
        stalled = Verdict("False", Reason.ROLLING_BACK, "It is on its way back.")
        return {Type.READY: verdict, Type.RECONCILING: going, Type.ROLLING_OUT: going, Type.STALLED: stalled}
    verdict = Verdict("False", reason, story)
    stalled = Verdict("True", reason, f"{story} {REASONS[reason].fix}")
    return {Type.READY: verdict, Type.RECONCILING: verdict, Type.ROLLING_OUT: verdict, Type.STALLED: stalled}
