"""The brake against wars of two writers, the pace of looks and the backoff."""

import itertools

from cnichain.node.brake import LIMIT, LONGEST_HOLD, WINDOW, Brake
from cnichain.node.timing import Backoff, Pace


def _war(brake: Brake, seconds: float) -> list[float]:
    """Moments of our writes while another writer answers each of them at once."""
    writes, now, turn = [], 0.0, 0
    while now < seconds:
        turn += 1
        brake.seen(now, f"foreign {turn}")
        now += brake.remaining(now) + 0.01
        writes.append(now)
        brake.stands(now)
    return writes


def test_a_war_of_writers_ends_in_one_try_a_minute() -> None:
    writes = _war(Brake(), 600)
    in_first_second = [at for at in writes if at < 1]
    assert len(in_first_second) == LIMIT, "the agent gave up too early or too late"
    late = [at for at in writes if at > 180]
    gaps = [after - before for before, after in itertools.pairwise(late)]
    assert gaps, "the agent gave up for good"
    assert min(gaps) >= LONGEST_HOLD, f"a busy war: {gaps}"


def test_a_war_that_is_over_is_forgotten() -> None:
    brake = Brake()
    _war(brake, 120)
    brake.stands(1000.0)
    brake.seen(1000.0 + WINDOW, "a human's edit")
    assert brake.remaining(1000.0 + WINDOW) == 0.0


def test_one_rewrite_is_counted_once_however_often_it_is_looked_at() -> None:
    brake = Brake()
    for _ in range(50):
        brake.seen(1.0, "the same")
    assert brake.remaining(1.0) == 0.0


def test_the_first_look_is_never_delayed_and_a_burst_is() -> None:
    pace, now, looks = Pace(burst=5, interval=0.1), 100.0, 0
    assert pace.wait(now) == 0.0
    while now < 110.0:  # ten seconds of events without end
        now += pace.wait(now)
        pace.spend(now)
        looks += 1
    assert looks <= 106, f"{looks} looks in ten seconds: the burst is not coalesced"
    assert pace.wait(now + 1.0) == 0.0, "the pace does not recover"


def test_the_backoff_grows_to_its_cap_with_jitter() -> None:
    backoff = Backoff(1, 60)
    delays = [backoff.delay() for _ in range(12)]
    assert 0.5 <= delays[0] <= 1
    assert all(30 <= delay <= 60 for delay in delays[7:]), delays
    backoff.reset()
    assert backoff.delay() <= 1
