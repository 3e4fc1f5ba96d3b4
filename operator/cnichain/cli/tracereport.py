"""What `cnichain trace` prints: the way of one pod through the chain, and whether Cilium manages it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cnichain.api.chain import CNIChainSpec, PolicyEngine
from cnichain.api.chainnode import NodeState
from cnichain.api.names import DOCS_URL
from cnichain.api.times import parse_rfc3339
from cnichain.cli.chainview import ChainView
from cnichain.cli.layout import Mark, Style, age, fields, wrap
from cnichain.plan.coverage import MEANING, Cause, cause_of, node_states
from cnichain.plan.nodes import chain_node_record, node_record
from cnichain.plan.pods import PodRecord, endpoint_record, is_managed, pod_record

Object = Mapping[str, Any]

ADVICE = {
    Cause.SECURITY_GROUP_POD: "Whether Cilium may manage such a pod depends on the VPC CNI's "
    "POD_SECURITY_GROUP_ENFORCING_MODE; try one first.",
    Cause.CHAIN_NOT_VERIFIED: "Put the node right first: `cnichain nodes` says what it waits for. A restart of the pod "
    "does not help before.",
    Cause.OLDER_THAN_CHAIN: "Restart its workload: the new pod goes through the chain.",
    Cause.AGENT_DOWN: "Look at the Cilium pod on its node.",
    Cause.UNKNOWN: "Read the log of the Cilium agent on its node for this pod, then restart the pod.",
}
NO_CHAIN_FOR = {
    "host network": "It is on its node's own network, so no CNI plugin runs for it, and no policy for pods holds.",
    "static": "kubelet runs it from a file on the node; it is not counted.",
    "Fargate": "Fargate nodes run AWS's own network; no DaemonSet runs there, so no chain does.",
}


class Verdict(StrEnum):
    """Whether Cilium manages a pod."""

    MANAGED = "Managed"
    UNMANAGED = "Unmanaged"
    OUT_OF_SCOPE = "OutOfScope"
    NOT_STARTED = "NotStarted"
    UNKNOWN = "Unknown"
    """Cilium publishes no endpoints (`disableEndpointCRD`), so it cannot be told from the API."""


@dataclass(frozen=True)
class Facts:
    """What was read. node, report, endpoint: None when there is none. agents: Cilium's pods on the node."""

    view: ChainView
    pod: Object
    node: Object | None
    report: Object | None
    endpoint: Object | None
    agents: Sequence[Object] = ()


@dataclass(frozen=True)
class Trace:
    """What follows of the facts. kind: why no chain is for it. cause: why Cilium does not manage it."""

    facts: Facts
    pod: PodRecord
    verdict: Verdict
    kind: str
    cause: Cause | None
    same_uid: bool | None
    agent_ready: bool
    notes: tuple[str, ...]


def trace_of(facts: Facts) -> Trace:
    """Judge the facts by the same rules as the operator's count."""
    pod = pod_record(facts.pod)
    endpoint = endpoint_record(facts.endpoint) if facts.endpoint else None
    node = node_record(facts.node) if facts.node else None
    reports = {pod.node: chain_node_record(facts.report)} if facts.report else {}
    selector = facts.view.spec.nodes.selector if facts.view.spec else {}
    agents = [pod_record(one) for one in facts.agents]
    standing = node_states({node.name: node}, reports, selector, agents)[node.name] if node else None
    kind = pod.kind or (standing.out_of_scope if standing else "")
    cause = None
    if kind:
        verdict = Verdict.OUT_OF_SCOPE
    elif not pod.live:
        verdict = Verdict.NOT_STARTED
    elif is_managed(pod, endpoint):
        verdict = Verdict.MANAGED
    elif facts.view.spec is not None and has_no_endpoints(facts.view.spec):
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.UNMANAGED
        cause = cause_of(pod, standing) if standing else Cause.UNKNOWN
    return Trace(
        facts=facts,
        pod=pod,
        verdict=verdict,
        kind=kind,
        cause=cause,
        same_uid=endpoint.pod_uid == pod.uid if endpoint else None,
        agent_ready=bool(standing and standing.agent_ready),
        notes=tuple(_notes(pod, verdict)),
    )


def has_no_endpoints(spec: CNIChainSpec) -> bool:
    """Whether spec has Cilium publish no CiliumEndpoints."""
    return str(spec.cilium.values.get("disableEndpointCRD", "")).lower() == "true"


