"""Drops by policy: what of Hubble's metrics counts, the rate between samples, and when it is an alarm."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.rollout.drops import (
    PORT,
    DropSample,
    drop_alarm,
    drops_per_second,
    metrics_port,
    not_measured,
    policy_drops,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
METRICS = """\
# HELP hubble_drop_total Number of drops
# TYPE hubble_drop_total counter
hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"} 5
hubble_drop_total{protocol="UDP",reason="POLICY_DENIED",source="shop/\\"a\\""} 2e+01
hubble_drop_total{protocol="TCP",reason="POLICY_DENY"} 1
hubble_drop_total{protocol="TCP",reason="STALE_OR_UNROUTABLE_IP"} 1000
hubble_flows_processed_total{protocol="TCP",type="L3_L4"} 99999
"""


def sample(seconds: float, total: float | None) -> DropSample:
    return DropSample(NOW + timedelta(seconds=seconds), total)


def test_drops_by_policy_count_and_others_do_not() -> None:
    assert policy_drops(METRICS) == 26
    assert policy_drops("") == 0, "before the first drop Hubble shows no such counter"


@pytest.mark.parametrize(
    "text",
    [
        'hubble_drop_total{reason="POLICY_DENIED"} many',
        'hubble_drop_total{reason="POLICY_DENIED"} NaN',
        'hubble_drop_total{reason="POLICY_DENIED"} -1',
        'hubble_drop_total{reason="POLICY_DEN',
        "hubble_drop_total",
        "<html>",
    ],
)
def test_what_is_no_counter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        policy_drops(text)


@given(st.text(max_size=60), st.sampled_from(["", "hubble_drop_total", 'hubble_drop_total{reason="POLICY_DENIED"']))
def test_any_text_is_a_number_or_refused(text: str, start: str) -> None:
    try:
        total = policy_drops(start + text)
    except ValueError:
        return
    assert math.isfinite(total)
    assert total >= 0


@pytest.mark.parametrize(
    ("earlier", "later", "rate"),
    [
        (sample(0, 100), sample(20, 140), 2.0),
        (sample(0, 100), sample(20, 100), 0.0),
        (sample(0, 100), sample(20, 30), 1.5),  # the agent restarted
        (sample(0, 100), sample(9, 900), None),  # too close together
        (sample(20, 100), sample(0, 900), None),
        (sample(0, None), sample(20, 900), None),
        (sample(0, 100), sample(20, None), None),
        (None, sample(20, 900), None),
        (sample(0, 100), None, None),
    ],
)
def test_a_rate(earlier: DropSample | None, later: DropSample | None, rate: float | None) -> None:
    assert drops_per_second(earlier, later) == rate


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(10, 10**6))
def test_a_rate_is_never_negative_nor_more_than_the_counter_holds(before: int, after: int, seconds: float) -> None:
    rate = drops_per_second(sample(0, before), sample(seconds, after))
    assert rate is not None
    assert 0 <= rate <= after / 9.9


@pytest.mark.parametrize(
    ("baseline", "rate", "is_alarm"),
    [
        (0.0, 0.9, False),  # a quiet node: one drop more is nothing
        (0.0, 1.1, True),
        (0.1, 1.0, False),
        (100.0, 290.0, False),  # a busy node: more of what it has always had
        (100.0, 301.0, True),
        (None, 1000.0, False),
        (0.0, None, False),
    ],
)
def test_above_the_baseline(baseline: float | None, rate: float | None, is_alarm: bool) -> None:
    said = drop_alarm("a", baseline, rate)
    assert bool(said) == is_alarm
    if is_alarm:
        assert said.startswith("on a Cilium drops ")
        assert "hubble observe --verdict DROPPED --node-name a" in said


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_fewer_drops_are_never_worse(baseline: float, one: float, other: float) -> None:
    fewer, more = sorted((one, other))
    assert bool(drop_alarm("a", baseline, fewer)) <= bool(drop_alarm("a", baseline, more))
    assert drop_alarm("a", baseline, min(fewer, baseline)) == ""


def test_nodes_that_do_not_answer_are_named_and_not_without_end() -> None:
    assert not_measured({"a": sample(0, 0)}) == ""
    samples = {f"n{number}": DropSample(NOW, why="port 9965 does not answer") for number in range(7)}
    said = not_measured(samples | {"a": sample(0, 0)})
    assert said.startswith("Drops by policy are not measured on 7 of 8 nodes: n0: port 9965 does not answer; n1: ")
    assert said.endswith("; and 2 more.")


@pytest.mark.parametrize(
    ("metrics", "port"),
    [
        ({"enabled": ["dns", "drop"]}, PORT),
        ({"enabled": ["drop:sourceContext=pod;destinationContext=pod"], "port": 9091}, 9091),
        ({"enabled": ["dns"]}, None),
        ({"enabled": None}, None),
        ({"enabled": ["drop"], "tls": {"enabled": True}}, None),
        ({"enabled": ["drop"], "port": "http"}, None),
    ],
)
def test_where_drops_can_be_read(metrics: dict[str, Any], port: int | None) -> None:
    assert metrics_port({"hubble": {"metrics": metrics}}) == port
    assert metrics_port({}) is None
