"""What of the status outlives a restart: since when something is waited for, and the history of revisions."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.chainstatus import CNIChainStatus, RevisionOutcome, RevisionStatus, WaitingStatus, parse_status
from cnichain.api.times import rfc3339
from cnichain.reconcile.revisions import KEPT, Content, begun, deployed, failed
from cnichain.reconcile.waiting import is_overdue, noted

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=11)
T1, T2, T3 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"


def content(manifests: str, generation: int = 1) -> Content:
    return Content(generation, "1.17.3", "sha256:v", "sha256:c", manifests)


def outcomes(revisions: list[RevisionStatus]) -> list[tuple[int, str, RevisionOutcome]]:
    return [(item.number, item.manifests_digest, item.outcome) for item in revisions]


def test_a_wait_goes_on_over_a_restart_and_becomes_overdue() -> None:
    first = noted(None, "DaemonSet x: 1 of 3 pods available", NOW)
    kept = parse_status(CNIChainStatus(waiting=first).model_dump(by_alias=True)).waiting
    after = noted(kept, "DaemonSet x: 1 of 3 pods available", LATER)
    assert after == first, "the time began anew with the operator"
    assert is_overdue(after, timedelta(minutes=10), LATER)
    assert not is_overdue(after, timedelta(minutes=12), LATER)


def test_a_step_forward_begins_the_time_anew() -> None:
    first = noted(None, "DaemonSet x: 1 of 3 pods available", NOW)
    after = noted(first, "DaemonSet x: 2 of 3 pods available", LATER)
    assert after is not None
    assert after.since == rfc3339(LATER)
    assert not is_overdue(after, timedelta(minutes=10), LATER)


def test_nothing_waited_for_is_never_overdue() -> None:
    assert noted(WaitingStatus(what="x", since=rfc3339(NOW)), "", LATER) is None
    assert not is_overdue(None, timedelta(), LATER)


@pytest.mark.parametrize("since", ["", "no time", "2026-11-24T12:00:00", rfc3339(NOW + timedelta(hours=1))])
def test_a_time_that_cannot_be_right_begins_anew(since: str) -> None:
    """A status that someone has edited, or a clock that was set back."""
    assert noted(WaitingStatus(what="x", since=since), "x", NOW) == WaitingStatus(what="x", since=rfc3339(NOW))


def test_a_rollout_is_a_revision_and_ends_as_deployed() -> None:
    revisions = begun([], content("a"), T1)
    assert begun(revisions, content("a", generation=2), T2) == revisions, "the same manifests are the same revision"
    revisions = deployed(revisions, T2)
    assert (revisions[0].started, revisions[0].finished) == (T1, T2)
    assert deployed(revisions, T3) == revisions, "it is deployed once"


def test_an_unfinished_one_is_superseded_and_a_failed_one_goes_on_when_it_is_corrected() -> None:
    revisions = begun(begun([], content("a"), T1), content("b"), T2)
    assert outcomes(revisions) == [(1, "a", RevisionOutcome.SUPERSEDED), (2, "b", RevisionOutcome.PROGRESSING)]
    revisions = failed(revisions, "RenderInvalid", T2)
    assert (revisions[1].outcome, revisions[1].reason) == (RevisionOutcome.FAILED, "RenderInvalid")
    revisions = deployed(begun(revisions, content("b"), T3), T3)
    assert (revisions[1].outcome, revisions[1].reason) == (RevisionOutcome.DEPLOYED, "")


def test_the_way_back_is_a_revision_of_its_own() -> None:
    revisions = deployed(begun([], content("a"), T1), T1)
    revisions = deployed(begun(revisions, content("b"), T2), T2)
    revisions = begun(revisions, content("a"), T3)
    assert [item.number for item in revisions] == [1, 2, 3]


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_ten_are_kept_in_order_whatever_comes(rollouts: list[str]) -> None:
    revisions: list[RevisionStatus] = []
    for one in rollouts:
        revisions = begun(revisions, content(one), T1)
    numbers = [item.number for item in revisions]
    assert numbers == sorted(numbers)
    assert len(numbers) <= KEPT
    assert sum(item.outcome is RevisionOutcome.PROGRESSING for item in revisions) == bool(rollouts)