def _notes(pod: PodRecord, verdict: Verdict) -> Iterator[str]:
    if pod.security_group:
        yield "It has a security group of its own (branch interface of the VPC CNI): AWS enforces that beside Cilium."
    if verdict is Verdict.NOT_STARTED and pod.leaving:
        yield "It is being deleted."


def engine_of(view: ChainView) -> str:
    """The engine that enforces NetworkPolicy now; empty when that is not known."""
    if view.status.effective and view.status.effective.policy_engine:
        return view.status.effective.policy_engine
    return view.spec.policy_engine.value if view.spec else ""


def as_text(trace: Trace, now: datetime, style: Style) -> str:
    """The report."""
    pod, raw = trace.pod, trace.facts.pod
    lines = [style.strong(f"Pod {pod.namespace}/{pod.name}")]
    lines += fields(
        (
            ("phase", f"{(raw.get('status') or {}).get('phase', '')}, {age(now.timestamp() - pod.started)} old"),
            ("node", f"{pod.node} ({trace.kind})" if trace.kind and pod.node else pod.node or "none yet"),
            ("addresses", ", ".join(pod.ips) or "none"),
            ("owner", str(pod.workload) if pod.workload.kind else "none"),
        ),
        "  ",
        12,
    )
    lines += ["", style.strong("Chain on its node"), *_chain(trace, now, style)]
    lines += ["", style.strong("CiliumEndpoint"), *_endpoint(trace, style)]
    lines += ["", *_verdict(trace, style)]
    return "\n".join(lines)


def _marked(mark: Mark, text: str, style: Style) -> Iterator[str]:
    first, *rest = wrap(text, "  ") or ["  "]
    yield f"{style.sign(mark)} {first[2:]}"
    yield from rest


def _chain(trace: Trace, now: datetime, style: Style) -> Iterator[str]:
    report = trace.facts.report
    if report is None:
        yield from _marked(Mark.NONE, "no CNIChainNode: nothing is known of its conflist.", style)
        return
    record, status = chain_node_record(report), report.get("status") or {}
    state = record.state or "no report from its agent yet"
    words = state if record.verified or not record.reason else f"{state}: {record.reason}: {record.message}"
    yield from _marked(Mark.GOOD if record.verified else Mark.BAD, words, style)
    since = parse_rfc3339(record.ready_since)
    verified = f"{record.ready_since}, {age((now - since).total_seconds())} ago" if since else ""
    if since and trace.pod.started and record.state != NodeState.UNCHAINED:
        order = "before" if since.timestamp() <= trace.pod.started else "AFTER"
        verified += f"; {order} the pod started"
    runtime = status.get("runtime") or {}
    yield from fields(
        (
            ("conflist", record.effective_file or "none"),
            ("plugins", style.arrow.join(record.plugins)),
            ("verified", verified),
            ("runtime", f"{runtime['name']}: {runtime.get('view')}" if runtime.get("name") else "not asked"),
            ("agent", "the Cilium agent is ready" if trace.agent_ready else "no ready Cilium agent"),
        ),
        "  ",
        12,
    )


def _endpoint(trace: Trace, style: Style) -> Iterator[str]:
    endpoint = trace.facts.endpoint
    if endpoint is None:
        mark = Mark.BAD if trace.verdict is Verdict.UNMANAGED else Mark.NONE
        yield from _marked(mark, "none of this pod's name.", style)
        return
    mark = Mark.GOOD if trace.same_uid else Mark.BAD
    words = "of this very pod (same uid)" if trace.same_uid else "of an earlier pod of this name (another uid)"
    yield from _marked(mark, words, style)
    status = endpoint.get("status") or {}
    identity = status.get("identity") or {}
    labels = [str(one) for one in identity.get("labels") or []]
    yield from fields(
        (
            ("endpoint", str(status.get("id") or "")),
            ("state", str(status.get("state") or "")),
            ("identity", " ".join([str(identity.get("id") or "not told"), *labels])),
            ("addresses", ", ".join(endpoint_record(endpoint).ips) or "none"),
            *((f"{way}", _direction(told)) for way, told in _directions(endpoint).items()),
        ),
        "  ",
        12,
    )


