"""What a pass makes of the findings: what stops it, and what status keeps."""

import pytest

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Category, Check, Finding, Level, Result
from cnichain.reconcile.preflight import FINDINGS_LIMIT, MESSAGE_LIMIT, as_status, stopping


def result(code: str, level: Level, reason: Reason = Reason.KERNEL_TOO_OLD, message: str = "old-1.") -> Result:
    finding = Finding(level, reason, message)
    return Result(Check(code, Category.NODES, code, lambda _: finding), finding)


FINE = result("scope", Level.OK, Reason.PREFLIGHT_PASSED)
OLD_KERNEL = result("kernel", Level.REFUSED)
NO_PRIMARY = result("primary", Level.REFUSED, Reason.PRIMARY_NOT_FOUND)


def test_a_refusal_stops_a_change_and_not_the_upkeep_of_what_runs() -> None:
    with pytest.raises(ChainError, match=r"KernelTooOld: old-1\."):
        stopping([FINE, OLD_KERNEL], upkeep=False)
    kept = stopping([FINE, OLD_KERNEL], upkeep=True)
    assert kept is not None
    assert kept.reason is Reason.KERNEL_TOO_OLD


def test_without_the_primary_nothing_goes_on() -> None:
    with pytest.raises(ChainError, match="PrimaryNotFound"):
        stopping([NO_PRIMARY, OLD_KERNEL], upkeep=True)


@pytest.mark.parametrize("level", [Level.OK, Level.WARNING, Level.UNKNOWN])
def test_only_what_is_refused_stops(level: Level) -> None:
    assert stopping([result("kernel", level)], upkeep=False) is None


def test_status_keeps_what_is_not_fine_worst_first_and_bounded() -> None:
    many = [result(f"check-{number}", Level.WARNING, message="x" * 5000) for number in range(100)]
    kept = as_status([FINE, result("webhooks", Level.UNKNOWN), *many, OLD_KERNEL])
    assert len(kept) == FINDINGS_LIMIT
    assert (kept[0].check, kept[0].level, kept[0].reason) == ("kernel", "refused", "KernelTooOld")
    assert kept[1].level == "warning"
    assert max(len(item.message) for item in kept) == MESSAGE_LIMIT
    assert [item.level for item in as_status([FINE, result("webhooks", Level.UNKNOWN)])] == ["unknown"]
