"""Which statuses are held back, and that nothing else is."""

import pytest

from cnichain.api.chainnode import NodeState
from cnichain.node.holding import UNASKED, USUAL, Holds

HOLDS = Holds(runtime=2.0, cilium=10.0, health=8.0)
BAD_NEWS = [state.value for state in NodeState if state not in (NodeState.VERIFY, NodeState.WAIT_CILIUM)]


@pytest.mark.parametrize("state", BAD_NEWS)
def test_what_is_wrong_and_what_is_well_is_sent_at_once(state: str) -> None:
    status = {"state": state, "ciliumHealth": "Healthy"}
    assert HOLDS.of(status, {}) == 0.0
    assert HOLDS.of(status, {"state": "InSync"}) == 0.0


def test_a_node_waits_for_cilium_in_silence_only_before_its_first_report() -> None:
    waits = {"state": "WaitCilium"}
    assert (HOLDS.of(waits, None), HOLDS.of(waits, {})) == (10.0, 10.0)
    assert HOLDS.of(waits, {"state": "InSync"}) == 0.0, "Cilium was there: that it is gone is news"


def test_the_runtime_gets_a_moment_to_load_what_was_written() -> None:
    assert HOLDS.of({"state": "Verify"}, {"state": "InSync"}) == 2.0
    assert HOLDS.of({"state": "RuntimeStale"}, {"state": "InSync"}) == 0.0


def test_bad_news_is_never_held_for_longer_than_is_noticed() -> None:
    for known in ({"state": "InSync"}, {"state": "Shadowed"}, {"state": "CiliumDown"}):
        found = {state: USUAL.of({"state": state.value, "ciliumHealth": "Down"}, known) for state in NodeState}
        assert max(found.values()) <= 2.0, found


@pytest.mark.parametrize("health", ["Unknown", "Down"])
def test_a_new_chain_waits_for_the_answer_of_cilium_that_starts_just_then(health: str) -> None:
    status = {"state": "InSync", "ciliumHealth": health}
    assert (HOLDS.of(status, {}), HOLDS.of(status, {"state": "WaitCilium"})) == (8.0, 8.0)
    assert HOLDS.of(status, {"state": "InSync"}) == 0.0, "Cilium was there: that it is gone is news"
    assert UNASKED.of(status, {}) == 0.0, "nobody asks for it, so no answer comes"


WELL = {
    "state": "InSync",
    "observedGeneration": 2,
    "resultDigest": "sha256:a",
    "repairs": {"total": 1, "drifts": 0},
    "lastWriter": "Agent",
    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
}
REPAIRED = {
    **WELL,
    "repairs": {"total": 2, "drifts": 1},
    "lastRepair": {"time": "2026-01-01T00:10:00Z", "cause": "DriftDest", "durationMilliseconds": 3},
    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:10:00Z"}],
}


def test_a_repair_that_is_done_is_told_at_a_moment_of_each_agents_own() -> None:
    assert HOLDS.of(REPAIRED, WELL) == 0.0
    assert HOLDS.spread(REPAIRED, WELL) == HOLDS.repair == 10.0


@pytest.mark.parametrize(
    "change",
    [
        {"state": "CiliumDown"},
        {"resultDigest": "sha256:b"},
        {"observedGeneration": 3},
        {"setAside": ["00-other.conflist"]},
        {"ciliumHealth": "Down"},
        {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:10:00Z"}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_has_changed_waits_for_no_moment(change: dict[str, object]) -> None:
    assert HOLDS.spread({**REPAIRED, **change}, WELL) == 0.0


def test_what_was_never_told_and_what_is_told_waits_for_no_moment() -> None:
    assert HOLDS.spread(REPAIRED, None) == HOLDS.spread(REPAIRED, {}) == 0.0
    assert HOLDS.spread(WELL, WELL) == 0.0
    assert HOLDS.spread({**WELL, "lastWriter": "Other"}, WELL) == 0.0, "nothing was repaired"
