"""Grafana dashboards as data: deploy/monitoring/dashboards/*.json is made from them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.alerts import DENIED

COLUMNS = 24
"""The width of Grafana's grid."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One panel. queries: legend (Grafana's form) to PromQL. kind: stat, timeseries or table.

    wide, high: in units of the grid. unit: Grafana's name. colours: from a value on, ascending; "" begins with green.
    """

    title: str
    queries: dict[str, str]
    text: str
    kind: str = "timeseries"
    unit: str = "short"
    wide: int = 8
    high: int = 8
    colours: Sequence[tuple[str, float | None]] = (("green", None),)


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; panels flow from left to right. uid: its name in Grafana's URLs, and of its file."""

    uid: str
    title: str
    text: str
    panels: Sequence[Panel]


def _stat(title: str, query: str, text: str, unit: str = "short", *colours: tuple[str, float | None]) -> Panel:
    return Panel(title, {"": query}, text, "stat", unit, 4, 4, colours or (("green", None),))


BAD_ABOVE_0 = (("green", None), ("red", 1.0))

OVERVIEW = Dashboard(
    "cnichain-overview",
    "CNIChain / Overview",
    "What the chain is, whether it is as the spec asks for, and what the operator does about it.",
    (
        _stat(
            "Ready",
            'max(cnichain_status_condition{type="Ready",status="True"})',
            "1 while everything is as the spec asks for.",
            "short",
            ("red", None),
            ("green", 1.0),
        ),
        _stat(
            "Nodes verified",
            'max(cnichain_nodes_in_scope{chain="verified"}) / sum(max by (chain) (cnichain_nodes_in_scope))',
            "Share of the nodes in scope whose chain is verified.",
            "percentunit",
            ("red", None),
            ("orange", 0.9),
            ("green", 1.0),
        ),
        _stat(
            "Unmanaged pods",
            'max(cnichain_pods{state="unmanaged"})',
            "Pods in scope that no policy holds for.",
            "short",
            *BAD_ABOVE_0,
        ),
        _stat(
            "First certificate ends in",
            "min(cnichain_certificate_expiry_timestamp_seconds) - time()",
            "Renewed 30 days before.",
            "s",
            ("red", None),
            ("orange", 7 * 86400.0),
            ("green", 21 * 86400.0),
        ),
        _stat(
            "Operators that lead",
            "sum(cnichain_leader)",
            "One leads, the other stands by.",
            "short",
            ("red", None),
            ("green", 1.0),
            ("red", 2.0),
        ),
        _stat(
            "Change is held",
            "max(cnichain_plan_held)",
            "1 while a plan is paused or waits for an approval.",
            "short",
            ("green", None),
            ("orange", 1.0),
        ),
        Panel("What is chained", {"": "max without (instance, pod) (cnichain_info)"}, "Versions.", "table", wide=16),
        Panel(
            "Conditions",
            {"{{type}} {{status}}": "max by (type, status) (cnichain_status_condition) == 1"},
            "The status that each condition has.",
        ),
        Panel("Nodes by state", {"{{state}}": "max by (state) (cnichain_nodes) > 0"}, "As the agents report."),
        Panel(
            "Rollout",
            {
                "{{progress}}": "max by (progress) (cnichain_rollout_nodes)",
                "wave": "max(cnichain_rollout_wave)",
            },
            "Nodes of the newest rollout, and waves that were opened.",
        ),
        Panel(
            "Pods in scope",
            {
                "{{state}}": "max by (state) (cnichain_pods)",
                "unmanaged: {{cause}}": "max by (cause) (cnichain_unmanaged_pods) > 0",
            },
            "By whether Cilium manages them.",
        ),
        Panel(
            "Corrections of objects",
            {"{{kind}}": "sum by (kind) (increase(cnichain_drift_corrected_total[$__rate_interval]))"},
            "Objects put back after somebody had changed them.",
        ),
        Panel(
            "Failed changes and restarts of pods",
            {
                "{{action}}": "sum by (action) (increase(cnichain_rollbacks_total[$__rate_interval]))",
                "pods {{result}}": "sum by (result) (increase(cnichain_pod_restarts_total[$__rate_interval]))",
            },
            "What was done about changes that failed, and about unmanaged pods.",
        ),
        Panel(
            "Passes",
            {"{{result}}": "sum by (result) (rate(cnichain_reconcile_total[$__rate_interval]))"},
            "Passes over the CNIChain a second.",
            unit="ops",
        ),
        Panel(
            "Duration of passes",
            {
                "half": "histogram_quantile(0.5, sum by (le) (rate(cnichain_reconcile_duration_seconds_bucket[10m])))",
                "99 %": "histogram_quantile(0.99, sum by (le) (rate(cnichain_reconcile_duration_seconds_bucket[10m])))",
            },
            "How long passes take.",
            unit="s",
        ),
        Panel(
            "Requests to the API server",
            {"{{method}} {{code}}": "sum by (method, code) (rate(cnichain_api_requests_total[$__rate_interval]))"},
            "A second; 0 where no answer came.",
            unit="reqps",
        ),
        Panel(
            "Answers of the API server",
            {
                "{{method}} 99 %": "histogram_quantile(0.99, "
                "sum by (le, method) (rate(cnichain_api_request_duration_seconds_bucket[10m])))"
            },
            "Until the answer began.",
            unit="s",
        ),
        Panel(
            "Memory of the operators",
            {"{{pod}}": "process_resident_memory_bytes and on (instance, pod) cnichain_build_info"},
            "Resident memory of each replica.",
            unit="bytes",
        ),
    ),
)

