"""What the evidence does not cover, or what weakens it: the part that an auditor would find otherwise. Pure."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cnichain.api.times import parse_rfc3339
from cnichain.evidence.model import Evidence, GapFact, NodeFact, PodFact

EXAMPLES = 20
EXPIRES_SOON = timedelta(days=30)
OFF_NETWORK, UNMANAGED, SECURITY_GROUP, POD_IDENTITY, UNSELECTED = (
    "hostNetwork",
    "unmanaged",
    "securityGroup",
    "podIdentity",
    "unselected",
)
"""Keys of `Evidence.pods`."""


@dataclass(frozen=True)
class Kind:
    """A kind of gap. means: why it matters. next: what to do about it."""

    title: str
    means: str
    next: str


GAPS: dict[str, Kind] = {
    "NotReadable": Kind(
        "Parts could not be read",
        "What these would have shown is missing here; nothing may be concluded from that.",
        "Give the caller the permissions of docs/evidence.md and make the evidence anew.",
    ),
    "PolicyAuditMode": Kind(
        "Policies are not enforced (audit mode)",
        "Cilium lets denied traffic through and only reports it. Every policy below is without effect.",
        "Set spec.policyAuditMode to false.",
    ),
    "OtherEngine": Kind(
        "Another engine enforces NetworkPolicy",
        "Calico enforces NetworkPolicy and its own policies; their selectors and verdicts are not evaluated here.",
        "Add the evidence of Calico's own tools.",
    ),
    "ChainNotReady": Kind(
        "The chain was not Ready",
        "The state below was changing, held, or broken when it was read.",
        "See the condition's reason in docs/reasons.md, and make the evidence anew.",
    ),
    "NodeNotVerified": Kind(
        "Nodes whose chain is not verified",
        "Pods that start there may start without Cilium, and so without policy.",
        "See the reason of each CNIChainNode.",
    ),
    "NodeOutOfScope": Kind(
        "Nodes without the chain (Fargate, Auto Mode, hybrid, Windows, not selected)",
        "No policy of Cilium's holds for pods on these nodes, and Hubble sees none of their flows.",
        "Cover them by other means, such as security groups, or move the workloads.",
    ),
    "FailsOpen": Kind(
        "New pods start without policy while Cilium is down",
        "spec.conflist.onCiliumDown is Open: availability is preferred to enforcement.",
        "Set it to Closed, or list the CiliumDown repairs of the period.",
    ),
    "UnmanagedPods": Kind(
        "Pods that Cilium does not manage",
        "No policy holds for them, although their node has the chain.",
        "The command cnichain unmanaged names each with its cause; restart them.",
    ),
    "HostNetworkPods": Kind(
        "Pods on the host network",
        "They have the node's address and identity: no pod policy holds for them.",
        "Keep them few, and control them by node firewalls or Cilium's host policies.",
    ),
    "SecurityGroupPods": Kind(
        "Pods with a security group of their own",
        "Their traffic goes through a branch interface; their security group decides, not Cilium's policies alone.",
        "Add the rules of those security groups to the evidence.",
    ),
    "NamespaceWithoutPolicy": Kind(
        "Namespaces without any isolated pod",
        "Every pod in them may reach, and be reached by, everything that no other policy forbids.",
        "Isolate them, as with deploy/policies/default-deny.",
    ),
    "PodsWithoutPolicy": Kind(
        "Pods that no policy isolates",
        "Policies that only allow change nothing for a pod that nothing isolates.",
        "Write policies that select them, or isolate their namespace.",
    ),
    "PodIdentityCutOff": Kind(
        "Pods cut off from EKS Pod Identity",
        "Their egress is isolated, and no policy lets them reach the agent on the node, so they get no credentials.",
        "Apply deploy/policies/baseline, or allow the entity host on TCP port 80.",
    ),
    "FlowExportOff": Kind(
        "Flows are not exported",
        "Hubble keeps the last few minutes in memory; there is no log to review.",
        "Set spec.hubble.export.profile, and collect the files (docs/audit.md).",
    ),
    "FlowExportNarrowed": Kind(
        "The flow export leaves flows out",
        "Filters narrow it, so that the absence of a record proves nothing.",
        "Review spec.hubble.export.allow and deny.",
    ),
    "VerdictsNotRead": Kind(
        "Counts of verdicts are missing",
        "Hubble's metrics could not be read from every node, so the totals are lower bounds.",
        "Run where port 9965 of the nodes is reachable, or take the counts from Prometheus.",
    ),
    "ImageNotPinned": Kind(
        "Images without a digest, or unknown to the catalogue",
        "What runs cannot be told from the image's name.",
        "Pin the image by digest, or add it to the catalogue.",
    ),
    "StandInChart": Kind(
        "The chart is not Cilium's own",
        "The catalogue marks it as a stand-in, for demonstrations and tests.",
        "Install an official release.",
    ),
    "CertificateExpiring": Kind(
        "Certificates that end within 30 days",
        "Hubble's relay and servers stop trusting each other when they end.",
        "The operator renews them by itself; see the condition HubbleReady (docs/certificates.md).",
    ),
}
Found = tuple[str, int, list[str]]
"""detail, count, examples."""


def with_gaps(evidence: Evidence) -> Evidence:
    """The same evidence with its list of gaps, in the order of GAPS."""
    return replace(evidence, gaps=tuple(find_gaps(evidence)))


def find_gaps(evidence: Evidence) -> Iterator[GapFact]:
    """Every gap of the evidence."""
    for code, kind in GAPS.items():
        found = FINDERS[code](evidence)
        if found is not None:
            detail, count, examples = found
            shown = tuple(examples[:EXAMPLES])
            yield GapFact(code, kind.title, detail, count, shown, kind.means, kind.next)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _counted(noun: str, items: Iterable[str]) -> Found | None:
    names = list(items)
    return (f"{_number(len(names), noun)}.", len(names), names) if names else None


def _pods(key: str) -> Callable[[Evidence], Found | None]:
    return lambda evidence: _counted("pod", (pod_line(pod) for pod in evidence.pods.get(key, ())))


def pod_line(pod: PodFact) -> str:
    """A pod in a list."""
    return f"{pod.namespace}/{pod.name}" + (f" ({pod.why})" if pod.why else "")


def _not_readable(evidence: Evidence) -> Found | None:
    return _counted("part", evidence.unread)


def _audit_mode(evidence: Evidence) -> Found | None:
    said = [
        *(["spec.policyAuditMode is true"] if evidence.chain.spec.get("policyAuditMode") else []),
        *(["cilium-config: policy-audit-mode"] if _is_on(evidence, "policy-audit-mode") else []),
    ]
    return ("Denied traffic gets through on every node.", len(said), said) if said else None


def _is_on(evidence: Evidence, setting: str) -> bool:
    return evidence.export.settings.get(setting, "").lower() == "true"


def _other_engine(evidence: Evidence) -> Found | None:
    counts = [
        f"{kind}: {count}" for kind, count in evidence.policies.counts.items() if "projectcalico" in kind and count
    ]
    engine = str(evidence.chain.effective.get("policyEngine") or evidence.chain.spec.get("policyEngine") or "")
    if engine != "Calico" and not counts:
        return None
    return f"The engine is {engine or 'Cilium'}; Calico's policies are counted, not evaluated.", len(counts), counts


def _not_ready(evidence: Evidence) -> Found | None:
    ready = next((one for one in evidence.chain.conditions if one.type == "Ready"), None)
    if ready is not None and ready.status == "True":
        return None
    said = f"{ready.reason}: {ready.message}" if ready else "there is no CNIChain with a status"
    return f"Ready is {ready.status if ready else 'unknown'}.", 1, [said]


def _not_verified(evidence: Evidence) -> Found | None:
    return _counted("node", (_node_line(one) for one in evidence.nodes if not one.kind and not one.verified))


def _node_line(node: NodeFact) -> str:
    return f"{node.name}: {' '.join(filter(None, (node.state, node.reason))) or 'no report from its agent'}"


def _out_of_scope(evidence: Evidence) -> Found | None:
    left_out = [one for one in evidence.nodes if one.kind]
    if not left_out:
        return None
    pods = sum(one.pods for one in left_out)
    return (
        f"{_number(len(left_out), 'node')} with {_number(pods, 'pod')}.",
        len(left_out),
        [f"{one.name}: {one.kind}, {_number(one.pods, 'pod')}" for one in left_out],
    )


def _fails_open(evidence: Evidence) -> Found | None:
    mode = (evidence.chain.spec.get("conflist") or {}).get("onCiliumDown") or evidence.chain.effective.get(
        "onCiliumDown"
    )
    return ("onCiliumDown is Open.", 1, []) if mode == "Open" else None


def _without_policy(evidence: Evidence) -> Found | None:
    return _counted(
        "namespace",
        (
            f"{one.name}: {_number(one.pods, 'pod')}"
            for one in evidence.policies.namespaces
            if one.pods and one.unselected == one.pods
        ),
    )


def _export_off(evidence: Evidence) -> Found | None:
    if any(one.active for one in evidence.export.exporters):
        return None
    return f"spec.hubble.export.profile is {evidence.export.profile or 'off'}; no exporter is active.", 1, []


def _export_narrowed(evidence: Evidence) -> Found | None:
    wanted = (evidence.chain.spec.get("hubble") or {}).get("export") or {}
    named = [key for key in ("allow", "deny") if wanted.get(key)]
    if not named or not any(one.active for one in evidence.export.exporters):
        return None
    return (
        f"spec.hubble.export has {' and '.join(named)}.",
        sum(len(wanted[key]) for key in named),
        [f"{key}: {json.dumps(one, sort_keys=True)}" for key in named for one in wanted[key]],
    )


def _verdicts(evidence: Evidence) -> Found | None:
    verdicts = evidence.verdicts
    if verdicts.asked and not verdicts.unread:
        return None
    detail = f"{verdicts.answered} of {verdicts.asked} nodes answered."
    return detail, len(verdicts.unread), [f"{node}: {why}" for node, why in verdicts.unread.items()]


def _images(evidence: Evidence) -> Found | None:
    return _counted(
        "image",
        (
            f"{one.workload}: {one.image}{'' if one.pinned else ' (no digest)'}"
            for one in evidence.images
            if not (one.pinned and one.known)
        ),
    )


def _stand_in(evidence: Evidence) -> Found | None:
    source = str(evidence.chain.versions.get("chartSource", ""))
    return (f"versions.chartSource is {source}.", 1, []) if source and source != "official" else None


def _certificates(evidence: Evidence) -> Found | None:
    now = parse_rfc3339(evidence.created) or datetime.now(UTC)
    ending = (
        f"{one.secret}/{one.entry} ({one.subject}) ends {one.not_after}"
        for one in evidence.certificates
        if (end := parse_rfc3339(one.not_after)) is not None and end - now < EXPIRES_SOON
    )
    return _counted("certificate", ending)


FINDERS: dict[str, Callable[[Evidence], Found | None]] = {
    "NotReadable": _not_readable,
    "PolicyAuditMode": _audit_mode,
    "OtherEngine": _other_engine,
    "ChainNotReady": _not_ready,
    "NodeNotVerified": _not_verified,
    "NodeOutOfScope": _out_of_scope,
    "FailsOpen": _fails_open,
    "UnmanagedPods": _pods(UNMANAGED),
    "HostNetworkPods": _pods(OFF_NETWORK),
    "SecurityGroupPods": _pods(SECURITY_GROUP),
    "NamespaceWithoutPolicy": _without_policy,
    "PodsWithoutPolicy": _pods(UNSELECTED),
    "PodIdentityCutOff": _pods(POD_IDENTITY),
    "FlowExportOff": _export_off,
    "FlowExportNarrowed": _export_narrowed,
    "VerdictsNotRead": _verdicts,
    "ImageNotPinned": _images,
    "StandInChart": _stand_in,
    "CertificateExpiring": _certificates,
}
