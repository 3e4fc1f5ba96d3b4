"""A rollout over modelled nodes: whatever happens to them, never more are taken down than may be, and it ends."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.chain import CanarySpec, RolloutSpec
from cnichain.api.reasons import Reason
from cnichain.api.rolloutstatus import RolloutState, RolloutStatus
from cnichain.rollout.decide import Decision, decide
from cnichain.rollout.nodes import AgentPod, NodeSituation, Step
from cnichain.rollout.order import budget, spread
from cnichain.rollout.view import Target

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD, NEW = "old", "new"
TEMPLATES = {"cilium": NEW}
TARGET = Target("t1", TEMPLATES)


def pod(name: str, template: str = NEW, **more: object) -> AgentPod:
    return replace(AgentPod(f"cilium-{name}", f"uid-{name}-{template}", name, "cilium", template, ready=True), **more)  # type: ignore[arg-type]


def node(name: str, *pods: AgentPod, zone: str = "a", opened: bool = True, **more: object) -> NodeSituation:
    base = NodeSituation(
        name, zone, "", reachable=True, closed=False, opened=opened, told=opened, verified=opened, chain="", pods=pods
    )
    return replace(base, **more)  # type: ignore[arg-type]


def fresh(name: str, zone: str = "a", **more: object) -> NodeSituation:
    return node(name, zone=zone, opened=False, **more)


def rollout(canary: int = 1, soak: str = "10s", most: str = "2", **more: object) -> RolloutSpec:
    return RolloutSpec(canary=CanarySpec(nodes=canary, soak=soak), max_unavailable=most, **more)  # type: ignore[arg-type]


@dataclass
class World:
    """Nodes that obey: what is started goes down, and is well a step later, unless it is broken."""

    nodes: dict[str, NodeSituation]
    spec: RolloutSpec
    target: Target = TARGET
    memory: RolloutStatus | None = None
    now: datetime = NOW
    broken: set[str] = field(default_factory=set)
    most_down: int = 0
    waves: list[tuple[str, ...]] = field(default_factory=list)

    def step(self) -> Decision:
        decision = decide(list(self.nodes.values()), self.target, self.spec, self.memory, self.now)
        self.memory = decision.memory
        for name in decision.start:
            down = pod(name, self.target.templates["cilium"], ready=False)
            self.nodes[name] = replace(self.nodes[name], opened=True, told=True, verified=False, pods=(down,))
        if decision.start:
            self.waves.append(decision.start)
        templates = self.target.templates
        moving = [one for one in self.nodes.values() if one.opened and not one.available(templates)]
        self.most_down = max(self.most_down, len(moving))
        return decision

    def settle(self) -> None:
        for name, one in self.nodes.items():
            if one.opened and one.step(self.target.templates) is Step.MOVING and name not in self.broken:
                well = tuple(replace(item, ready=True) for item in one.pods)
                self.nodes[name] = replace(one, verified=True, closed=False, pods=well)

    def run(self) -> Decision:
        over = {RolloutState.DONE, RolloutState.FAILED}
        return self.run_until(lambda decision: bool(decision.failure) or decision.memory.state in over)

    def run_until(self, over: Callable[[Decision], bool], steps: int = 400) -> Decision:
        for _ in range(steps):
            decision = self.step()
            if over(decision):
                return decision
            self.settle()
            self.now += timedelta(seconds=5)
        raise AssertionError(f"no end after {steps} steps: {self.memory}")


NODES = st.dictionaries(
    st.integers(0, 60).map("n{:02}".format),
    st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(NODES, st.integers(0, 3), st.sampled_from(["1", "3", "10%", "50%", "100%"]))
def test_never_more_nodes_are_down_than_allowed_and_all_get_the_change(
    drawn: dict[str, tuple[str, bool, bool, bool]], canary: int, most: str
) -> None:
    nodes = {}
    for name, (zone, has_old, is_told, away) in drawn.items():
        found = node(name, pod(name, OLD), zone=zone, told=is_told) if has_old else fresh(name, zone)
        nodes[name] = replace(found, reachable=False) if away and not has_old else found
    world = World(nodes, rollout(canary, most=most))
    world.run()
    assert world.most_down <= budget(most, len(nodes))
    late = [name for name, one in world.nodes.items() if one.reachable and one.step(TEMPLATES) is not Step.CURRENT]
    assert late == [], "every node that can be reached has the change"


def test_the_canary_soaks_before_anything_else_is_touched() -> None:
    world = World({name: node(name, pod(name, OLD)) for name in ("a1", "b1", "c1")}, rollout())
    first = world.step()
    assert first.start == ("a1",)
    world.settle()
    soaking = world.step()
    assert soaking.start == ()
    assert soaking.reason is Reason.SOAKING
    assert soaking.again == timedelta(seconds=10)
    world.now += timedelta(seconds=9)
    assert world.step().start == ()
    world.now += timedelta(seconds=1)
    assert world.step().start == ("b1", "c1")


def test_without_canary_nodes_nothing_is_called_a_canary() -> None:
    world = World({f"n{number}": fresh(f"n{number}") for number in range(4)}, rollout(canary=0))
    said: list[tuple[Reason, str]] = []

    def is_over(decision: Decision) -> bool:
        said.append((decision.reason, decision.waiting_for))
        return decision.memory.state is RolloutState.DONE

    world.run_until(is_over)
    assert [len(wave) for wave in world.waves] == [2, 2]
    assert Reason.SOAKING in {reason for reason, _ in said}, "they soak together at the end"
    assert not [words for reason, words in said if reason is Reason.CANARY or "canary" in words]


def test_a_canary_that_gets_ill_soaks_anew() -> None:
    world = World({name: node(name, pod(name, OLD)) for name in ("a1", "b1")}, rollout())
    world.step()
    world.settle()
    world.step()
    world.nodes["a1"] = replace(world.nodes["a1"], verified=False)
    world.now += timedelta(seconds=60)
    assert world.step().start == (), "the time of the soak must not run while the canary is ill"
    world.settle()
    assert world.step().reason is Reason.SOAKING


def test_a_crash_fails_it_at_once_and_names_node_and_pod() -> None:
    world = World({name: node(name, pod(name, OLD)) for name in ("a1", "b1")}, rollout())
    world.step()
    world.nodes["a1"] = replace(world.nodes["a1"], pods=(pod("a1", ready=False, waiting="CrashLoopBackOff"),))
    decision = world.step()
    assert decision.failure is not None
    assert decision.failure.reason is Reason.AGENT_CRASHED
    assert "a1: pod cilium-a1 crashes" in decision.failure.message
    assert decision.start == ()
    assert world.step().start == (), "a change that has failed goes no further"


def test_an_old_agent_that_crashes_is_no_failure_of_the_change() -> None:
    nodes = {"a1": node("a1", pod("a1", OLD, ready=False, restarts=9)), "b1": node("b1", pod("b1", OLD))}
    assert World(nodes, rollout()).run().failure is None


def test_a_node_that_never_gets_well_fails_it_after_the_deadline() -> None:
    world = World({name: node(name, pod(name, OLD)) for name in ("a1", "b1")}, rollout(progress_deadline="1m"))
    world.broken = {"a1"}
    decision = world.run()
    assert decision.failure is not None
    assert decision.failure.reason is Reason.ROLLOUT_OVERDUE
    assert world.waves == [("a1",)], "nothing but the canary was touched"


def test_after_the_soak_a_few_late_nodes_are_left_behind_while_there_is_room() -> None:
    names = [f"n{number}" for number in range(8)]
    world = World({name: node(name, pod(name, OLD)) for name in names}, rollout(most="2", progress_deadline="1m"))
    world.broken = {"n3"}
    decision = world.run_until(lambda decision: decision.reason is Reason.ROLLOUT_OVERDUE)
    assert decision.failure is None
    assert "n3" in decision.waiting_for
    late = [name for name in names if world.nodes[name].step(TEMPLATES) is not Step.CURRENT]
    assert late == ["n3"]
    assert world.most_down <= 2
    world.broken = set()
    world.settle()
    assert world.step().memory.state is RolloutState.DONE


def test_late_nodes_that_leave_no_room_fail_it() -> None:
    names = [f"n{number}" for number in range(8)]
    world = World({name: node(name, pod(name, OLD)) for name in names}, rollout(most="2", progress_deadline="1m"))
    world.broken = {"n3", "n5"}
    decision = world.run()
    assert decision.failure is not None
    assert "n3" in decision.failure.message
    assert "n5" in decision.failure.message
    assert world.most_down <= 2


def test_an_alarm_of_a_gate_fails_it_but_for_nodes_without_the_change() -> None:
    nodes = [node("a1", pod("a1")), node("b1", pod("b1", OLD))]
    memory = RolloutStatus(target="t1", state=RolloutState.SOAKING, progressed="2026-11-24T12:00:00Z")
    assert decide(nodes, TARGET, rollout(), memory, NOW, {"b1": "sandboxes fail"}).failure is None
    failure = decide(nodes, TARGET, rollout(), memory, NOW, {"a1": "sandboxes fail"}).failure
    assert failure is not None
    assert failure.reason is Reason.GATE_FAILED
    assert "a1: sandboxes fail" in failure.message


def test_nodes_that_are_down_anyway_use_up_what_may_be_down() -> None:
    nodes = [node("a1", pod("a1")), node("b1", pod("b1", OLD)), node("c1", pod("c1", OLD), reachable=False)]
    memory = RolloutStatus(target="t1", state=RolloutState.WAVES, soaked=True, progressed="2026-11-24T12:00:00Z")
    decision = decide(nodes, TARGET, rollout(most="1"), memory, NOW)
    assert decision.start == ()
    assert decision.reason is Reason.NODES_UNAVAILABLE
    assert "c1" in decision.waiting_for


def test_a_node_that_cannot_be_reached_does_not_hold_up_the_others_and_gets_it_later() -> None:
    world = World({name: node(name, pod(name, OLD)) for name in ("a1", "b1", "c1")}, rollout())
    world.nodes["c1"] = replace(world.nodes["c1"], reachable=False)
    decision = world.run()
    assert decision.reason is Reason.NODES_NOT_READY
    assert "c1" in decision.waiting_for
    world.nodes["c1"] = replace(world.nodes["c1"], reachable=True)
    assert world.step().start == ("c1",)


def test_a_node_that_joins_a_finished_rollout_is_opened_at_once() -> None:
    world = World({"a1": node("a1", pod("a1", OLD))}, rollout())
    world.run()
    world.nodes["b1"] = fresh("b1")
    assert world.step().start == ("b1",)


def test_nodes_that_are_as_they_should_be_need_no_soak() -> None:
    decision = decide([node("a1", pod("a1")), node("b1", pod("b1"))], TARGET, rollout(), None, NOW)
    assert decision.memory.state is RolloutState.DONE
    assert decision.waiting_for == ""


def test_paused_nothing_starts_and_the_deadline_does_not_run() -> None:
    world = World({name: node(name, pod(name, OLD)) for name in ("a1", "b1")}, rollout(progress_deadline="1m"))
    world.step()
    world.spec = rollout(progress_deadline="1m", paused=True)
    for _ in range(5):
        world.now += timedelta(minutes=10)
        decision = world.step()
        assert (decision.start, decision.failure, decision.reason) == ((), None, Reason.PAUSED)
    world.spec = rollout(progress_deadline="1m")
    assert world.step().failure is None, "the deadline begins anew"


def test_the_way_back_neither_soaks_nor_waits_for_what_is_broken() -> None:
    nodes = {name: node(name, pod(name)) for name in ("a1", "b1", "c1")}
    nodes["b1"] = node("b1", pod("b1", "bad", ready=False, waiting="CrashLoopBackOff"))
    world = World(nodes, rollout(most="1"), target=Target("t0", TEMPLATES, back=True))
    assert world.step().start == ("b1",)
    world.settle()
    assert world.step().memory.state is RolloutState.DONE


@given(NODES)
def test_any_first_nodes_are_spread_over_the_zones(drawn: dict[str, tuple[str, bool, bool, bool]]) -> None:
    nodes = [fresh(name, zone) for name, (zone, *_) in drawn.items()]
    order = spread(nodes)
    assert sorted(one.name for one in order) == sorted(drawn)
    sizes = {zone: sum(one.zone == zone for one in nodes) for zone in "abc"}
    for count in range(1, len(order) + 1):
        taken = {zone: sum(one.zone == zone for one in order[:count]) for zone in "abc"}
        for zone, got in taken.items():
            assert got == sizes[zone] or got >= max(taken.values()) - 1, (count, taken)


@given(st.integers(1, 20), st.integers(0, 2), st.integers(1, 9))
def test_zones_of_one_size_are_done_together(least: int, bigger: int, wave: int) -> None:
    """To the last wave: no zone is left over, whose nodes would then be down alone."""
    nodes = [fresh(f"{zone}{n:02}", zone) for i, zone in enumerate("abc") for n in range(least + (i < bigger))]
    while nodes:
        first = spread(nodes)[:wave]
        most = max(sum(one.zone == zone for one in first) for zone in "abc")
        assert most <= -(-wave // 3), f"{most} of one zone in a wave of {wave}, {len(nodes)} nodes before the end"
        nodes = [one for one in nodes if one not in first]


@pytest.mark.parametrize(("most", "nodes", "expected"), [("10%", 50, 5), ("10%", 9, 1), ("3", 1, 3), ("0%", 9, 1)])
def test_what_may_be_down_is_rounded_down_but_is_at_least_one(most: str, nodes: int, expected: int) -> None:
    assert budget(most, nodes) == expected


def test_a_wave_that_was_told_of_and_never_begun_is_the_same_wave() -> None:
    world = World({name: node(name, pod(name, OLD)) for name in ("a1", "b1", "c1")}, rollout())
    untouched = dict(world.nodes)
    for _ in range(3):
        decision = world.step()
        assert (decision.start, decision.memory.wave) == (("a1",), 1)
        world.nodes = dict(untouched)  # the operator was killed before it did what status says
    world.step()
    world.settle()
    world.step()
    world.now += timedelta(seconds=10)
    assert world.step().memory.wave == 2


@given(st.tuples(*[st.integers(0, 8)] * 3), st.integers(0, 3))
def test_no_zone_loses_more_than_its_share_whatever_a_kill_has_left(done: tuple[int, int, int], torn: int) -> None:
    """Waves that were cut off leave the zones unlike far, and nodes that have lost a pod and are still to be begun."""
    nodes = {}
    for zone, have_it in zip("abc", done, strict=True):
        for number in range(15):
            name = f"{zone}{number:02}"
            nodes[name] = node(name, pod(name, NEW if number < have_it else OLD), zone=zone)
    down = [f"a{14 - number:02}" for number in range(torn)]
    nodes |= {name: replace(nodes[name], told=False, pods=()) for name in down}
    memory = RolloutStatus(target="t1", state=RolloutState.WAVES, soaked=True, progressed="2026-11-24T12:00:00Z")
    start = decide(list(nodes.values()), TARGET, rollout(most="5"), memory, NOW).start
    assert len(start) == 5
    assert set(down) <= set(start), "what is down anyway comes first"
    assert max(sum(name.startswith(zone) for name in start) for zone in "abc") <= max(2, torn), start
