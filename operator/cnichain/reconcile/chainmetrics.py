"""The figures of the CNIChain, shown as metrics at the end of each pass: what status says, in numbers."""

from collections.abc import Iterable, Mapping

from prometheus_client import Gauge

from cnichain.api import clock
from cnichain.api.chainnode import Condition
from cnichain.api.chainstatus import CertificatesStatus, CNIChainStatus
from cnichain.api.reasons import Reason
from cnichain.api.rolloutstatus import RolloutState, RolloutStatus
from cnichain.api.times import parse_rfc3339
from cnichain.reconcile import metrics
from cnichain.reconcile.outcome import Outcome
from cnichain.reconcile.report import Report
from cnichain.render.stages import Stage

STATUSES = ("True", "False", "Unknown")
HOLDS = (Reason.PAUSED, Reason.APPROVAL_REQUIRED)
LABELLED = (
    metrics.INFO,
    metrics.CONDITION,
    metrics.STAGE,
    metrics.PLAN_HELD,
    metrics.NODES,
    metrics.NODES_IN_SCOPE,
    metrics.NODES_OUT_OF_SCOPE,
    metrics.ROLLOUT_STATE,
    metrics.ROLLOUT_NODES,
    metrics.CERTIFICATE_EXPIRY,
)


def show_outcome(outcome: Outcome, seconds: float) -> None:
    """Count a pass that took so long."""
    result = "error" if outcome.failed else "success" if outcome.ready or outcome.gone else "waiting"
    metrics.RECONCILES.labels(result).inc()
    metrics.RECONCILE_SECONDS.observe(seconds)
    if not outcome.failed:
        metrics.LAST_RECONCILE.set(clock.now().timestamp())


def forget_chain() -> None:
    """There is no CNIChain to show, or it is on its way out."""
    for gauge in LABELLED:
        gauge.clear()
    metrics.SUSPENDED.set(0)
    metrics.ROLLOUT_WAVE.set(0)


def show_chain(status: CNIChainStatus, report: Report, conditions: Iterable[Condition]) -> None:
    """Show the chain as the pass has left it. conditions: as they were written."""
    metrics.CONDITION.clear()
    for one in conditions:
        for value in STATUSES:
            metrics.CONDITION.labels(one.type, value).set(one.status == value)
    held = report.hold.reason if report.hold else None
    _choose(metrics.PLAN_HELD, HOLDS, held)
    _choose(metrics.STAGE, Stage, report.current)
    metrics.SUSPENDED.set(report.suspended)
    _show_versions(status)
    _show_nodes(status, report.node_states)
    _show_rollout(status.rollout)
    _show_certificates(status.certificates)


def _show_versions(status: CNIChainStatus) -> None:
    effective, versions = status.effective, status.versions
    if effective is None or versions is None:
        return
    metrics.INFO.clear()
    metrics.INFO.labels(
        effective.primary,
        versions.primary,
        versions.cilium,
        versions.calico,
        versions.kubernetes,
        effective.policy_engine,
    ).set(1)


def _show_nodes(status: CNIChainStatus, states: Mapping[str, int] | None) -> None:
    """states: None where the pass did not get to look at the nodes, so that the last figures stand."""
    nodes = status.nodes
    if nodes is None or states is None:
        return
    metrics.NODES.clear()
    for state, number in states.items():
        metrics.NODES.labels(state).set(number)
    metrics.NODES_IN_SCOPE.labels("verified").set(nodes.verified)
    metrics.NODES_IN_SCOPE.labels("unverified").set(nodes.in_scope - nodes.verified)
    metrics.NODES_OUT_OF_SCOPE.clear()
    for kind, number in nodes.out_of_scope_by_kind.items():
        metrics.NODES_OUT_OF_SCOPE.labels(kind).set(number)


def _show_rollout(rollout: RolloutStatus | None) -> None:
    if rollout is None:
        return
    _choose(metrics.ROLLOUT_STATE, RolloutState, rollout.state)
    metrics.ROLLOUT_WAVE.set(rollout.wave)
    metrics.ROLLOUT_NODES.labels("done").set(rollout.done)
    metrics.ROLLOUT_NODES.labels("pending").set(max(0, rollout.total - rollout.done))


def _show_certificates(certificates: CertificatesStatus | None) -> None:
    ends = (("leaf", certificates.not_after), ("ca", certificates.ca_not_after)) if certificates else ()
    for name, text in ends:
        if (moment := parse_rfc3339(text)) is not None:
            metrics.CERTIFICATE_EXPIRY.labels(name).set(moment.timestamp())


def _choose(gauge: Gauge, names: Iterable[str], chosen: str | None) -> None:
    """1 for the chosen one, 0 for all others."""
    for name in names:
        gauge.labels(str(name)).set(name == chosen)
