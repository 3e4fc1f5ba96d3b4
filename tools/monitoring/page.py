"""docs/metrics.md: metrics from the operator's registry and the agent's own list, alerts and dashboards."""

from collections.abc import Iterable

from cnichain.node.metrics import METRICS
from cnichain.reconcile.metrics import DESCRIBED
from monitoring.alerts import GROUPS
from monitoring.dashboards import DASHBOARDS
from monitoring.upstream import UPSTREAM

HEAD = """\
<!-- Generated from the operator's registry, the agent's list and tools/monitoring by `make generate`; do not edit. -->
# Metrics, alerts and dashboards

The operator serves `/metrics` on port 9818 (`--metrics-port`), each agent on port 9819 of its node. `deploy/base`
switches both on; without the option nothing is served. Both are on the host's network and without authentication, so
let a security group decide who may ask. No metric has the name of a pod, a node or a namespace.

With the Prometheus operator, add the component `deploy/monitoring` to a kustomization:

```yaml
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../base]
components: [../monitoring]
```

It brings two PodMonitors, the alerts as a PrometheusRule, and the dashboards as a ConfigMap with the label
`grafana_dashboard: "1"`, which Grafana's sidecar looks for. Many Prometheus resources select rules and monitors by a
label such as `release: kube-prometheus-stack`; add it with kustomize's `labels`. Without the Prometheus operator, the
groups below `spec` of `deploy/monitoring/prometheusrule.yaml` are a rule file, and the dashboards can be imported as
JSON. The alerts about nodes want a label `node` on the agents' metrics; the PodMonitor adds it.

There is one CNIChain in a cluster, so no metric has its name. Figures of the chain come from the operator that leads,
and only once they are known; the one that stands by has none, so ask for `max`. While a CNIChain is being deleted,
nothing of it is shown.
"""


def metrics_page() -> str:
    """The page."""
    lines = [HEAD, "## Operator", "", *_row("Metric", "Type", "Labels", "What"), _rule(4)]
    for name, one in DESCRIBED.items():
        lines += _row(f"`{name}`", one.type, ", ".join(f"`{label}`" for label in one.labels), one.text)
    lines += ["", "Besides: `process_*`, of the process itself.", "", "## Agent", ""]
    lines += [*_row("Metric", "Type", "Labels", "What"), _rule(4)]
    for name, metric in METRICS.items():
        lines += _row(f"`{name}`", metric.type, f"`{metric.label}`" if metric.label else "", metric.help)
    lines += ["", "## Hubble", "", "Of Cilium's agents, port 9965; asked for by alerts and dashboards here.", ""]
    lines += [*_row("Metric", "Source"), _rule(2)]
    for name, source in UPSTREAM.items():
        lines += _row(f"`{name}`", f"[{source.rpartition('/hubble/')[2]}]({source})")
    lines += ["", "## Alerts", "", *_row("Alert", "Severity", "After", "What"), _rule(4)]
    for alert in (alert for alerts in GROUPS.values() for alert in alerts):
        name = f"[{alert.name}](runbooks/{alert.name}.md)"
        lines += _row(name, alert.severity.value, alert.lasting or "at once", alert.summary)
    lines += ["", "## Dashboards", "", *_row("Dashboard", "What"), _rule(2)]
    for dashboard in DASHBOARDS:
        path = f"../deploy/monitoring/dashboards/{dashboard.uid}.json"
        lines += _row(f"[{dashboard.title}]({path})", dashboard.text)
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> Iterable[str]:
    yield f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return f"|{' --- |' * columns}"