AGENTS = Dashboard(
    "cnichain-nodes",
    "CNIChain / Nodes",
    "What the agents find and put right on the nodes.",
    (
        _stat("Agents", "count(cnichain_agent_build_info)", "Agents that answer."),
        _stat(
            "Out of sync",
            "sum(1 - cnichain_conflist_in_sync)",
            "Nodes whose chain is not as the spec says.",
            "short",
            *BAD_ABOVE_0,
        ),
        _stat(
            "Cilium does not answer",
            "sum(1 - cnichain_agent_cilium_healthy)",
            "Nodes whose cilium-agent does not answer its health check.",
            "short",
            *BAD_ABOVE_0,
        ),
        _stat(
            "Runtime is behind",
            "sum(1 - cnichain_agent_runtime_in_sync)",
            "Nodes whose runtime has loaded another list.",
            "short",
            *BAD_ABOVE_0,
        ),
        _stat(
            "Holding back", "sum(cnichain_agent_brake_engaged)", "Agents in a war of writers.", "short", *BAD_ABOVE_0
        ),
        _stat("Not reported", "sum(1 - cnichain_agent_reported)", "Agents whose newest status the API lacks."),
        Panel("States", {"{{state}}": "count by (state) (cnichain_agent_state)"}, "Nodes by state.", wide=12),
        Panel(
            "Repairs",
            {"{{cause}}": "sum by (cause) (increase(cnichain_conflist_repairs_total[$__rate_interval]))"},
            "Repairs of the chain by cause.",
            wide=12,
        ),
        Panel(
            "Nodes out of sync",
            {"": "max by (node) (cnichain_conflist_in_sync) == 0"},
            "Look at their CNIChainNode.",
            "table",
        ),
        Panel(
            "Nodes with the most drifts",
            {"{{node}}": "topk(10, max by (node) (increase(cnichain_conflist_drifts_total[1h])) > 0)"},
            "Repairs of what somebody else had changed, within an hour.",
        ),
        Panel(
            "Files set aside",
            {"{{node}}": "max by (node) (cnichain_agent_set_aside_files) > 0"},
            "Files that had taken the chain's place.",
        ),
        Panel(
            "Duration of the newest repairs",
            {
                "half": "quantile(0.5, cnichain_conflist_last_repair_duration_seconds)",
                "99 %": "quantile(0.99, cnichain_conflist_last_repair_duration_seconds)",
            },
            "From the event to the verified file.",
            unit="s",
        ),
        Panel(
            "Last verified",
            {"longest ago": "time() - min(cnichain_conflist_last_verified_timestamp_seconds > 0)"},
            "How long ago the node was verified whose turn is longest ago.",
            unit="s",
        ),
        Panel(
            "Reports that were not taken",
            {"a second": "sum(rate(cnichain_agent_report_errors_total[$__rate_interval]))"},
            "By the API server.",
        ),
        Panel(
            "Memory of the agents",
            {
                "average": "avg(process_resident_memory_bytes and on (instance, pod) cnichain_agent_build_info)",
                "most": "max(process_resident_memory_bytes and on (instance, pod) cnichain_agent_build_info)",
            },
            "Resident memory.",
            unit="bytes",
            wide=12,
        ),
        Panel(
            "CPU of the agents",
            {
                "all": "sum(rate(process_cpu_seconds_total[$__rate_interval])"
                " and on (instance, pod) cnichain_agent_build_info)"
            },
            "Cores of all agents together.",
            wide=12,
        ),
    ),
)

