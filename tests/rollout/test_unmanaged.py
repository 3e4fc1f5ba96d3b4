"""Which unmanaged pods a change is blamed for."""

import pytest

from cnichain.plan.coverage import Coverage, NodeStanding, Rule, count
from cnichain.plan.pods import EndpointRecord
from cnichain.rollout.unmanaged import unmanaged_alarms, unmanaged_by_node
from podrecords import pod

STARTED, VERIFIED, NOW = 1_000, 2_000, 3_000.0
RULE = Rule(min_age=0, confirm=0)
NOTHING = Coverage()


def alarms(found: Coverage, before: Coverage = NOTHING) -> dict[str, str]:
    return unmanaged_alarms(unmanaged_by_node(before.unmanaged), unmanaged_by_node(found.unmanaged), ["node-a"])


def counted(*started: int, since: int = VERIFIED, agent_ready: bool = True) -> Coverage:
    """A count of pods on one node that have no endpoints."""
    pods = {("default", f"web-{n}"): pod(f"web-{n}", node="node-a", started=at) for n, at in enumerate(started)}
    endpoints: dict[tuple[str, str], EndpointRecord] = {}
    return count(pods, endpoints, {"node-a": NodeStanding("", since, agent_ready)}, {}, NOW, RULE)


@pytest.mark.parametrize(("since", "agent_ready"), [(0, False), (0, True), (VERIFIED, False), (VERIFIED, True)])
def test_pods_from_before_the_chain_stop_no_adoption_however_old_the_count(since: int, agent_ready: bool) -> None:
    """Seen on a real node: the last count was of the moment before its first chain was verified."""
    found = counted(STARTED, STARTED, since=since, agent_ready=agent_ready)
    assert len(found.unmanaged) == 2, "they are unmanaged"
    assert alarms(found) == {}, "but the change has not brought them"


def test_pods_that_start_under_a_chain_that_is_well_and_get_no_endpoint_raise_the_alarm() -> None:
    said = alarms(counted(STARTED, VERIFIED + 1, VERIFIED + 2))
    assert list(said) == ["node-a"]
    assert said["node-a"].startswith("2 more pods than before the change run without Cilium")


def test_what_was_so_before_the_change_is_not_its_fault() -> None:
    assert alarms(counted(VERIFIED + 1), before=counted(VERIFIED + 1)) == {}
    assert alarms(counted(VERIFIED + 1, VERIFIED + 2), before=counted(VERIFIED + 1))["node-a"].startswith("1 more")
