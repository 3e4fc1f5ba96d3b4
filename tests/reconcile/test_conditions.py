"""Conditions: what a reader is told for what a pass saw."""

import pytest

from cnichain.api.chainnode import Condition
from cnichain.api.chainstatus import NodesStatus
from cnichain.api.errors import ChainError
from cnichain.api.reasons import REASONS, Reason
from cnichain.reconcile.conditions import conditions, starting
from cnichain.reconcile.report import Removal, Report, StageReport, Type
from cnichain.render.stages import Stage

T1, T2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
ALL = NodesStatus(in_scope=3, verified=3, summary="3/3")
SOME = NodesStatus(in_scope=3, verified=1, summary="1/3", not_verified=["a: WaitPrimary: X", "b: WaitPrimary: X"])


def healthy(**changes: object) -> Report:
    report = Report(generation=2, preflight="fine.", nodes=ALL, chained="All is chained.", calico="3.26.0")
    report.stages = {stage: StageReport() for stage in Stage}
    for name, value in changes.items():
        setattr(report, name, value)
    return report


def by_type(items: list[Condition]) -> dict[str, Condition]:
    return {item.type: item for item in items}


def test_all_well_is_ready_and_says_what_is_chained() -> None:
    found = by_type(conditions(healthy(), [], T1))
    assert (found["Ready"].status, found["Ready"].message) == ("True", "All is chained.")
    assert found["Reconciling"].status == found["Stalled"].status == found["RollingOut"].status == "False"


@pytest.mark.parametrize(
    ("stage", "condition"),
    [
        (Stage.CONFIG, "CiliumReady"),
        (Stage.OPERATOR, "CiliumReady"),
        (Stage.AGENTS, "CiliumReady"),
        (Stage.HUBBLE, "HubbleReady"),
        (Stage.CALICO_CRDS, "CalicoReady"),
        (Stage.CALICO_OPERATOR, "CalicoReady"),
        (Stage.CALICO, "CalicoReady"),
    ],
)
def test_a_waiting_stage_holds_its_part_and_ready(stage: Stage, condition: str) -> None:
    report = healthy(current=stage)
    report.stages[stage] = StageReport("DaemonSet x: 1 of 3 pods available")
    found = by_type(conditions(report, [], T1))
    for kind in (condition, "Ready"):
        assert (found[kind].status, found[kind].reason) == ("False", "WaitingForHealth")
        assert "DaemonSet x: 1 of 3 pods available" in found[kind].message
    assert found["Reconciling"].status == "True"
    assert found["Stalled"].status == "False", "waiting can heal by itself"


def test_calico_that_is_off_is_disabled_and_holds_nothing_up() -> None:
    found = by_type(conditions(healthy(calico=""), [], T1))
    assert (found["CalicoReady"].status, found["CalicoReady"].reason) == ("False", "Disabled")
    assert found["Ready"].status == "True"


def test_calico_that_is_being_removed_holds_ready() -> None:
    report = healthy(calico="", current=Stage.CALICO)
    report.stages[Stage.CALICO] = StageReport("finalizers left: x", Reason.CALICO_REMOVING)
    found = by_type(conditions(report, [], T1))
    for kind in ("CalicoReady", "Ready"):
        assert (found[kind].status, found[kind].reason) == ("False", "CalicoRemoving")
    assert found["Stalled"].status == "False"


def test_calico_is_as_before_where_a_pass_did_not_get_to_it() -> None:
    before = conditions(healthy(), [], T1)
    found = by_type(conditions(healthy(calico=None), before, T2))
    assert (found["CalicoReady"].status, found["CalicoReady"].last_transition_time) == ("True", T1)


def test_one_unverified_node_is_enough_not_to_be_ready() -> None:
    found = by_type(conditions(healthy(nodes=SOME), [], T1))
    assert (found["ChainReady"].status, found["Ready"].status) == ("False", "False")
    assert found["Ready"].reason == "NodesNotVerified"
    assert "1/3 nodes verified. a: WaitPrimary: X; b: WaitPrimary: X." in found["Ready"].message


