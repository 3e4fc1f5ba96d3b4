"""How many passes may begin before the half second between two of them is over."""

from hypothesis import given
from hypothesis import strategies as st

from cnichain.controller.keeper import EARLY_AGAIN_SECONDS, EARLY_PASSES, Allowance


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
