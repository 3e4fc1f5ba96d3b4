"""Which unmanaged pods are evicted: never more than the budget, never what must not be touched, and not for ever."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.plan.coverage import Cause, Unmanaged
from cnichain.plan.pods import PodRecord, Workload
from cnichain.plan.restarts import (
    AT_ONCE,
    MOST_FAILED,
    MOST_STOPPED,
    Decision,
    History,
    Seen,
    Standing,
    decide_restarts,
    worth_a_look,
)
from cnichain.plan.standing import standing_of
from podrecords import pod

WEB = Workload("default", "Deployment", "web")
STEADY = Standing("u", 2, 2, steady=True)


def seen(
    *unmanaged: PodRecord, more: Iterable[PodRecord] = (), cause: Cause = Cause.OLDER_THAN_CHAIN, **how: Any
) -> Seen:
    """Confirmed unmanaged pods, and others."""
    pods: dict[Workload, list[PodRecord]] = defaultdict(list)
    for one in (*unmanaged, *more):
        pods[one.workload].append(one)
    usual: dict[str, Any] = {"endpoints": (), "ready_nodes": {"a"}}
    return Seen(pods=pods, unmanaged=[Unmanaged(one, cause) for one in unmanaged], **(usual | how))


def decide(
    what: Seen, histories: Mapping[Workload, History] | None = None, standing: Standing = STEADY, budget: int = 1
) -> Decision:
    """A decision with the same standing for every workload."""
    looked_at = worth_a_look(what, histories or {}, {})
    return decide_restarts(what, dict.fromkeys(looked_at, standing), histories or {}, 1, budget)


def names(decision: Decision) -> list[str]:
    return [one.name for one in decision.evict]


def test_the_oldest_pod_goes_first_and_alone() -> None:
    decision = decide(seen(pod("b", created=20), pod("a", created=10)))
    assert names(decision) == ["a"]
    assert decision.histories == {WEB: History(generation=1, since=20, restarts=1)}


@pytest.mark.parametrize(
    "changes",
    [
        {"workload": Workload("default", "", "")},
        {"workload": Workload("default", "Job", "batch")},
        {"workload": Workload("default", "ReplicaSet", "web")},
        {"part_of": "Cilium's own"},
        {"part_of": "the primary CNI's own"},
        {"kind": "host network"},
        {"kind": "static"},
        {"live": False},
        {"node": "not-verified"},
        {"namespace": "cnichain-system"},
    ],
    ids=str,
)
def test_what_is_never_touched(changes: dict[str, Any]) -> None:
    assert decide(seen(pod(**changes), protected={"cnichain-system"})).evict == ()


@pytest.mark.parametrize("cause", [Cause.AGENT_DOWN, Cause.CHAIN_NOT_VERIFIED, Cause.SECURITY_GROUP_POD])
def test_causes_that_a_restart_does_not_help(cause: Cause) -> None:
    assert decide(seen(pod(), cause=cause)).evict == ()


@pytest.mark.parametrize(
    ("standing", "says"),
    [
        (Standing("u", 2, 1, steady=True), "1 of 2 pods are ready"),
        (Standing("u", 2, 2, steady=False), "a rollout of its own"),
    ],
)
def test_a_workload_that_is_not_well_waits(standing: Standing, says: str) -> None:
    decision = decide(seen(pod("a"), pod("b")), standing=standing)
    assert decision.evict == ()
    assert says in decision.waiting[WEB]


def test_the_next_one_waits_for_the_replacement_to_be_ready_and_known_to_cilium() -> None:
    before = {WEB: History(1, since=50, restarts=1)}
    old, new = pod("old", created=50), pod("new", created=60)
    assert "0 of 2" in decide(seen(old, more=[replace(new, ready=False)], evicted={"u-old"}), before).waiting.get(
        WEB, "0 of 2"
    )
    assert "1 of 2" in decide(seen(old, more=[replace(new, ready=False)]), before).waiting[WEB]
    assert "no CiliumEndpoint yet" in decide(seen(old, more=[new]), before).waiting[WEB]
    assert names(decide(seen(old, more=[new], endpoints={"u-new"}), before)) == ["old"]


def test_what_was_just_evicted_counts_as_down_though_it_is_not_shown_so() -> None:
    decision = decide(seen(pod("a"), pod("b"), evicted={"u-a"}), {WEB: History(1, since=100, restarts=1)})
    assert decision.evict == ()


def test_a_budget_of_three_lets_three_go_but_not_of_a_daemon_set() -> None:
    standing = Standing("u", 5, 5, steady=True)
    pods = [pod(str(index)) for index in range(5)]
    assert len(decide(seen(*pods), standing=standing, budget=3).evict) == 3
    daemons = [replace(one, workload=Workload("default", "DaemonSet", "web")) for one in pods]
    assert len(decide(seen(*daemons), standing=standing, budget=3).evict) == 1


def test_the_dns_goes_first_and_alone() -> None:
    dns = Workload("kube-system", "Deployment", "coredns")
    names_of = {"workload": dns, "namespace": "kube-system", "dns": True}
    one, two, web = pod("dns-1", **names_of), pod("dns-2", **names_of), pod("web-1")
    decision = decide(seen(one, two, web, more=[pod("web-2")]), budget=3)
    assert names(decision) == ["dns-1"]
    assert decision.waiting[WEB] == "the cluster's DNS goes first"
    # While the last of its replacements is not known to Cilium, the others wait too.
    history = {dns: History(1, since=100, restarts=2)}
    new = [pod("dns-3", created=110, **names_of), pod("dns-4", created=120, **names_of)]
    waits = decide(seen(web, more=[*new, pod("web-2")], endpoints={"u-dns-3"}), history)
    assert (waits.evict, waits.waiting[WEB]) == ((), "the cluster's DNS goes first")
    goes = decide(seen(web, more=[*new, pod("web-2")], endpoints={"u-dns-3", "u-dns-4"}), history)
    assert names(goes) == ["web-1"]
    assert dns not in goes.histories, "the DNS is done"
    # A DNS that is not well for a reason of its own holds nobody up, and one that may not be evicted neither.
    ill = {dns: Standing("u", 2, 1, steady=True), WEB: STEADY}
    assert names(decide_restarts(seen(one, web, more=[two, pod("web-2")]), ill, {}, 1, 1)) == ["web-1"]
    assert names(decide(seen(one, two, web, more=[pod("web-2")], blocked={dns}))) == ["web-1"]


def test_a_workload_is_given_up_after_three_replacements_until_the_spec_changes() -> None:
    bad = [pod(str(index), created=200 + index) for index in range(3)]
    before = {WEB: History(1, since=100, restarts=3, failed=("u-0", "u-1"))}
    decision = decide(seen(bad[2], pod("old", created=50)), before)
    assert decision.evict == ()
    assert decision.histories[WEB].failed == ("u-0", "u-1", "u-2")
    assert decision.stopped == (WEB,)
    again = decide_restarts(seen(bad[2], pod("old", created=50)), {WEB: STEADY}, decision.histories, 2, 1)
    assert names(again) == ["old"], "another generation of the CNIChain begins anew"


def test_many_that_were_given_up_hold_all() -> None:
    failed = {
        Workload("default", "Deployment", str(index)): History(1, 1, 3, ("a", "b", "c"))
        for index in range(MOST_STOPPED)
    }
    decision = decide(seen(pod("a"), pod("b")), failed)
    assert decision.evict == ()
    assert "the chain itself does not work" in decision.held


def test_only_so_many_workloads_are_under_way() -> None:
    pods = [pod(str(index), workload=Workload("default", "Deployment", str(index))) for index in range(3 * AT_ONCE)]
    what = seen(*pods)
    standings = dict.fromkeys(what.pods, Standing("u", 1, 1, steady=True))
    decision = decide_restarts(what, standings, {}, 1, 1)
    assert len(decision.evict) == AT_ONCE
    assert set(decision.waiting.values()) == {"other workloads go first"}
    assert len(worth_a_look(what, {}, {})) == AT_ONCE


def test_workloads_take_turns_at_being_looked_at() -> None:
    pods = [pod(str(index), workload=Workload("default", "Deployment", f"{index:03}")) for index in range(AT_ONCE + 1)]
    last = Workload("default", "Deployment", f"{AT_ONCE:03}")
    assert last not in worth_a_look(seen(*pods), {}, {})
    looked = {one.workload: 1.0 for one in pods if one.workload != last}
    assert worth_a_look(seen(*pods), {}, looked)[0] == last


@pytest.mark.parametrize(
    ("kind", "spec", "status", "expected"),
    [
        ("Deployment", {"replicas": 2}, {"readyReplicas": 2, "updatedReplicas": 2}, (2, 2, True)),
        ("Deployment", {}, {"readyReplicas": 1, "updatedReplicas": 1}, (1, 1, True)),
        ("Deployment", {"replicas": 2}, {"readyReplicas": 2, "updatedReplicas": 1}, (2, 2, False)),
        ("Deployment", {"replicas": 1, "paused": True}, {"readyReplicas": 1, "updatedReplicas": 1}, (1, 1, False)),
        ("Deployment", {"replicas": 0}, {}, (0, 0, True)),
        ("Deployment", {}, {"readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 6}, (1, 1, False)),
        ("StatefulSet", {"replicas": 2}, {"readyReplicas": 1, "currentRevision": "a", "updateRevision": "a"},
         (2, 1, True)),
        ("StatefulSet", {"replicas": 2}, {"readyReplicas": 2, "currentRevision": "a", "updateRevision": "b"},
         (2, 2, False)),
        ("DaemonSet", {}, {"desiredNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 3}, (3, 2, True)),
        ("DaemonSet", {}, {"desiredNumberScheduled": 3, "numberReady": 3, "updatedNumberScheduled": 1}, (3, 3, False)),
    ],
)  # fmt: skip
def test_the_standing_of_a_workload(kind: str, spec: Any, status: Any, expected: tuple[int, int, bool]) -> None:
    item = {"metadata": {"uid": "u", "generation": 7}, "spec": spec, "status": {"observedGeneration": 7} | status}
    assert standing_of(kind, item) == Standing("u", *expected)


@dataclass
class Cluster:
    """One workload of each kind on a cluster in which only restarts take pods down; what is shown may lag behind."""

    random: Random
    desired: dict[Workload, int]
    works: dict[Workload, float]
    """How likely a replacement is managed."""
    clock: int = 1000
    pods: dict[str, PodRecord] = field(default_factory=dict)
    managed: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    failures: dict[Workload, int] = field(default_factory=lambda: defaultdict(int))
    evicted: set[str] = field(default_factory=set)
    shown: dict[str, PodRecord] = field(default_factory=dict)
    ready: dict[Workload, int] = field(default_factory=dict)

    def begin(self) -> None:
        for workload, number in self.desired.items():
            for index in range(number):
                made = self.make(workload, f"{workload.name}-{index}", ready=True)
                self.confirmed.add(made.uid)
        self.show()

    def make(self, workload: Workload, name: str, *, ready: bool) -> PodRecord:
        self.clock += 1
        dns = workload.name == "dns"
        made = pod(name, uid=f"{name}@{self.clock}", workload=workload, created=self.clock, ready=ready, dns=dns)
        self.pods[made.uid] = made
        return made

    def step(self, *, everything: bool) -> None:
        """Something happens in the cluster, or all of it in turn."""
        events = [self.end, self.replace, self.become_ready, self.tell, self.show, self.show_status]
        for happen in events if everything else [self.random.choice(events)]:
            happen()

    def end(self) -> None:
        for uid in [uid for uid, one in self.pods.items() if one.leaving]:
            del self.pods[uid]

    def replace(self) -> None:
        for workload, number in self.desired.items():
            missing = number - sum(one.workload == workload and not one.leaving for one in self.pods.values())
            for _ in range(missing):
                self.make(workload, f"{workload.name}-r{self.clock}", ready=False)

    def become_ready(self) -> None:
        self.pods = {uid: one if one.leaving else replace(one, ready=True) for uid, one in self.pods.items()}

    def tell(self) -> None:
        """Cilium tells of a new pod, or the count finds that it never will."""
        for uid, one in self.pods.items():
            if uid in self.managed or uid in self.confirmed or not one.ready or one.leaving:
                continue
            if self.random.random() < self.works[one.workload]:
                self.managed.add(uid)
            else:
                self.confirmed.add(uid)
                self.failures[one.workload] += 1

    def show(self) -> None:
        """The watch catches up."""
        self.shown = dict(self.pods)
        self.evicted &= set(self.shown)

    def show_status(self) -> None:
        """The controllers' status catches up."""
        self.ready = {
            workload: sum(one.workload == workload and one.ready and one.live for one in self.pods.values())
            for workload in self.desired
        }

    def evict(self, one: PodRecord) -> None:
        self.evicted.add(one.uid)
        if one.uid in self.pods:
            self.pods[one.uid] = replace(one, leaving=True, live=False)

    def seen(self) -> Seen:
        unmanaged = [one for uid, one in self.shown.items() if uid in self.confirmed]
        others = [one for uid, one in self.shown.items() if uid not in self.confirmed]
        return seen(*unmanaged, more=others, endpoints=set(self.managed), evicted=set(self.evicted))

    def down(self, workload: Workload) -> int:
        """Pods of a workload that do not serve, or of which nobody knows yet whether Cilium manages them."""
        known = self.managed | self.confirmed
        return self.desired[workload] - sum(
            one.workload == workload and one.live and one.ready and uid in known for uid, one in self.pods.items()
        )


