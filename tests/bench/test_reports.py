"""What the benchmarks count, and what they hold against their aims."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from auditcount import AGENTS, OPERATOR, AuditLog, by_target, by_verb, reads, request_of, writes
from rig import BenchError
from scalereport import Phase, ScaleResult, aims, result_of, tables
from speedreport import Cost, Import, Speed
from speedreport import aims as speed_aims
from speedreport import table as speed_table


def entry(agent: str = "cnichain-operator-host-1", verb: str = "patch", **changed: Any) -> dict[str, Any]:
    """A line of the audit log."""
    usual = {
        "userAgent": agent,
        "verb": verb,
        "stage": "ResponseComplete",
        "requestURI": "/apis/cnichain.io/v1alpha1/cnichainnodes/a/status?force=true",
        "objectRef": {"resource": "cnichainnodes", "subresource": "status", "name": "a"},
        "responseStatus": {"code": 200},
    }
    return usual | changed


def counted(*entries: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    return by_verb(found for item in entries if (found := request_of(item)) is not None)


def test_requests_are_counted_by_program_and_verb() -> None:
    watch = [entry("kopf/1.45", "watch", stage=stage) for stage in ("ResponseStarted", "ResponseComplete")]
    found = counted(
        entry(),
        entry("cnichain-agent"),
        entry("cnichain-agent", "get"),
        *watch,
        entry("kubectl/v1.36.1"),
        entry("kube-controller-manager/v1.36.1"),
    )
    assert found == {OPERATOR: {"patch": 1, "watch": 1}, AGENTS: {"patch": 1, "get": 1}}
    assert (writes(found), reads(found)) == (2, 2)


def test_the_lease_and_a_dry_run_are_no_writes_of_a_node() -> None:
    found = counted(
        entry(verb="update", objectRef={"resource": "leases", "name": "cnichain-operator"}),
        entry(requestURI="/apis/apps/v1/namespaces/kube-system/daemonsets/cilium?dryRun=All"),
    )
    assert found == {OPERATOR: {"patch (dry run)": 1}}
    assert writes(found) == 0


def test_writes_are_counted_by_what_they_change() -> None:
    entries = [entry(), entry(), entry(verb="get"), entry("cnichain-agent", objectRef={"resource": "nodes"})]
    found = [one for item in entries if (one := request_of(item)) is not None]
    assert by_target(found) == {"operator: patch cnichainnodes/status": 2, "agents: patch nodes": 1}


def test_a_half_written_line_is_left_for_later_and_a_new_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text("old\n", encoding="utf-8")
    log = AuditLog(path)
    place = log.here()
    path.write_text(
        'old\n{"userAgent":"cnichain-agent","verb":"get","stage":"ResponseComplete"}\n{"user', encoding="utf-8"
    )
    assert [(one.program, one.verb) for one in log.since(place)] == [(AGENTS, "get")]
    path.write_text("", encoding="utf-8")
    with pytest.raises(BenchError, match="rotated"):
        log.since(place)


def cluster(nodes: int, **changed: Any) -> ScaleResult:
    """A cluster in which every aim is reached."""
    cpu = {"operator": nodes / 100, "kube-apiserver": nodes / 10}
    usual = ScaleResult(
        nodes=nodes,
        cilium="1.17.18",
        adoption=Phase(nodes / 20, {OPERATOR: {"patch": 2 * nodes}, AGENTS: {"patch": 2 * nodes}}, cpu),
        steady=Phase(90, {OPERATOR: {"list": nodes, "watch": 4}}, cpu),
        storm=Phase(4, {AGENTS: {"patch": nodes}}, cpu),
        files=0.4,
        watches=0.2,
        adoption_writes={f"{OPERATOR}: patch nodes": nodes},
        writes=[],
        operator_mb=100,
        operator_peak_mb=120,
        agents_mb=nodes,
        sizes={"CNIChain": 4000 + nodes, "ConfigMap cnichain-inventory-default": 60_000},
    )
    return replace(usual, **changed)


def missed(*results: ScaleResult) -> list[str]:
    return [aim.what for aim in aims(results) if not aim.held]


def test_a_cluster_that_reaches_every_aim_misses_none() -> None:
    assert missed(cluster(100), cluster(1000), cluster(5000)) == []


STRAY = {OPERATOR: {"patch": 1}}
TOO_MUCH: dict[str, dict[str, Any]] = {
    "writes per node, adoption": {"adoption": Phase(9, {OPERATOR: {"patch": 401}}, {"operator": 1.0})},
    "writes, steady state": {"steady": Phase(90, STRAY, {"operator": 1.0})},
    "reads per node and minute": {"steady": Phase(60, {AGENTS: {"get": 81}}, {"operator": 1.0})},
    "operator outlives the storm": {"operator_ran": False},
    "operator's memory at most, MB": {"operator_peak_mb": 251.0},
}


@pytest.mark.parametrize("what", list(TOO_MUCH))
def test_an_aim_that_is_missed_is_named(what: str) -> None:
    assert missed(cluster(100, **TOO_MUCH[what])) == [f"100 nodes: {what}"]


def test_what_grows_faster_than_the_nodes_is_named() -> None:
    quadratic = cluster(1000, adoption=replace(cluster(1000).adoption, cpu={"operator": 100.0}))
    assert missed(cluster(100), quadratic) == ["100 to 1,000 nodes: operator's CPU, adoption"]


def test_more_memory_is_allowed_to_a_larger_cluster() -> None:
    assert missed(cluster(5000, operator_peak_mb=499.0)) == []
    assert missed(cluster(5000, operator_peak_mb=501.0)) == ["5,000 nodes: operator's memory at most, MB"]


def test_the_tables_are_markdown_that_fits_a_terminal_and_say_each_thing_once() -> None:
    stray = cluster(100, steady=Phase(90, STRAY, {"operator": 1.0}), writes=["operator: patch nodes a (200)"])
    text = tables([stray, cluster(1000)])
    assert max(map(len, text.splitlines())) <= 80, text
    first = [line.strip("| ").split(" | ") for line in text.split("\n\n")[0].splitlines()]
    names = [row[0].strip() for row in first]
    assert len(names) == len(set(names)), "a row comes twice"
    assert len({len(row) for row in first if len(row) > 1}) <= 2, "not all rows have all columns"
    (found,) = [line for line in text.splitlines() if line.startswith("| writes, steady state")]
    assert [cell.strip() for cell in found.strip("|").split("|")] == ["writes, steady state", "1 MISSED", "0", "0"]
    assert text.endswith("operator: patch nodes a (200)")


def test_clusters_that_were_measured_before_are_read_again() -> None:
    before = cluster(1000, writes=["operator: patch nodes a (200)"])
    assert result_of(json.loads(json.dumps(asdict(before)))) == before


def test_the_limit_of_each_cluster_is_told() -> None:
    text = tables([cluster(1000), cluster(5000)])
    (found,) = [line for line in text.splitlines() if line.startswith("| operator's memory at most")]
    assert found.rstrip(" |").endswith("< 250, < 500")


def speed(**changed: Any) -> Speed:
    """A run in which every aim is reached."""
    ours, helm = Cost(3.0, 2.0, 60, 40), Cost(4.0, 1.5, 80, 50)
    usual: dict[str, Any] = {
        "nodes": 3,
        "cilium": "1.17.18",
        "install": [ours, ours],
        "helm_install": [helm, helm],
        "unchanged": [Cost(0.05, 0.04, 6, 0)] * 4,
        "helm_unchanged": [Cost(2.0, 1.2, 70, 2)] * 4,
        "help": [0.12, 0.13],
        "bare_python": [0.02],
        "imports": {"operator": [Import(0.5, 60.0)]},
        "operator_start": [1.0],
        "operator_start_mb": [70.0],
        "operator_mb": 90.0,
    }
    return Speed(**usual | changed)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, []),
        ({"install": [Cost(4.1, 2.0, 60, 40)]}, ["install, seconds"]),
        ({"unchanged": [Cost(0.21, 0.04, 6, 0)]}, ["unchanged, seconds"]),
        ({"unchanged": [Cost(0.05, 0.13, 6, 0)]}, ["unchanged, CPU seconds"]),
        ({"unchanged": [Cost(0.05, 0.04, 8, 0)]}, ["unchanged, requests"]),
        ({"unchanged": [Cost(0.05, 0.04, 6, 1)]}, ["unchanged, writes"]),
        ({"help": [0.15]}, ["cnichain --help"]),
    ],
)
def test_a_speed_that_is_missed_is_named(changed: dict[str, Any], named: list[str]) -> None:
    assert [aim.what for aim in speed_aims(speed(**changed)) if not aim.held] == named


def test_the_tables_of_speeds_are_markdown_that_fits_a_terminal() -> None:
    text = speed_table(speed(helm_install=[Cost(44.0, 11.5, 180, 150), Cost(12.0, 1.5, 80, 50)]))
    assert max(map(len, text.splitlines())) <= 80, text
    tables = [block.splitlines() for block in text.split("\n\n")]
    assert len(tables) == 3
    for rows in tables:
        assert {row.count("|") for row in rows} == {rows[0].count("|")}, rows
