"""How long the operator rests between two passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.controller.keeper import (
    BETWEEN_PASSES_SECONDS,
    CALM_SECONDS,
    EARLY_AGAIN_SECONDS,
    EARLY_PASSES,
    MOST_BETWEEN_PASSES_SECONDS,
    Allowance,
    rest,
)


def test_a_cheap_pass_that_may_be_followed_early_is_followed_by_the_shortest_rest() -> None:
    assert rest(0.0, early=True) == rest(0.02, early=True) == CALM_SECONDS
    assert rest(0.0, early=False) == BETWEEN_PASSES_SECONDS


@pytest.mark.parametrize("worked", [0.025, 0.1, 0.26])
def test_passes_take_a_twentieth_of_a_core_at_most(worked: float) -> None:
    """From a small installation to 5,000 nodes, where a pass takes about a quarter of a second of CPU time."""
    share = worked / (worked + rest(worked, early=False))
    assert share <= 0.0501, f"a pass of {worked} s of CPU time takes {share:.1%} of a core"


def test_passes_over_thousands_of_nodes_take_a_third_of_a_core_at_most() -> None:
    worked = 1.0
    assert worked / (worked + rest(worked, early=False)) <= 1 / 3


def test_no_pass_is_followed_by_a_long_silence() -> None:
    assert rest(60.0, early=False) == MOST_BETWEEN_PASSES_SECONDS <= 5.0


def test_an_installation_takes_its_passes_early_and_an_endless_change_does_not() -> None:
    allowance = Allowance(0.0)
    early = [allowance.take(0.2 * number) for number in range(100)]
    assert all(early[:EARLY_PASSES])
    assert not all(early[EARLY_PASSES : EARLY_PASSES + 10])
    assert sum(early) <= EARLY_PASSES + 20.0 / EARLY_AGAIN_SECONDS


def test_a_while_without_a_pass_gives_them_back() -> None:
    allowance = Allowance(0.0)
    assert [allowance.take(0.0) for _ in range(EARLY_PASSES + 1)] == [True] * EARLY_PASSES + [False]
    later = EARLY_PASSES * EARLY_AGAIN_SECONDS
    assert [allowance.take(later) for _ in range(EARLY_PASSES + 1)] == [True] * EARLY_PASSES + [False]


@given(st.lists(st.floats(0, 10), max_size=200))
def test_never_more_than_what_is_given_back(pauses: list[float]) -> None:
    allowance, now, taken = Allowance(0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += allowance.take(now)
        assert taken <= EARLY_PASSES + now / EARLY_AGAIN_SECONDS + 1e-6
