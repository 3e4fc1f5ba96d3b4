"""Every metric that an alert or a dashboard asks for exists: in the operator's registry, in what a running agent
answers, or upstream; and every query of a dashboard is PromQL."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cnichain.api.chainnode import LastRepair, NodeSpec, NodeStatus, RuntimeReport, RuntimeView, to_wire
from cnichain.dev.linux import free_ports
from cnichain.node.metrics import METRICS, Seen, exposition
from cnichain.reconcile.metrics import DESCRIBED, REGISTRY
from monitoring.alerts import GROUPS
from monitoring.upstream import UPSTREAM
from promql import metric_names
from promtool import UnavailableError, promtool

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "deploy/monitoring/dashboards").glob("*.json"))
SOURCE = '{"cniVersion":"0.4.0","name":"aws-cni","plugins":[{"type":"aws-cni","mtu":"9001"}]}\n'
SECONDS = 20


def families(page: str) -> set[str]:
    """Names that can be asked for, of a page in the text format."""
    found: set[str] = set()
    for family in text_string_to_metric_families(page):
        if family.type == "counter":
            found.add(f"{family.name}_total")
        elif family.type == "histogram":
            found |= {f"{family.name}{end}" for end in ("_bucket", "_sum", "_count")}
        else:
            found.add(family.name)
    return found


class Cilium(BaseHTTPRequestHandler):
    """What cilium-agent answers its health check with."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a running agent answers, after a repair, beside a Cilium that is well. Its API server is away."""
    root = tmp_path_factory.mktemp("node")
    for name in ("cni/net.d", "bin", "state"):
        (root / name).mkdir(parents=True)
    for name in ("aws-cni", "cilium-cni"):
        (root / "bin" / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (root / "bin" / name).chmod(0o755)
    (root / "cni/net.d/10-aws.conflist").write_text(SOURCE, encoding="utf-8")
    (root / "cni/net.d/05-cilium.conflist").write_text("{}", encoding="utf-8")
    (root / "state/spec.json").write_text(json.dumps({"generation": 1, "spec": to_wire(NodeSpec())}), encoding="utf-8")
    nowhere = {
        "current-context": "n",
        "contexts": [{"name": "n", "context": {"cluster": "n", "user": "n"}}],
        "clusters": [{"name": "n", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "n", "user": {"token": "unused"}}],
    }
    (root / "kubeconfig").write_text(json.dumps(nowhere), encoding="utf-8")
    cilium = HTTPServer(("127.0.0.1", 0), Cilium)
    threading.Thread(target=cilium.serve_forever, daemon=True).start()
    (port,) = free_ports(1)
    command = [
        *(sys.executable, "-m", "cnichain.node", "--node-name=node-1", f"--kubeconfig={root / 'kubeconfig'}"),
        *(f"--cni-conf-dir={root / 'cni/net.d'}", f"--cni-bin-dir={root / 'bin'}", f"--state-dir={root / 'state'}"),
        *("--runtime-socket=", f"--cilium-health-url=http://127.0.0.1:{cilium.server_port}/healthz"),
        f"--metrics-port={port}",
    ]
    log = root / "log"
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            yield _scraped(port, log)
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)
            cilium.shutdown()
            cilium.server_close()


def _scraped(port: int, log: Path) -> str:
    """The page, once the repair stands in it and Cilium has answered."""
    end, page = time.monotonic() + SECONDS, ""
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                page = bytes(answer.read()).decode()
        except urllib.error.URLError:
            time.sleep(0.02)  # not listening yet
            continue
        if "cnichain_agent_cilium_healthy 1" in page and "repairs_total" in page:
            return page
    pytest.fail(f"the agent has shown no repair within {SECONDS} s: {page}\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def existing(agent: str) -> set[str]:
    """Every name that exists. (What the runtime has loaded is shown only where there is a runtime to be asked.)"""
    status = NodeStatus(runtime=RuntimeReport(view=RuntimeView.VERIFIED), observed_generation=1)
    with_runtime = exposition(
        Seen("1", status, verified=True, verified_at=1, held_back=0, reported=True, report_errors=0)
    )
    # With nobody's figures in it, the registry still names all families.
    return families(agent) | families(with_runtime) | families(generate_latest(REGISTRY).decode()) | set(UPSTREAM)


def queries() -> Iterator[tuple[str, str]]:
    """(where it stands, PromQL) of every alert and panel, from the files that are deployed."""
    rules = yaml.safe_load((ROOT / "deploy/monitoring/prometheusrule.yaml").read_text(encoding="utf-8"))
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def test_every_metric_that_is_asked_for_exists(existing: set[str]) -> None:
    for where, query in queries():
        names = metric_names(query)
        assert names, f"{where} asks for no metric: {query}"
        assert names <= existing, f"{where} asks for {names - existing}, which nobody has: {query}"


def test_a_metric_that_nobody_has_would_be_found(existing: set[str]) -> None:
    query = (
        'sum by (le, cluster) (rate(cnichain_nope_total{a="b{c}"}[5m] offset 5m)) > on (x) group_left cnichain_leader'
    )
    assert metric_names(query) == {"cnichain_nope_total", "cnichain_leader"}
    assert "cnichain_nope_total" not in existing


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("absent(up == 1)", {"up"}),
        ("histogram_quantile(0.9, sum by (le) (rate(a_bucket[10m])))", {"a_bucket"}),
        ("a unless on (cluster) (b or 0 * c)", {"a", "b", "c"}),
        ("time() - max by (x, y) (a) < 21 * 86400", {"a"}),
        ("a and on (instance, pod) b", {"a", "b"}),
        ('{__name__="x"}', set()),
    ],
)
def test_names_are_found_in_promql(query: str, names: set[str]) -> None:
    assert metric_names(query) == names


