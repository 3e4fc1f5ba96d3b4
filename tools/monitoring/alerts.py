"""The alerts: the one source of deploy/monitoring/prometheusrule.yaml. Each has a runbook, docs/runbooks/<name>.md.

Every expression keeps the label `cluster`, which a Prometheus of one cluster does not have, as kubernetes-mixin does:
so the rules also hold where one Prometheus has many clusters. Only the operator that leads shows figures of the chain;
`max` takes its word.
"""

from dataclasses import dataclass
from enum import StrEnum

from cnichain.api.names import DOCS_URL

RUNBOOKS = f"{DOCS_URL}/runbooks"
DENIED = 'hubble_drop_total{reason=~"POLICY_DENIED|POLICY_DENY"}'
"""As the gate of a rollout counts them (operator/cnichain/rollout/drops.py), with the same factor and step."""


class Severity(StrEnum):
    """critical: wakes somebody, since new pods do not start, or start without policy. warning: today. info: to know."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Alert:
    """One alert. lasting: how long the expression must hold, in Prometheus' form; "" for at once."""

    name: str
    severity: Severity
    expr: str
    lasting: str
    summary: str
    description: str

    @property
    def runbook_url(self) -> str:
        """Where it is told what to do."""
        return f"{RUNBOOKS}/{self.name}.html"


CHAIN = (
    Alert(
        "CNIChainNotReady",
        Severity.WARNING,
        'max by (cluster) (cnichain_status_condition{type="Ready",status="True"}) == 0'
        " unless on (cluster) (max by (cluster) (cnichain_plan_held) == 1"
        " or max by (cluster) (cnichain_suspended) == 1)",
        "15m",
        "The CNI chain is not Ready.",
        "CNIChain default has not been Ready for 15 minutes. Its condition Ready says what is missing.",
    ),
    Alert(
        "CNIChainStalled",
        Severity.WARNING,
        'max by (cluster) (cnichain_status_condition{type="Stalled",status="True"}) == 1',
        "5m",
        "The CNI chain cannot get on by itself.",
        "CNIChain default is Stalled: a person has to act. The condition's reason has an entry in the reason codes.",
    ),
    Alert(
        "CNIChainReconcileFailing",
        Severity.WARNING,
        "time() - max by (cluster) (cnichain_reconcile_last_success_timestamp_seconds) > 1800"
        " and on (cluster) group by (cluster) (cnichain_status_condition)",
        "5m",
        "The operator has not made a pass without an error for half an hour.",
        "The last pass without an error was {{ $value | humanizeDuration }} ago; one is due every ten minutes.",
    ),
    Alert(
        "CNIChainOperatorDown",
        Severity.CRITICAL,
        "absent(cnichain_leader == 1)",
        "10m",
        "No CNIChain operator leads.",
        "No operator that leads has been seen for 10 minutes. Chained nodes go on; nodes that join get no chain.",
    ),
    Alert(
        "CNIChainUnmanagedPods",
        Severity.WARNING,
        'max by (cluster, cause) (cnichain_unmanaged_pods{cause!="SecurityGroupPod"}) > 0',
        "30m",
        "Pods run that no network policy holds for.",
        "{{ $value }} pods in scope are not managed by Cilium (cause {{ $labels.cause }}): no policy holds for them.",
    ),
    Alert(
        "CNIChainUpgradePaused",
        Severity.WARNING,
        "max by (cluster, reason) (cnichain_plan_held) == 1",
        "1h",
        "A change of the CNI chain waits for a person.",
        "A plan has been held for an hour ({{ $labels.reason }}). Until then the old state is kept.",
    ),
    Alert(
        "CNIChainSuspended",
        Severity.INFO,
        "max by (cluster) (cnichain_suspended) == 1",
        "1h",
        "CNIChain is suspended.",
        "spec.suspend has been true for an hour: nothing is put right, in the cluster or on a node.",
    ),
    Alert(
        "CNIChainRolledBack",
        Severity.WARNING,
        'max by (cluster) (cnichain_status_condition{type="RolledBack",status="True"}) == 1',
        "",
        "A change of the CNI chain failed and was taken back.",
        "The newest spec failed; the last good revision is in force, or the nodes run the primary alone. It is not "
        "tried again by itself.",
    ),
    Alert(
        "CNIChainDriftFight",
        Severity.WARNING,
        "sum by (cluster, kind) (increase(cnichain_drift_corrected_total[30m])) > 5",
        "",
        "Somebody keeps changing what CNIChain has applied.",
        "{{ $value | humanize }} corrections of {{ $labels.kind }} objects within 30 minutes.",
    ),
    Alert(
        "CNIChainCertificateExpiring",
        Severity.WARNING,
        "min by (cluster, certificate) (cnichain_certificate_expiry_timestamp_seconds) - time() < 21 * 86400",
        "1h",
        "A certificate of Hubble was not renewed in time.",
        "The certificate ({{ $labels.certificate }}) ends in {{ $value | humanizeDuration }}; it is renewed 30 days "
        "before.",
    ),
    Alert(
        "CNIChainCertificateExpiring",
        Severity.CRITICAL,
        "min by (cluster, certificate) (cnichain_certificate_expiry_timestamp_seconds) - time() < 3 * 86400",
        "1h",
        "A certificate of Hubble is about to end.",
        "The certificate ({{ $labels.certificate }}) ends in {{ $value | humanizeDuration }}; then Hubble shows "
        "nothing any more.",
    ),
)

