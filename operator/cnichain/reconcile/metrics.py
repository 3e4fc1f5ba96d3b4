"""The operator's metrics, in a registry of their own; controller/metricsserver.py serves them.

Every label has few values that are known beforehand: no names of pods, nodes or namespaces.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

from cnichain.plan.coverage import Cause, Coverage

REGISTRY = CollectorRegistry()

PODS = Gauge("cnichain_pods", "Pods in scope, by whether Cilium manages them.", ["state"], registry=REGISTRY)
UNMANAGED_PODS = Gauge(
    "cnichain_unmanaged_pods", "Pods in scope that Cilium does not manage, by cause.", ["cause"], registry=REGISTRY
)
POD_RESTARTS = Counter(
    "cnichain_pod_restarts",
    "Restarts of unmanaged pods: evicted, gone before it, refused by the API server, unmanaged again afterwards.",
    ["result"],
    registry=REGISTRY,
)
STILL_UNMANAGED = "still_unmanaged"
for _result in ("evicted", "gone", "refused", STILL_UNMANAGED):
    POD_RESTARTS.labels(_result)


def show_coverage(coverage: Coverage | None) -> None:
    """Show a count; None takes the figures away: nothing is known, which is not the same as 0."""
    if coverage is None:
        PODS.clear()
        UNMANAGED_PODS.clear()
        return
    PODS.labels("managed").set(coverage.managed)
    PODS.labels("unmanaged").set(len(coverage.unmanaged))
    for cause in Cause:
        UNMANAGED_PODS.labels(cause.value).set(coverage.by_cause.get(cause.value, 0))
