"""How long the operator rests between two passes."""

from cnichain.controller.keeper import CALM_SECONDS, MOST_BETWEEN_PASSES_SECONDS, rest


def test_a_cheap_pass_is_followed_by_the_shortest_rest() -> None:
    assert rest(0.0) == rest(0.02) == CALM_SECONDS


def test_passes_over_thousands_of_nodes_take_a_third_of_a_core_at_most() -> None:
    worked = 1.0
    assert worked / (worked + rest(worked)) <= 1 / 3


def test_no_pass_is_followed_by_a_long_silence() -> None:
    assert rest(60.0) == MOST_BETWEEN_PASSES_SECONDS <= 5.0