NODES = (
    Alert(
        "CNIChainAgentAbsent",
        Severity.WARNING,
        "sum by (cluster) (max by (cluster, chain) (cnichain_nodes_in_scope))"
        ' + (max by (cluster) (cnichain_nodes_out_of_scope{kind="not selected"})'
        " or 0 * max by (cluster) (cnichain_leader))"
        " - (count by (cluster) (cnichain_agent_build_info) or 0 * max by (cluster) (cnichain_leader)) > 0",
        "10m",
        "Nodes run without CNIChain's agent.",
        "{{ $value }} nodes have no agent that answers: nothing there puts the conflist right.",
    ),
    Alert(
        "CNIChainConflistDrift",
        Severity.CRITICAL,
        "max by (cluster, node) (cnichain_conflist_in_sync) == 0",
        "5m",
        "A node's CNI chain is not as it should be.",
        "The agent on {{ $labels.node }} has not been able to put the chain right for 5 minutes: new pods there start "
        "without policy, or not at all.",
    ),
    Alert(
        "CNIChainConflistFight",
        Severity.WARNING,
        "max by (cluster, node) (increase(cnichain_conflist_drifts_total[30m])) > 5"
        " or max by (cluster, node) (max_over_time(cnichain_agent_brake_engaged[10m])) == 1",
        "",
        "Another program keeps changing the CNI conflist of a node.",
        "On {{ $labels.node }} the chained conflist was changed time and again within half an hour.",
    ),
    Alert(
        "CNIChainCiliumDown",
        Severity.CRITICAL,
        "min by (cluster, node) (cnichain_agent_cilium_healthy) == 0",
        "5m",
        "Cilium does not answer on a node.",
        "cilium-agent on {{ $labels.node }} has not answered its health check for 5 minutes: new pods are refused, or "
        "start without policy, as spec.conflist.onCiliumDown says.",
    ),
    Alert(
        "CNIChainPrimaryCNIChanged",
        Severity.INFO,
        'sum by (cluster) (increase(cnichain_conflist_repairs_total{cause="DriftSource"}[15m])) > 0'
        " or count by (cluster) (count by (cluster, primary_version) (last_over_time(cnichain_info[15m]))) > 1",
        "",
        "The primary CNI has changed.",
        "The primary CNI was upgraded, or has rewritten its conflist; the chains were derived from it anew.",
    ),
)

HUBBLE = (
    Alert(
        "CNIChainHubbleEventsLost",
        Severity.WARNING,
        "sum by (cluster, source) (rate(hubble_lost_events_total[5m])) > 0",
        "10m",
        "Hubble loses events.",
        "{{ $value | humanize }} events a second are lost ({{ $labels.source }}): flows and their export have gaps.",
    ),
    Alert(
        "CNIChainPolicyDenySpike",
        Severity.WARNING,
        f"sum by (cluster) (rate({DENIED}[5m])) > 3 * sum by (cluster) (rate({DENIED}[1h] offset 5m))"
        f" and sum by (cluster) (rate({DENIED}[5m])) > 1 + sum by (cluster) (rate({DENIED}[1h] offset 5m))",
        "5m",
        "Network policies deny much more than before.",
        "{{ $value | humanize }} packets a second are denied, more than three times the rate of the hour before.",
    ),
)

GROUPS = {"cnichain": CHAIN, "cnichain-nodes": NODES, "cnichain-hubble": HUBBLE}
"""Groups of rules by name, in order."""
