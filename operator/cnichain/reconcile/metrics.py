"""The operator's metrics, in a registry of their own; controller/metricsserver.py serves them.

Every label has few values that are known beforehand: no names of pods, nodes or namespaces. There is one CNIChain, so
nothing has its name. Figures of the chain are shown by the operator that leads, and only once they are known: nothing
is known is not the same as 0. docs/metrics.md is generated from this registry.
"""

from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from cnichain import __version__
from cnichain.plan.coverage import Cause, Coverage

# A `_created` beside each counter is of no use to anyone here.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

API_BUCKETS = (0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 30)
PASS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Described(NamedTuple):
    """A metric for docs: type is gauge, counter or histogram."""

    type: str
    text: str
    labels: tuple[str, ...]


DESCRIBED: dict[str, Described] = {}
"""Every metric that is defined here, by the name that Prometheus has."""


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    DESCRIBED[name] = Described("gauge", text, labels)
    return Gauge(name, text, labels, registry=REGISTRY)


def _counter(name: str, text: str, *labels: str) -> Counter:
    DESCRIBED[f"{name}_total"] = Described("counter", text, labels)
    return Counter(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    DESCRIBED[name] = Described("histogram", text, labels)
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


BUILD_INFO = _gauge("cnichain_build_info", "The operator's version; always 1.", "version")
BUILD_INFO.labels(__version__).set(1)
LEADER = _gauge("cnichain_leader", "1 while this operator leads, 0 while it stands by.")

INFO = _gauge(
    "cnichain_info",
    "What is chained; always 1.",
    *("primary", "primary_version", "cilium_version", "calico_version", "kubernetes_version", "policy_engine"),
)
CONDITION = _gauge(
    "cnichain_status_condition",
    "Conditions of the CNIChain: 1 for the status that each type has now, 0 for the other two.",
    *("type", "status"),
)
STAGE = _gauge("cnichain_stage", "1 for the stage that a change is at; none while there is nothing to do.", "stage")
PLAN_HELD = _gauge("cnichain_plan_held", "1 while a change waits: paused, or for an approval.", "reason")
SUSPENDED = _gauge("cnichain_suspended", "1 while spec.suspend stops the operator and freezes the agents.")
NODES = _gauge(
    "cnichain_nodes",
    "Nodes in scope by the state that their agents have reported; NoReport where none has yet.",
    "state",
)
NODES_IN_SCOPE = _gauge(
    "cnichain_nodes_in_scope", "Nodes that the chain is for: verified for the newest spec, or not.", "chain"
)
NODES_OUT_OF_SCOPE = _gauge("cnichain_nodes_out_of_scope", "Nodes that the chain is not for, by kind.", "kind")
ROLLOUT_STATE = _gauge("cnichain_rollout_state", "1 for the state of the newest rollout.", "state")
ROLLOUT_WAVE = _gauge("cnichain_rollout_wave", "Waves of the newest rollout that were opened; the canary is the first.")
ROLLOUT_NODES = _gauge(
    "cnichain_rollout_nodes", "Nodes of the newest rollout: done (and verified), or pending.", "progress"
)
CERTIFICATE_EXPIRY = _gauge(
    "cnichain_certificate_expiry_timestamp_seconds",
    "When certificates for Hubble expire: the first of those in use (leaf), and the CA that signs them (ca).",
    "certificate",
)
PODS = _gauge("cnichain_pods", "Pods in scope, by whether Cilium manages them.", "state")
UNMANAGED_PODS = _gauge("cnichain_unmanaged_pods", "Pods in scope that Cilium does not manage, by cause.", "cause")

POD_RESTARTS = _counter(
    "cnichain_pod_restarts",
    "Restarts of unmanaged pods: evicted, gone before it, refused by the API server, unmanaged again afterwards.",
    "result",
)
STILL_UNMANAGED = "still_unmanaged"
for _result in ("evicted", "gone", "refused", STILL_UNMANAGED):
    POD_RESTARTS.labels(_result)
DRIFT_CORRECTED = _counter(
    "cnichain_drift_corrected", "Objects that were put back after somebody else had changed or deleted them.", "kind"
)
ROLLBACKS = _counter(
    "cnichain_rollbacks",
    "Changes that failed, by what was done: RolledBack, Unchained (to the primary alone), Held (left where it is).",
    "action",
)
for _action in ("RolledBack", "Unchained", "Held"):
    ROLLBACKS.labels(_action)

RECONCILES = _counter(
    "cnichain_reconcile",
    "Passes over the CNIChain: success (all is as the spec asks for), waiting (for a gate), error.",
    "result",
)
for _result in ("success", "waiting", "error"):
    RECONCILES.labels(_result)
RECONCILE_SECONDS = _histogram("cnichain_reconcile_duration_seconds", "How long passes took.", PASS_BUCKETS)
LAST_RECONCILE = _gauge(
    "cnichain_reconcile_last_success_timestamp_seconds", "When a pass ended last that met no error; 0 for never."
)
API_REQUESTS = _counter(
    "cnichain_api_requests",
    "Requests to the API server, by HTTP method (WATCH for a watch) and status code, 0 where none came back. "
    "Kopf's own watch of CNIChains is not counted.",
    *("method", "code"),
)
API_SECONDS = _histogram(
    "cnichain_api_request_duration_seconds", "Time until the API server's answer began.", API_BUCKETS, "method"
)

CLOCK_SKEW = _gauge(
    "cnichain_clock_skew_seconds",
    "How far the API server's clock is ahead of the operator's, below 0 when it is behind; 0 within a minute.",
)


def observe_request(method: str, status: int, seconds: float) -> None:
    """Count one request. status: 0 when there was no answer."""
    API_REQUESTS.labels(method, str(status)).inc()
    API_SECONDS.labels(method).observe(seconds)


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