def test_no_node_in_scope_is_not_ready() -> None:
    found = by_type(conditions(healthy(nodes=NodesStatus(summary="0/0")), [], T1))
    assert (found["Ready"].status, found["Ready"].reason) == ("False", "NoNodesInScope")


@pytest.mark.parametrize("reason", Reason)
def test_stalled_is_set_for_terminal_errors_and_no_others(reason: Reason) -> None:
    report = Report(generation=2, error=ChainError(reason, "what and where."))
    found = by_type(conditions(report, [], T1))
    terminal = REASONS[reason].terminal
    assert found["Stalled"].status == ("True" if terminal else "False")
    assert found["Reconciling"].status == ("False" if terminal else "True")
    assert (found["Ready"].status, found["Ready"].reason) == ("False", reason.value)
    assert REASONS[reason].fix in found["Stalled"].message


def test_an_early_error_leaves_what_is_known_of_the_running_parts() -> None:
    before = conditions(healthy(), [], T1)
    report = Report(generation=3, error=ChainError(Reason.RESERVED_VALUE, "x"), error_in=Type.PREFLIGHT_PASSED)
    found = by_type(conditions(report, before, T2))
    for kind in ("CiliumReady", "HubbleReady", "ChainReady"):
        assert found[kind] == by_type(before)[kind], f"{kind} still runs as before; a bad spec does not change that"
    assert found["Ready"].status == "False"


def test_an_overdue_stage_is_told_apart_but_not_stalled() -> None:
    report = healthy(current=Stage.AGENTS, overdue=True)
    report.stages[Stage.AGENTS] = StageReport("waiting")
    found = by_type(conditions(report, [], T1))
    assert found["Ready"].reason == "ProgressDeadlineExceeded"
    assert found["Stalled"].status == "False"


def test_times_move_with_the_status_alone() -> None:
    before = conditions(healthy(), [], T1)
    same = by_type(conditions(healthy(chained="Another message."), before, T2))
    assert same["Ready"].last_transition_time == T1
    assert same["Ready"].message == "Another message."
    changed = by_type(conditions(healthy(nodes=SOME), before, T2))
    assert changed["Ready"].last_transition_time == T2
    assert changed["CiliumReady"].last_transition_time == T1


def test_the_same_report_gives_the_same_conditions() -> None:
    before = conditions(healthy(), [], T1)
    assert conditions(healthy(), before, T2) == before


def test_the_first_patch_has_the_three_that_kstatus_reads_and_keeps_the_others() -> None:
    first = by_type(starting(1, [], T1))
    assert {kind: item.status for kind, item in first.items()} == {
        "Ready": "Unknown",
        "Reconciling": "True",
        "Stalled": "False",
    }
    before = conditions(healthy(), [], T1)
    again = by_type(starting(3, before, T2))
    assert again["Ready"].observed_generation == 3
    assert again["CiliumReady"] == by_type(before)["CiliumReady"]


def test_suspended_is_neither_ready_nor_under_way() -> None:
    report = Report(generation=2, preflight="fine.", nodes=ALL, suspended=True)
    found = by_type(conditions(report, conditions(healthy(), [], T1), T2))
    assert (found["Ready"].status, found["Ready"].reason) == ("Unknown", "Suspended")
    assert found["Reconciling"].status == "False"


def test_what_preflight_refuses_is_shown_while_the_chain_that_runs_is_kept() -> None:
    before = conditions(healthy(), [], T1)
    found = by_type(conditions(healthy(refused=ChainError(Reason.KERNEL_TOO_OLD, "old-1.")), before, T2))
    for kind in ("Ready", "PreflightPassed"):
        assert (found[kind].status, found[kind].reason) == ("False", "KernelTooOld")
    assert (found["Stalled"].status, found["Reconciling"].status) == ("True", "False")
    for kind in ("CiliumReady", "HubbleReady", "ChainReady"):
        assert found[kind].status == "True", f"{kind}: what runs is not touched by it"


