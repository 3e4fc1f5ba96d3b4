"""Fifty nodes in three zones and two node groups: an adoption, upgrades and a downgrade, versions that fail, kills.

The charts are the real ones, and so are the agents, in one process. Every event is recorded (fleetwatch.py), and what
is asserted holds at every moment of the record: nothing can fall between two looks.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from availability import Moment, moments, nodes_with_image, opened, ready_words, restarted, told, worst
from endstate import differences, end_state
from faultproxy import Answered, fault_proxy
from faultypods import CRASHES, NEVER_READY, NO_IMAGE, crashes_after, faulty_pods
from fleet import NODES, agent_image, agent_images, fleet, node_files, zones
from fleetwatch import History, Recorder, watching
from harness import Harness
from lives import lives

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(900)]

OLDEST, OLD, NEW = "1.17.3", "1.17.18", "1.18.12"
ALLOWED = 5
CANARIES = 2
KILLS = 30
CHANGE_SECONDS = 240.0
CHAINED = "05-cilium.conflist"


def spec(version: str, **rollout: Any) -> dict[str, Any]:
    """The version on all nodes, ten per cent of them at once."""
    usual = {"canary": {"nodes": CANARIES, "soak": "2s"}, "maxUnavailable": "10%"}
    return {"cilium": {"version": version}, "rollout": usual | rollout}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> Iterator[Harness]:
    """The fleet of this module, whose tests run in the order in which they stand."""
    with fleet(tmp_path_factory.mktemp("fleet"), chart_dir) as running:
        yield running


@pytest.fixture(scope="module")
def ends() -> dict[str, Any]:
    """End state by version, as an operator that nobody killed has left it."""
    return {}


@contextmanager
def recorded(world: Harness) -> Iterator[Recorder]:
    """Records the block, and asserts of every moment that no more nodes than allowed were unavailable."""
    with watching(world.control_plane) as record:
        yield record
    stays_available(record.history, zones(world))


def stays_available(history: History, zone_of: dict[str, str]) -> None:
    """At no moment more nodes than allowed, nor more of one zone than its share."""
    found = worst(history)
    assert found.count <= ALLOWED, str(found)
    assert found.count > 1, "it goes node by node, or the record is empty"
    crowded = max(moments(history), key=lambda moment: most_of_a_zone(moment, zone_of))
    assert most_of_a_zone(crowded, zone_of) <= -(-ALLOWED // 3), f"too many of one zone: {crowded}"


def most_of_a_zone(moment: Moment, zone_of: dict[str, str]) -> int:
    return max(Counter(zone_of[name] for name in moment.unavailable).values(), default=0)


def goes_by_canaries(history: History, order: list[str]) -> None:
    """All canaries were well together, and for the soak, before any other node was touched. order: nodes as touched."""
    canaries, rest = order[:CANARIES], order[CANARIES:]
    assert len(order) == NODES
    at = {name: touched_at(history, name) for name in order}
    assert max(at[name] for name in canaries) < min(at[name] for name in rest)
    before_the_rest = [one for one in moments(history) if one.version < min(at[name] for name in rest)]
    assert not set(before_the_rest[-1].unavailable), "the canaries are well before the rest follows"


def is_ready_at_the_end(history: History) -> None:
    """Ready is not True for the new spec while nodes are still to be changed."""
    last = touched_at(history, touched(history)[-1])
    early = [words for words in ready_words(history) if words[1] == "True" and words[0] < last]
    assert early == [], f"Ready too early; all that it said: {ready_words(history)}"


def touched_at(history: History, name: str) -> int:
    """The version at which a node first became unavailable."""
    return next(moment.version for moment in moments(history) if name in moment.unavailable)


def touched(history: History) -> list[str]:
    """Nodes in the order in which they first became unavailable."""
    order: list[str] = []
    for moment in moments(history):
        order += sorted(set(moment.unavailable) - set(order))
    return order


def test_an_adoption_reaches_the_nodes_wave_by_wave(world: Harness) -> None:
    before = node_files(world)
    assert all(CHAINED not in files for files in before.values())
    with world.operator(), recorded(world) as record:
        world.apply_chain(spec(OLDEST))
        world.wait_through(CHANGE_SECONDS)
    is_ready_at_the_end(record.history)
    assert opened(record.history) == touched(record.history)
    goes_by_canaries(record.history, touched(record.history))
    assert set(agent_images(world).values()) == {agent_image(OLDEST)}
    assert len(agent_images(world)) == NODES
    assert all(CHAINED in files for files in node_files(world).values())


@pytest.mark.parametrize(
    "version", [OLD, NEW, f"{OLD} again"], ids=["to the latest patch", "a minor up", "a minor down"]
)
def test_a_change_of_version_restarts_wave_by_wave(world: Harness, ends: dict[str, Any], version: str) -> None:
    version = version.partition(" ")[0]
    files, previous = node_files(world), set(agent_images(world).values())
    with world.operator():
        with recorded(world) as record:
            world.apply_chain(spec(version))
            world.wait_through(CHANGE_SECONDS)
        ends[version] = end_state(world)
    is_ready_at_the_end(record.history)
    goes_by_canaries(record.history, touched(record.history))
    assert set(agent_images(world).values()) == {agent_image(version)}
    seen = {
        image for image in (agent_image(one) for one in (OLDEST, OLD, NEW)) if nodes_with_image(record.history, image)
    }
    assert seen == {*previous, agent_image(version)}, "no third version on the way"
    assert node_files(world) == files, "the chain needs no other files for it"


FAULTS: dict[str, tuple[tuple[str, str], dict[str, Any]]] = {
    "crashes at once": (CRASHES, {}),
    "crashes in its soak": (crashes_after(2), {"canary": {"nodes": CANARIES, "soak": "20s"}}),
    "is never ready": (NEVER_READY, {"progressDeadline": "10s"}),
    "has no image": (NO_IMAGE, {"progressDeadline": "10s"}),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_version_that_fails_on_the_canaries_goes_back_by_itself(world: Harness, fault: str) -> None:
    kind, rollout = FAULTS[fault]
    files = node_files(world)
    with world.operator(), faulty_pods(world, {agent_image(NEW)}, kind):
        with recorded(world) as record:
            world.apply_chain(spec(NEW, **rollout))
            stalled = world.wait_reason("Stalled", "RolledBack")
        canaries = nodes_with_image(record.history, agent_image(NEW))
        assert 1 <= len(canaries) <= CANARIES
        assert restarted(record.history) <= canaries, "a node that the version never reached has restarted"
        assert told(record.history) <= canaries
        assert any(name in stalled["message"] for name in canaries), "it names the nodes"
        assert set(agent_images(world).values()) == {agent_image(OLD)}
        assert worst(record.history).count <= CANARIES
        assert node_files(world) == files
        assert world.conditions()["Ready"]["status"] == "False"
        assert world.conditions()["CiliumReady"]["status"] == "True"
        world.apply_chain(spec(OLD))
        world.wait_through()


@dataclass
class RandomPoints:
    """Kills at random writes. most: from one kill to the next."""

    random: random.Random
    most: int
    left: int = KILLS
    _next: int = field(default=1)

    def is_due(self, _write: str, _answer: Answered) -> bool:
        self._next -= 1
        if self._next > 0 or self.left == 0:
            return False
        self.left -= 1
        self._next = self.random.randint(1, self.most)
        return True


def test_killed_at_thirty_random_points_an_upgrade_ends_the_same(world: Harness, ends: dict[str, Any]) -> None:
    files = node_files(world)
    points = RandomPoints(random.Random(6), most=8)  # noqa: S311 - the same points each time
    with (
        fault_proxy(world.control_plane) as proxy,
        recorded(world) as record,
        lives(world, proxy, points.is_due) as killed,
    ):
        world.apply_chain(spec(NEW))
        world.wait_through(CHANGE_SECONDS)
        assert killed.trouble == ""
        assert len(killed.kills) == KILLS, "it was through before it was killed that often"
    goes_by_canaries(record.history, touched(record.history))
    assert differences(without_story(ends[NEW]), without_story(end_state(world))) == []
    assert node_files(world) == files


def without_story(state: dict[str, Any]) -> dict[str, Any]:
    """An end state without the revisions that led to it."""
    return {key: value for key, value in state.items() if key != "revisions"}
