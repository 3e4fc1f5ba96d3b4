"""When an object is left alone, and when it is corrected again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.api.objects import ObjectKey
from cnichain.plan.fight import CAP_SECONDS, STRIKES, WINDOW_SECONDS, Fights

KEY, OTHER = (ObjectKey("v1", "ConfigMap", "kube-system", name) for name in ("fought-over", "quiet"))


def correct_at_once(fights: Fights, start: float, count: int) -> float:
    """Correct as soon as it is allowed, `count` times; the time of the last one."""
    now = start
    for _ in range(count):
        while not fights.may_correct(KEY, now):
            now += 1
        fights.corrected(KEY, now)
    return now


def test_the_first_corrections_come_at_once_and_then_they_pause() -> None:
    fights = Fights()
    correct_at_once(fights, 0, STRIKES - 1)
    assert fights.may_correct(KEY, 0)
    fights.corrected(KEY, 0)
    assert not fights.may_correct(KEY, 0)
    assert fights.fought_over(0) == [KEY]
    assert fights.may_correct(OTHER, 0), "another object goes on"


def test_pauses_double_up_to_the_cap() -> None:
    fights, pauses, now = Fights(), [], correct_at_once(Fights(), 0, 0)
    for _ in range(STRIKES + 8):
        now = correct_at_once(fights, now, 1)
        pauses.append(fights.pause(KEY))
    assert pauses == [0, 0, 30, 60, 120, 240, 480, 600, 600, 600, 600]


def test_corrections_far_apart_are_no_fight() -> None:
    fights = Fights()
    for turn in range(20):
        fights.corrected(KEY, turn * WINDOW_SECONDS / 2 + turn)
        assert fights.may_correct(KEY, turn * WINDOW_SECONDS / 2 + turn)


def test_a_fight_that_has_ended_is_forgotten() -> None:
    fights = Fights()
    now = correct_at_once(fights, 0, 6)
    later = now + CAP_SECONDS + WINDOW_SECONDS
    assert fights.fought_over(later) == []
    fights.corrected(KEY, later)
    assert fights.may_correct(KEY, later), "the count begins anew"


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=2000), min_size=1, max_size=40))
def test_no_more_than_so_many_corrections_in_any_window(steps: list[float]) -> None:
    """However another writer times its changes: at most 3 + 5 in ten minutes (pauses of 30, 60, 120, 240, 480 s)."""
    fights, now, done = Fights(), 0.0, []
    for step in steps:
        now += step / 20
        if fights.may_correct(KEY, now):
            fights.corrected(KEY, now)
            done.append(now)
    for start in done:
        assert len([time for time in done if start <= time < start + WINDOW_SECONDS]) <= STRIKES + 5