def _directions(endpoint: Object) -> dict[str, Object]:
    policy = (endpoint.get("status") or {}).get("policy") or {}
    return {way: policy[way] for way in ("ingress", "egress") if isinstance(policy.get(way), Mapping)}


def _direction(told: Object) -> str:
    """One direction of `status.policy` of a CiliumEndpoint."""
    words = [str(told.get("state") or ""), "enforced by a policy" if told.get("enforcing") else "no policy selects it"]
    for key in ("allowed", "denied"):
        if told.get(key):
            words.append(f"{len(told[key])} peers {key}")
    return ", ".join(filter(None, words))


def _verdict(trace: Trace, style: Style) -> Iterator[str]:
    view = trace.facts.view
    engine = engine_of(view)
    match trace.verdict:
        case Verdict.MANAGED:
            yield from _marked(Mark.GOOD, "Managed by Cilium: Hubble sees its flows.", style)
            yield from wrap(_enforced(engine), "  ")
        case Verdict.UNMANAGED if trace.cause is not None:
            yield from _marked(Mark.BAD, f"NOT managed by Cilium: {trace.cause.value}: {MEANING[trace.cause]}.", style)
            yield from wrap(_not_enforced(engine), "  ")
            yield from wrap(ADVICE[trace.cause], "  -> ", "     ")
            yield f"  {DOCS_URL}/coverage.html"
        case Verdict.OUT_OF_SCOPE:
            yield from _marked(Mark.NONE, f"Out of scope: {trace.kind}.", style)
            why = NO_CHAIN_FOR.get(trace.kind, "The chain is not for its node, so Cilium does not manage it.")
            yield from wrap(why, "  ")
        case Verdict.UNKNOWN:
            words = "Not known: spec.cilium.values has disableEndpointCRD, so Cilium publishes no CiliumEndpoints."
            yield from _marked(Mark.WARN, words, style)
        case _:
            yield from _marked(Mark.NONE, "It does not run, so there is nothing to manage yet.", style)
    for note in trace.notes:
        yield from _marked(Mark.WARN, note, style)


def _enforced(engine: str) -> str:
    if engine == PolicyEngine.CALICO.value:
        return "policyEngine is Calico: Calico enforces NetworkPolicy, Cilium enforces none."
    if not engine:
        return "Which engine enforces NetworkPolicy is not known."
    return "policyEngine is Cilium: it enforces NetworkPolicy and CiliumNetworkPolicy."


def _not_enforced(engine: str) -> str:
    if engine == PolicyEngine.CALICO.value:
        return "policyEngine is Calico, which enforces NetworkPolicy for it all the same; Hubble does not see it."
    return "No policy of Cilium holds for it, and Hubble does not see it."


def as_data(trace: Trace) -> dict[str, Any]:
    """The same for programs."""
    pod, report, endpoint = trace.pod, trace.facts.report, trace.facts.endpoint
    record = chain_node_record(report) if report else None
    status = (endpoint.get("status") or {}) if endpoint else {}
    identity = status.get("identity") or {}
    return {
        "pod": {
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
            "phase": (trace.facts.pod.get("status") or {}).get("phase", ""),
            "node": pod.node,
            "addresses": list(pod.ips),
            "owner": {"kind": pod.workload.kind, "name": pod.workload.name} if pod.workload.kind else None,
            "securityGroup": pod.security_group,
        },
        "verdict": trace.verdict.value,
        "cause": trace.cause.value if trace.cause else "",
        "outOfScope": trace.kind,
        "policyEngine": engine_of(trace.facts.view),
        "chain": {
            "state": record.state,
            "verified": record.verified,
            "verifiedSince": record.ready_since,
            "reason": record.reason,
            "message": record.message,
            "conflist": record.effective_file,
            "plugins": list(record.plugins),
            "ciliumAgentReady": trace.agent_ready,
        }
        if record
        else None,
        "endpoint": {
            "sameUid": trace.same_uid,
            "id": status.get("id"),
            "state": status.get("state", ""),
            "identity": {"id": identity.get("id"), "labels": identity.get("labels") or []},
            "addresses": list(endpoint_record(endpoint).ips),
            "policy": {
                way: {
                    "enforcing": bool(told.get("enforcing")),
                    "allowed": len(told.get("allowed") or []),
                    "denied": len(told.get("denied") or []),
                }
                for way, told in _directions(endpoint).items()
            },
        }
        if endpoint
        else None,
        "notes": list(trace.notes),
    }