def test_the_agent_shows_all_that_docs_list(agent: str) -> None:
    shown = families(agent)
    assert set(METRICS) - shown == {"cnichain_agent_runtime_in_sync"}, "all but what only a runtime can tell"
    assert shown <= set(METRICS)
    assert 'cnichain_conflist_repairs_total{cause="DriftDest"} 1' in agent
    assert "cnichain_conflist_drifts_total 1" in agent
    assert "cnichain_conflist_in_sync 1" in agent
    assert 'cnichain_agent_state{state="InSync"} 1' in agent
    assert "cnichain_agent_reported 0" in agent, "the API server is away"


def test_a_node_without_a_spec_is_not_out_of_sync() -> None:
    page = exposition(
        Seen("1", NodeStatus(), verified=False, verified_at=0, held_back=0, reported=True, report_errors=0)
    )
    assert "conflist_in_sync" not in page
    assert 'cnichain_agent_state{state="Unknown"} 1' in page


def test_the_brake_and_the_newest_repair_are_shown() -> None:
    repair = LastRepair("2026-11-28T12:00:00Z", "DriftDest", 12)
    status = NodeStatus(observed_generation=2, last_repair=repair)
    page = exposition(Seen("1", status, verified=False, verified_at=7.5, held_back=3, reported=True, report_errors=4))
    assert "cnichain_agent_brake_engaged 1" in page
    assert "cnichain_conflist_last_repair_duration_seconds 0.012" in page
    assert "cnichain_conflist_last_verified_timestamp_seconds 7.5" in page
    assert "cnichain_agent_report_errors_total 4" in page


def test_the_operators_docs_name_its_whole_registry() -> None:
    named = {name for name, one in DESCRIBED.items() if one.type != "histogram"}
    named |= {
        f"{name}{end}"
        for name, one in DESCRIBED.items()
        if one.type == "histogram"
        for end in ("_bucket", "_sum", "_count")
    }
    shown = {name for name in families(generate_latest(REGISTRY).decode()) if name.startswith("cnichain_")}
    assert shown == named


def test_no_label_can_grow_without_a_bound() -> None:
    labels = {label for one in DESCRIBED.values() for label in one.labels} | {one.label for one in METRICS.values()}
    assert not labels & {"node", "pod", "namespace", "name", "uid", "path", "url", "message"}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_have_room_for_each_panel(path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]
        assert panel["title"]
        assert panel["description"]
    assert dashboard["uid"] == path.stem


def test_promtool_takes_every_query_of_the_dashboards(tmp_path: Path) -> None:
    try:
        program = promtool()
    except UnavailableError as error:
        pytest.skip(str(error))  # test_alerts.py fails in CI where there is none
    rules: list[dict[str, str]] = []
    for _, query in queries():
        rules.append({"record": f"a:b{len(rules)}", "expr": query.replace("$__rate_interval", "5m")})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        [str(program), "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_names_and_help_are_as_prometheus_wants_them(agent: str) -> None:
    try:
        program = promtool()
    except UnavailableError as error:
        pytest.skip(str(error))
    for page in (agent, generate_latest(REGISTRY).decode()):
        done = subprocess.run(
            [str(program), "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_thresholds_of_the_deny_spike_are_those_of_the_rollouts_gate() -> None:
    from cnichain.rollout.drops import FACTOR, METRIC, POLICY_REASONS, STEP  # noqa: PLC0415 - one test's own

    (expr,) = [alert.expr for alert in GROUPS["cnichain-hubble"] if alert.name == "CNIChainPolicyDenySpike"]
    assert f"> {FACTOR:g} * sum" in expr
    assert f"> {STEP:g} + sum" in expr
    (reasons,) = set(re.findall(rf'{METRIC}{{reason=~"([^"]*)"}}', expr))
    assert set(reasons.split("|")) == POLICY_REASONS
