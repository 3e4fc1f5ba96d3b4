"""What `cnichain overhead` prints fits a terminal of 80 columns."""

from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.overheadstatus import NodeOverhead, OverheadStatus, PartOverhead, PodStarts
from cnichain.cli.overheadreport import as_data, as_text
from cnichain.plan.overhead import PARTS

BEFORE = PodStarts(
    pods=14, network_milliseconds=1250, network_p90_seconds=2, started_milliseconds=3100, started_p90_seconds=5
)
AFTER = PodStarts(
    pods=210, network_milliseconds=1500, network_p90_seconds=3, started_milliseconds=3300, started_p90_seconds=6
)


def part(name: str, pods: int, cpu: int, memory: int) -> PartOverhead:
    return PartOverhead(
        name=name,
        pods=pods,
        cpu_millicores=cpu,
        memory_mebibytes=memory,
        most_cpu_millicores=cpu,
        most_memory_mebibytes=memory,
    )


def found(cpu: int = 5400, memory: int = 21000) -> OverheadStatus:
    return OverheadStatus(
        cpu_millicores=cpu,
        memory_mebibytes=memory,
        parts=[part("cilium-agent", 40, cpu, memory), part("aws-node", 40, 300, 2400)],
        per_node=NodeOverhead(
            nodes=40,
            cpu_millicores=cpu,
            memory_mebibytes=memory,
            most_cpu_millicores=cpu,
            most_memory_mebibytes=memory,
        ),
        pods_before=BEFORE,
        pods_after=AFTER,
    )


def test_the_cost_is_told_by_part_by_node_and_in_time() -> None:
    text = as_text(found(), "")
    assert text.splitlines()[1].split() == ["cilium-agent", "40", "5400m", "20.5Gi", "5400m", "20.5Gi"]
    assert "aws-node (the primary)" in text
    assert text.splitlines()[3].split() == ["all", "but", "the", "primary", "40", "5400m", "20.5Gi"]
    assert "A node pays 5400m and 20.5Gi on average" in text
    assert "before the chain    14    1.25s   2s" in text
    assert "The chain adds +0.25 s to the network of a pod." in text


def test_without_the_metrics_api_it_says_why_and_shows_the_rest() -> None:
    why = "the metrics API (metrics.k8s.io) is not served; install metrics-server."
    text = as_text(OverheadStatus(pods_after=AFTER), why)
    assert " ".join(text.splitlines()[:2]) == f"CPU and memory: not measured, {why}"
    assert max(map(len, text.splitlines())) <= 80
    assert "before the chain     0        -" in text
    assert "with the chain" in text
    assert "The chain adds" not in text, "there is nothing to compare with"
    assert as_data(OverheadStatus(pods_after=AFTER), "why")["notMeasured"] == "why"
    assert as_text(OverheadStatus(), "no reason.").endswith("Start of pods: no pod tells how long it took.")


def test_data_has_the_names_of_status() -> None:
    data = as_data(found(), "")
    assert data["cpuMillicores"] == 5400
    assert data["podsBefore"]["networkMilliseconds"] == 1250
    assert "notMeasured" not in data
    assert "since" not in data, "it is of now"


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_it_fits_80_columns(cpu: int, memory: int) -> None:
    everything = found(cpu, memory).model_copy(update={"parts": [part(one.name, 5000, cpu, memory) for one in PARTS]})
    for line in as_text(everything, "").splitlines():
        assert len(line) <= 80, line
