"""How a soak judges memory and writes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from auditcount import AGENTS, LEASES, OPERATOR, Request
from soakreport import QUIET, Limit, Sample, SoakResult, Stretch, aims, problems, report, stretch, wrong_writes
from steadiness import peaks, trend

BOUND = 2.0
TIMES = [15.0 * index for index in range(121)]
"""Half an hour."""
WRITE = Request(OPERATOR, "patch", "cnichains/status", "default", 200)
SHAPES: dict[str, tuple[bool, float, Callable[[float], float]]] = {
    "flat": (True, 0.0, lambda at: 0.0 * at),
    "noisy": (True, 1.0, lambda at: 0.0 * at),
    "warm-up alone": (True, 0.0, lambda at: 30.0 * min(1.0, at / 590)),
    "one arena for good": (True, 0.0, lambda at: float(at > 1200)),
    "a saw": (True, 0.0, lambda at: at % 150 / 50),
    "an event's peak": (True, 0.0, lambda at: 40.0 * (900 <= at < 930)),
    "it shrinks": (True, 0.0, lambda at: -at / 600),
    "a slow leak": (False, 0.0, lambda at: at * 7 / 3600),
    "a leak below noise": (False, 1.0, lambda at: at * 12 / 3600),
    "something of each event": (False, 0.0, lambda at: at // 240),
    "too noisy to tell": (False, 8.0, lambda at: 0.0 * at),
}
"""Whether it is flat, the noise, and what it does with time."""


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("seed", range(10))
def test_a_leak_is_told_from_noise(shape: str, seed: int) -> None:
    is_flat, noise, value = SHAPES[shape]
    chance = random.Random(seed)  # noqa: S311 - noise
    found = trend(TIMES, [100.0 + value(at) + chance.gauss(0, noise) for at in TIMES])
    assert found.is_flat(BOUND) is is_flat, (
        f"{shape}: rises by {found.rise:.2f} MB with a noise of {found.noise:.2f} MB"
    )


def test_the_slope_is_that_of_the_line() -> None:
    found = trend(TIMES, [50 + at / 3600 for at in TIMES])
    assert found.per_hour == pytest.approx(1.0)
    assert found.rise == pytest.approx(1 / 3)
    assert found.noise == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_samples_give_no_verdict(count: int) -> None:
    for judge in (trend, peaks):
        with pytest.raises(ValueError, match="too few"):
            judge(TIMES[:count], [100.0] * count)


def test_files_are_judged_by_how_many_there_are_at_most() -> None:
    """They fall when connections end, which is no news; and the warm-up does not count."""
    dips = [99 if at < 500 else 10 if 700 <= at < 800 else 43 - at // 15 % 3 for at in TIMES]
    assert peaks(TIMES, dips) == (43, 43)
    assert peaks(TIMES, [20 + at // 300 for at in TIMES]) == (24, 26)


def samples(rss: Callable[[float], float] = lambda at: 100.0 + 0.0 * at) -> list[Sample]:
    return [Sample(at, rss(at), at / 100, 20, 4) for at in TIMES]


def quiet(*requests: Request) -> Stretch:
    return stretch(QUIET, 60.0, 0, requests)


LIMITS = {"rewrite": {"agents: patch cnichainnodes/status": Limit(1, 2)}}


def rewritten(count: int, *others: Request) -> Stretch:
    """A rewrite on three nodes with so many reports."""
    reports = [Request(AGENTS, "patch", "cnichainnodes/status", "node", 200)] * count
    return stretch("rewrite", 30.0, 3, [*reports, *others])


def run(stretches: Sequence[Stretch] = (), **changed: Any) -> SoakResult:
    """A run in which all is well."""
    usual = SoakResult(
        nodes=50,
        cilium="1.17.18",
        seconds=1800.0,
        samples={"operator": samples(), "agent": samples(), "agents": samples()},
        stretches=[quiet(), rewritten(3), quiet(), *stretches],
        limits=LIMITS,
        starts_api="restart",
        reapplied=30,
        ready=True,
    )
    return replace(usual, **changed)


def missed(result: SoakResult) -> list[str]:
    return [aim.what for aim in aims(result) if not aim.held]


def test_a_run_in_which_all_is_well_misses_nothing() -> None:
    assert missed(run()) == []
    assert problems(run()) == []
    assert "MISSED" not in report(run())


def test_what_leaks_is_named() -> None:
    leak = samples(lambda at: 100 + at / 300)
    steady = run().samples
    assert missed(run(samples={**steady, "operator": leak})) == ["operator: memory rises by"]
    assert missed(run(samples={**steady, "agent": leak})) == ["agent: memory rises by"]
    assert missed(run(samples={**steady, "agents": leak})) == [], "nodes come, and their agents stay in that process"
    files = [replace(one, files=20 + int(one.seconds / 100)) for one in samples()]
    assert missed(run(samples={**steady, "operator": files})) == ["operator: open files at most, by halves"]


def test_a_write_in_a_quiet_stretch_is_stray_but_for_the_lease() -> None:
    lease = Request(OPERATOR, "update", LEASES, "cnichain-operator", 200)
    assert missed(run([quiet(lease)])) == []
    stray = run([quiet(WRITE)])
    assert missed(stray) == ["writes in 3.0 quiet minutes"]
    assert problems(stray) == ["stretch 4 (quiet, 60 s): operator: patch cnichains/status default (200)"]
    dry = replace(WRITE, verb="patch (dry run)")
    assert missed(run([quiet(dry)])) == []


def test_a_run_without_a_quiet_stretch_proves_nothing() -> None:
    assert missed(run(stretches=[rewritten(3)])) == []
    assert missed(replace(run(), stretches=[rewritten(3)])) == ["writes in 0.0 quiet minutes"]


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        (rewritten(3), []),
        (rewritten(6), []),
        (rewritten(2), ["agents: patch cnichainnodes/status: 2, not 3 to 6"]),
        (rewritten(7), ["agents: patch cnichainnodes/status: 7, not 3 to 6"]),
        (rewritten(3, WRITE), ["operator: patch cnichains/status: 1, not 0"]),
    ],
)
def test_an_event_costs_what_it_may_cost(seen: Stretch, wrong: list[str]) -> None:
    assert wrong_writes(seen, LIMITS["rewrite"]) == wrong
    assert missed(run([seen])) == (["writes as expected: rewrite"] if wrong else [])


def test_what_the_roles_forbid_is_named_but_for_an_api_server_that_starts() -> None:
    refused = Request(OPERATOR, "list", "pods", "", 403)
    forbidden = run([quiet(refused)])
    assert missed(forbidden) == ["requests that the roles forbid"]
    assert problems(forbidden) == ["stretch 4: forbidden: operator: list pods  (403)"]
    starting = run([stretch("restart", 40.0, 1, [refused, refused])])
    assert missed(starting) == []
    assert "forbade 2 requests" in report(starting)


def test_a_chain_that_is_not_ready_at_the_end_is_told() -> None:
    assert missed(run(ready=False)) == ["Ready at the end"]


def test_the_report_has_a_line_for_each_kind_of_write() -> None:
    text = report(run([rewritten(3, WRITE)]))
    assert "| rewrite | 2 | 60 | agents: patch cnichainnodes/status: 3, 3 | 3 to 6 |" in text
    assert "|  |  |  | operator: patch cnichains/status: 0, 1 | 0 |" in text
    assert "| quiet | 2 | 120 | none | none |" in text
