"""What the chain costs: usage of parts and nodes, starts of pods, and when a change is worth a write."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.overheadstatus import OverheadStatus, PodStarts
from cnichain.plan.coverage import NodeStanding
from cnichain.plan.overhead import (
    MEBIBYTE,
    PodUsage,
    averaged,
    is_notable,
    overhead,
    parts_of,
    per_node,
    pod_usage,
    quantity,
    starts,
    with_memory,
)
from cnichain.plan.pods import UNKNOWN_SECONDS, EndpointRecord, pod_record
from podrecords import pod

NOW = "2026-11-28T12:00:00Z"
CHAINED = {"a": NodeStanding("", 100, agent_ready=True)}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("12345678n", 0.012345678),
        ("3u", 3e-6),
        ("2", 2),
        ("64Mi", 64 * MEBIBYTE),
        ("1536Ki", 1.5 * MEBIBYTE),
        ("1G", 1e9),
        ("1e3", 1000),
        ("0", 0),
        ("1.5Gi", 1536 * MEBIBYTE),
    ],
)
def test_quantities_are_read(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "m", "Mi", "1Q", "nan", "inf", "-infm"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="could not convert"):
        quantity(text)


def metrics(name: str, labels: dict[str, str], *usage: tuple[str, str]) -> dict[str, Any]:
    """A PodMetrics."""
    containers = [
        {"name": str(index), "usage": {"cpu": cpu, "memory": memory}} for index, (cpu, memory) in enumerate(usage)
    ]
    return {"metadata": {"namespace": "kube-system", "name": name, "labels": labels}, "containers": containers}


def test_a_pod_is_told_by_its_labels_and_its_containers_are_added_up() -> None:
    found = pod_usage(metrics("cilium-x", {"k8s-app": "cilium", "other": "1"}, ("100m", "64Mi"), ("50m", "64Mi")))
    assert found is not None
    assert (found.part, found.name, found.memory) == ("cilium-agent", "cilium-x", 128 * MEBIBYTE)
    assert found.cpu == pytest.approx(0.15)
    assert pod_usage(metrics("coredns", {"k8s-app": "kube-dns"}, ("1", "1Gi"))) is None
    assert pod_usage({"metadata": {"namespace": "a", "name": "b"}}) is None


def used(part: str, name: str, cpu: float, mebibytes: float) -> PodUsage:
    return PodUsage("kube-system", name, part, cpu, mebibytes * MEBIBYTE)


FLEET = [
    used("aws-node", "aws-1", 0.01, 50),
    used("cilium-agent", "cilium-1", 0.1, 300),
    used("cilium-agent", "cilium-2", 0.3, 100),
    used("cnichain-agent", "agent-1", 0.001, 23),
    used("hubble-relay", "relay", 0.02, 40),
]
WHERE = {("kube-system", name): f"n{name[-1]}" for name in ("aws-1", "cilium-1", "cilium-2", "agent-1")} | {
    ("kube-system", "relay"): "n1"
}


def test_parts_say_all_and_the_pod_that_uses_most() -> None:
    parts = {part.name: part for part in parts_of(FLEET)}
    assert list(parts) == ["cilium-agent", "hubble-relay", "cnichain-agent", "aws-node"]
    agent = parts["cilium-agent"]
    assert (agent.pods, agent.cpu_millicores, agent.memory_mebibytes) == (2, 400, 400)
    assert (agent.most_cpu_millicores, agent.most_memory_mebibytes) == (300, 300)


def test_a_node_pays_for_what_runs_on_every_node_but_not_for_the_primary() -> None:
    node = per_node(FLEET, WHERE)
    assert node is not None
    assert node.nodes == 2
    assert (node.cpu_millicores, node.most_cpu_millicores) == (200, 300)
    assert (node.memory_mebibytes, node.most_memory_mebibytes) == (212, 323)
    assert per_node(FLEET, {}) is None


def test_the_total_is_what_the_chain_adds_to_the_primary() -> None:
    found = overhead(FLEET, WHERE, (None, None), NOW)
    assert (found.cpu_millicores, found.memory_mebibytes) == (421, 463)
    assert overhead(None, WHERE, (None, None), NOW).cpu_millicores is None


def test_status_has_the_average_of_the_newest_measurements() -> None:
    quiet = overhead([used("cilium-agent", "cilium-1", 0.1, 200)], WHERE, (None, None), "1")
    busy = [used("cilium-agent", "cilium-1", 0.5, 220), used("hubble-relay", "relay", 0.02, 40)]
    found = averaged([quiet, overhead(busy, WHERE, (None, None), "2")])
    assert (found.since, found.cpu_millicores, found.memory_mebibytes) == ("2", 310, 230)
    parts = {part.name: part for part in found.parts}
    assert (parts["cilium-agent"].cpu_millicores, parts["cilium-agent"].most_cpu_millicores) == (300, 500)
    assert parts["hubble-relay"].cpu_millicores == 20, "it was not there before, which is not 0"
    assert found.per_node is not None
    assert found.per_node.cpu_millicores == 300


def test_a_load_that_goes_up_and_down_around_a_level_is_written_once() -> None:
    """CPU doubles and halves from look to look; once the window is full the average hardly moves."""
    newest, writes = deque[OverheadStatus](maxlen=6), 0
    known: OverheadStatus | None = None
    for look in range(60):
        cores = 0.8 if look % 2 else 1.2
        newest.append(overhead([used("cilium-agent", "cilium-1", cores, 100)], WHERE, (None, None), NOW))
        if is_notable(known, found := averaged(list(newest))):
            known, writes = found, writes + 1
    assert writes == 1


def conditions(**times: str) -> dict[str, Any]:
    """The status of a pod whose conditions became true at these seconds of a minute."""
    told = [
        {"type": name, "status": "True", "lastTransitionTime": f"2026-11-28T12:00:{second}Z"}
        for name, second in times.items()
        if name != "started"
    ]
    state = {"running": {"startedAt": f"2026-11-28T12:00:{times['started']}Z"}} if "started" in times else {}
    return {"phase": "Running", "conditions": told, "containerStatuses": [{"restartCount": 0, "state": state}]}


def recorded(status: dict[str, Any]) -> tuple[int, int]:
    record = pod_record({"metadata": {"namespace": "default", "name": "p", "uid": "u"}, "status": status})
    return record.network_after, record.started_after


def test_times_are_those_of_kubelets_conditions() -> None:
    status = conditions(PodScheduled="10", PodReadyToStartContainers="12", started="15")
    assert recorded(status) == (2, 5)
    assert recorded(conditions(PodScheduled="10", started="15")) == (UNKNOWN_SECONDS, 5)
    assert recorded(conditions(started="15")) == (UNKNOWN_SECONDS, UNKNOWN_SECONDS)


def test_a_restart_tells_nothing_of_the_start() -> None:
    status = conditions(PodScheduled="10", PodReadyToStartContainers="12", started="15")
    status["containerStatuses"][0]["restartCount"] = 1
    assert recorded(status) == (UNKNOWN_SECONDS, UNKNOWN_SECONDS)
    later = conditions(PodScheduled="10", PodReadyToStartContainers="40", started="15")
    assert recorded(later) == (UNKNOWN_SECONDS, 5), "a sandbox that was made anew"


def test_pods_from_before_the_chain_are_told_from_those_with_it() -> None:
    pods = {
        ("default", "old"): pod("old", started=50, network_after=1, started_after=2),
        ("default", "new"): pod("new", started=150, network_after=3, started_after=5),
        ("default", "lost"): pod("lost", started=150, network_after=50, started_after=50),
        ("default", "host"): pod("host", started=150, kind="host network", network_after=50),
    }
    endpoints = {("default", "new"): EndpointRecord("u-new", ("10.0.0.1",))}
    before, after = starts(pods, endpoints, CHAINED)
    assert before is not None
    assert after is not None
    assert (before.pods, before.network_milliseconds, before.started_milliseconds) == (1, 1000, 2000)
    assert (after.pods, after.network_milliseconds, after.started_milliseconds) == (1, 3000, 5000)


def test_one_pod_that_waited_long_moves_no_average() -> None:
    pods = {("default", str(n)): pod(str(n), started=50, network_after=99 if n == 0 else 2) for n in range(10)}
    before, _ = starts(pods, {}, CHAINED)
    assert before is not None
    assert (before.pods, before.network_milliseconds, before.network_p90_seconds) == (10, 2000, 2)
    assert before.started_milliseconds is None


def figures(
    cpu: int | None = 1000, memory: int | None = 1000, network: int | None = 2000, count: int = 9
) -> OverheadStatus:
    pods = PodStarts(pods=count, network_milliseconds=network) if network is not None else None
    return OverheadStatus(since=NOW, cpu_millicores=cpu, memory_mebibytes=memory, pods_after=pods)


@pytest.mark.parametrize(
    ("found", "notable"),
    [
        (figures(cpu=1299), False),
        (figures(cpu=1301), True),
        (figures(cpu=699), True),
        (figures(memory=1301), True),
        (figures(network=2600), False),
        (figures(network=2601), True),
        (figures(count=500), False),
        (figures(network=None), True),
    ],
)
def test_only_a_good_part_of_a_figure_is_worth_a_write(found: OverheadStatus, notable: bool) -> None:
    assert is_notable(figures(), found) is notable


def test_small_figures_may_double_without_a_write() -> None:
    assert not is_notable(figures(cpu=40, memory=50), figures(cpu=120, memory=150))


def test_nothing_measured_is_nothing_to_write() -> None:
    assert not is_notable(None, OverheadStatus(since=NOW))
    assert is_notable(None, figures())


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_was_written_is_never_notable_at_once(cpu: int, memory: int) -> None:
    """No churn: the figures that status has are not written a second time."""
    assert not is_notable(figures(cpu, memory), figures(cpu, memory))


def test_pods_from_before_the_chain_are_remembered_when_they_are_gone() -> None:
    known = OverheadStatus(since=NOW, pods_before=PodStarts(pods=40, network_milliseconds=1000))
    assert with_memory(figures(), known).pods_before == known.pods_before
    fewer = figures().model_copy(update={"pods_before": PodStarts(pods=3, network_milliseconds=9000)})
    assert with_memory(fewer, known).pods_before == known.pods_before
    more = figures().model_copy(update={"pods_before": PodStarts(pods=50, network_milliseconds=1100)})
    assert with_memory(more, known).pods_before == more.pods_before


def test_usage_stays_while_the_metrics_api_is_away() -> None:
    away = with_memory(figures(cpu=None, memory=None), figures())
    assert (away.cpu_millicores, away.memory_mebibytes) == (1000, 1000)
    assert not is_notable(figures(), away)