KINDS = {"web": "Deployment", "db": "StatefulSet", "log": "DaemonSet", "dns": "Deployment", "batch": "Job"}


@settings(max_examples=50, deadline=None)
@given(
    random=st.randoms(use_true_random=False),
    budget=st.integers(1, 3),
    desired=st.fixed_dictionaries({name: st.integers(1, 4) for name in KINDS}),
    works=st.fixed_dictionaries({name: st.sampled_from([0.0, 0.5, 1.0]) for name in KINDS}),
)
def test_budgets_hold_whatever_lags_and_however_often_the_operator_is_killed(
    random: Random, budget: int, desired: dict[str, int], works: dict[str, float]
) -> None:
    workloads = {name: Workload("default", kind, name) for name, kind in KINDS.items()}
    cluster = Cluster(
        random, {workloads[name]: number for name, number in desired.items()},
        {workloads[name]: chance for name, chance in works.items()},
    )  # fmt: skip
    cluster.begin()
    cluster.show_status()
    histories: Mapping[Workload, History] = {}
    for turn in range(300):
        if random.random() < 0.05:  # killed: what it remembered is gone, and it lists anew
            cluster.show()
            cluster.evicted = set()
        what = cluster.seen()
        standings: dict[Workload, Standing | None] = {
            workload: Standing("u", number, cluster.ready[workload], steady=True)
            for workload, number in cluster.desired.items()
        }
        decision = decide_restarts(what, standings, histories, 1, budget)
        histories = decision.histories
        for one in decision.evict:
            assert one.workload.kind != "Job"
            assert one.uid not in cluster.managed
            cluster.evict(one)
        for workload in cluster.desired:
            limit = 1 if workload.kind == "DaemonSet" or workload.name == "dns" else budget
            assert cluster.down(workload) <= limit, f"{workload}: too many at once"
            assert cluster.failures[workload] <= MOST_FAILED, f"{workload}: it does not stop"
        cluster.step(everything=turn > 250)
    for workload in cluster.desired:  # and it gets somewhere
        left = [one for one in cluster.pods.values() if one.workload == workload and one.uid in cluster.confirmed]
        if workload.kind == "Job":
            assert len(left) == cluster.desired[workload]
        elif works["dns"] == cluster.works[workload] == 1.0:
            assert not left, f"{workload}: not all were restarted"


