"""The one list of checks, and what their findings mean together. Pure."""

from collections.abc import Sequence

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.preflight.audit_checks import AUDIT_CHECKS
from cnichain.preflight.chain_checks import CHAIN_CHECKS
from cnichain.preflight.cluster_checks import CLUSTER_CHECKS
from cnichain.preflight.combination import COMBINATION_CHECKS
from cnichain.preflight.finding import Check, Finding, Level, Result
from cnichain.preflight.gathered import NotReadableError
from cnichain.preflight.primary_checks import PRIMARY_CHECKS, SETTING_CHECKS
from cnichain.preflight.subject import Subject

CHECKS: tuple[Check, ...] = (
    *PRIMARY_CHECKS,
    *COMBINATION_CHECKS,
    *SETTING_CHECKS,
    *AUDIT_CHECKS,
    *CHAIN_CHECKS,
    *CLUSTER_CHECKS,
)
"""All checks, in the order in which a refusal decides the reason."""
VITAL = frozenset(check.code for check in PRIMARY_CHECKS)
"""Checks without which there is nothing to go on with, not even the upkeep of a chain that runs."""


def run_checks(subject: Subject, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """The findings of all checks, in their order. What could not be read makes its own checks unknown, and no other."""
    return [Result(check, _run(check, subject)) for check in checks]


def _run(check: Check, subject: Subject) -> Finding:
    try:
        return check.run(subject)
    except NotReadableError as error:
        return Finding(Level.UNKNOWN, Reason.CHECK_NOT_POSSIBLE, f"not looked at: {error.why}")


def of_level(results: Sequence[Result], level: Level) -> list[Result]:
    """The results of one level."""
    return [item for item in results if item.finding.level is level]


def refusal(results: Sequence[Result]) -> ChainError | None:
    """The error that refused findings amount to: the first one's reason, all their messages."""
    found = [item.finding for item in of_level(results, Level.REFUSED)]
    if not found:
        return None
    others = "".join(f" Also refused: {item.reason.value}: {item.message}" for item in found[1:])
    return ChainError(found[0].reason, found[0].message + others)


def summary(results: Sequence[Result]) -> str:
    """The warnings as a text to go on with, "" when there are none."""
    found = [item.finding for item in of_level(results, Level.WARNING)]
    if not found:
        return ""
    told = " ".join(f"{item.reason.value}: {item.message}" for item in found)
    return f" {len(found)} warning{'s' if len(found) > 1 else ''}: {told}"