def test_a_suspended_chain_says_so_whatever_preflight_refuses() -> None:
    report = healthy(refused=ChainError(Reason.KERNEL_TOO_OLD, "old-1."), suspended=True)
    found = by_type(conditions(report, [], T1))
    assert found["Ready"].reason == "Suspended"
    assert found["PreflightPassed"].reason == "KernelTooOld"


def test_every_reason_has_a_cause_and_terminal_ones_a_fix() -> None:
    assert set(REASONS) == set(Reason), "every reason code is in the registry"
    for reason, info in REASONS.items():
        assert info.cause.endswith("."), f"{reason}: the cause is a sentence"
        assert not info.terminal or info.fix != "Nothing to do.", f"{reason}: who is stalled must be told what to do"


def test_conditions_carry_their_generation() -> None:
    for item in conditions(healthy(), [], T1):
        assert item.observed_generation == 2, item


OUTAGE = ChainError(Reason.API_UNAVAILABLE, "the API server does not answer.")


def after(seconds: int) -> str:
    return f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"


def test_a_passing_error_is_told_at_once_and_unsettles_ready_only_when_it_lasts() -> None:
    """Each pass sees nothing but the conditions of the one before, as after a restart."""
    found = conditions(healthy(), [], after(0))
    for seconds in (10, 60, 129):
        found = conditions(Report(generation=2, error=OUTAGE), found, after(seconds))
        kinds = by_type(found)
        assert (kinds["Ready"].status, kinds["Ready"].message) == ("True", "All is chained."), f"after {seconds} s"
        assert (kinds["Reconciling"].status, kinds["Reconciling"].reason) == ("True", "ApiUnavailable")
    kinds = by_type(conditions(Report(generation=2, error=OUTAGE), found, after(130)))
    assert (kinds["Ready"].status, kinds["Ready"].reason) == ("False", "ApiUnavailable")


@pytest.mark.parametrize(
    "report",
    [
        Report(generation=3, error=OUTAGE),
        Report(generation=3, error=OUTAGE, removal=Removal(Reason.UNINSTALLING, "", "0/3 nodes")),
    ],
    ids=["another spec", "being deleted"],
)
def test_an_outage_does_not_carry_ready_over_to_a_generation_that_was_never_ready(report: Report) -> None:
    before = conditions(healthy(), [], after(0))
    kinds = by_type(conditions(report, before, after(1)))
    assert (kinds["Ready"].status, kinds["Ready"].reason) == ("False", "ApiUnavailable")


def test_a_chain_that_was_not_ready_is_not_called_so_by_an_outage() -> None:
    before = conditions(healthy(nodes=SOME), [], after(0))
    kinds = by_type(conditions(Report(generation=2, error=OUTAGE), before, after(1)))
    assert (kinds["Ready"].status, kinds["Ready"].reason) == ("False", "ApiUnavailable")


def test_an_error_that_a_person_has_to_end_is_told_at_once() -> None:
    before = conditions(healthy(), [], after(0))
    error = ChainError(Reason.PRIMARY_NOT_FOUND, "x")
    assert by_type(conditions(Report(generation=2, error=error), before, after(1)))["Ready"].status == "False"


@pytest.mark.parametrize(
    ("reason", "reconciling"),
    [(Reason.UNINSTALLING, "True"), (Reason.UNINSTALL_OVERDUE, "True"), (Reason.SUSPENDED, "False")],
)
def test_an_uninstallation_is_not_ready_and_says_where_it_is(reason: Reason, reconciling: str) -> None:
    before = conditions(healthy(), [], T1)
    removal = Removal(reason, "Stage nodes: waiting for b.", "1/2 nodes run the primary CNI alone.")
    found = by_type(conditions(Report(generation=3, removal=removal), before, T2))
    assert (found["Ready"].status, found["Ready"].reason) == ("False", reason.value)
    assert found["Ready"].message == "Stage nodes: waiting for b."
    assert (found["Reconciling"].status, found["Stalled"].status) == (reconciling, "False")
    assert found["ChainReady"].message == "1/2 nodes run the primary CNI alone."
    for kind in ("CiliumReady", "HubbleReady", "ChainReady"):
        assert found[kind].status == "False", "what is being taken away must not look as if it were there"