def test_no_more_go_at_once_than_may_still_fail() -> None:
    standing = Standing("u", 5, 5, steady=True)
    before = {WEB: History(1, since=100, restarts=3, failed=("x", "y"))}
    assert len(decide(seen(*(pod(str(index)) for index in range(5))), before, standing, budget=3).evict) == 1


@pytest.mark.parametrize(
    ("changes", "how", "why"),
    [
        ({"workload": Workload("default", "Job", "batch")}, {}, "only reported: no Deployment, StatefulSet"),
        ({"part_of": "Cilium's own"}, {}, "only reported: it is Cilium's own"),
        ({}, {"protected": {"default"}}, "only reported: it is of the operator"),
        ({}, {"cause": Cause.SECURITY_GROUP_POD}, "only reported: it has a security group of its own"),
        ({"node": "b"}, {}, "the chain or the Cilium agent on b is not ready"),
        ({}, {"cause": Cause.AGENT_DOWN}, "the chain or the Cilium agent on a is not ready"),
    ],
)  # fmt: skip
def test_it_is_said_why_a_pod_stays(changes: dict[str, Any], how: dict[str, Any], why: str) -> None:
    one = pod(**changes)
    decision = decide(seen(one, **how))
    assert ({**decision.waiting, **decision.left})[one.workload].startswith(why)
    assert decision.evict == ()
