"""The alerts as a PrometheusRule of the Prometheus operator."""

from typing import Any

import yaml

from monitoring.alerts import GROUPS, Alert

HEAD = "# Generated from tools/monitoring/alerts.py by `make generate`; do not edit.\n"


def rule(alert: Alert) -> dict[str, Any]:
    """One alert as Prometheus' rule files have it."""
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **({"for": alert.lasting} if alert.lasting else {}),
        "labels": {"severity": alert.severity.value},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": alert.runbook_url,
        },
    }


def groups() -> list[dict[str, Any]]:
    """All groups: what stands in a rule file below `groups`."""
    return [{"name": name, "rules": [rule(alert) for alert in alerts]} for name, alerts in GROUPS.items()]


def prometheus_rule() -> str:
    """deploy/monitoring/prometheusrule.yaml."""
    body = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "cnichain",
            "namespace": "cnichain-system",
            "labels": {"app.kubernetes.io/name": "cnichain"},
        },
        "spec": {"groups": groups()},
    }
    return HEAD + yaml.safe_dump(body, sort_keys=False, width=110)