POLICY = Dashboard(
    "cnichain-policy",
    "CNIChain / Policy",
    "What Cilium's agents see of policies: Hubble's metrics, which spec.hubble.metrics switches on.",
    (
        Panel(
            "Denied by policy",
            {"{{reason}}": f"sum by (reason) (rate({DENIED}[$__rate_interval]))"},
            "Packets a second.",
            unit="pps",
        ),
        Panel(
            "Drops by reason",
            {"{{reason}}": "sum by (reason) (rate(hubble_drop_total[$__rate_interval]))"},
            "Packets a second.",
            unit="pps",
        ),
        Panel(
            "Flows by verdict",
            {"{{verdict}}": "sum by (verdict) (rate(hubble_flows_processed_total[$__rate_interval]))"},
            "Flows a second.",
        ),
        Panel(
            "Events lost",
            {"{{source}}": "sum by (source) (rate(hubble_lost_events_total[$__rate_interval]))"},
            "Flows and their export have gaps while this is above 0.",
        ),
        Panel(
            "DNS answers",
            {"{{rcode}}": "sum by (rcode) (rate(hubble_dns_responses_total[$__rate_interval]))"},
            "A second, by code.",
        ),
        Panel(
            "HTTP requests",
            {"{{status}}": "sum by (status) (rate(hubble_http_requests_total[$__rate_interval]))"},
            "A second; only where an L7 policy looks at HTTP.",
        ),
    ),
)

DASHBOARDS = (OVERVIEW, AGENTS, POLICY)


def as_json(dashboard: Dashboard) -> str:
    """The file that Grafana reads."""
    body = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["cnichain"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]
        },
        "panels": _laid_out(dashboard.panels),
    }
    return json.dumps(body, indent=2) + "\n"


def _laid_out(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Panels with their places: from left to right, a new row where one does not fit any more."""
    found, x, y, row = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.wide > COLUMNS:
            x, y, row = 0, y + row, 0
        found.append(_panel(number, panel, {"x": x, "y": y, "w": panel.wide, "h": panel.high}))
        x, row = x + panel.wide, max(row, panel.high)
    return found


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    is_table = panel.kind == "table"
    steps = [{"color": colour, "value": value} for colour, value in panel.colours]
    queries = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": query,
            **({"legendFormat": legend} if legend else {}),
            **({"instant": True, "format": "table"} if is_table else {}),
        }
        for index, (legend, query) in enumerate(panel.queries.items())
    ]
    hidden = {"Time": True, "Value": True, "__name__": True, "endpoint": True, "job": True, "container": True}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": queries,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"colorMode": "background", "graphMode": "none"} if panel.kind == "stat" else {},
        **({"transformations": [{"id": "organize", "options": {"excludeByName": hidden}}]} if is_table else {}),
    }
