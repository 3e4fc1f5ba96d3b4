"""The checks of a chain that runs: pure verdicts over what was read of the cluster."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cnichain.api.names import KIND_CHAIN, SINGLETON, SYSTEM_NAMESPACE
from cnichain.api.reasons import REASONS, Reason
from cnichain.api.times import parse_rfc3339
from cnichain.cli.chainview import ChainView
from cnichain.cli.nodesreport import NodeRow
from cnichain.plan.health import health_of
from cnichain.preflight.finding import Check, Finding, Level, Result
from cnichain.preflight.gathered import Unread
from cnichain.reconcile.report import Type

EXPIRING = timedelta(days=14)
LEASE_GRACE = timedelta(seconds=30)
"""Beyond the Lease's own duration: two clocks are compared."""
NAMED = 3
Object = Mapping[str, Any]
Found = Object | Unread | None


class LiveCategory(StrEnum):
    """Checks are shown by category, in this order; each is what `--category` takes."""

    API = "api"
    OPERATOR = "operator"
    CHAIN = "chain"
    CONFLIST = "conflist"
    CILIUM = "cilium"
    HUBBLE = "hubble"
    CALICO = "calico"
    PODS = "pods"
    CERTIFICATES = "certificates"
    CHANGES = "changes"


@dataclass(frozen=True)
class Live:
    """What was read. nodes: rows of all nodes of the chain. objects: workloads, by "Kind namespace/name"."""

    view: ChainView
    now: datetime
    kubernetes: str
    crds: Mapping[str, Found]
    lease: Found
    nodes: Sequence[NodeRow] | Unread
    cilium_crds: Mapping[str, bool] | Unread
    objects: Mapping[str, Found] = field(default_factory=dict)


OPERATOR = f"Deployment {SYSTEM_NAMESPACE}/cnichain-operator"
AGENT = f"DaemonSet {SYSTEM_NAMESPACE}/cnichain-agent"
CILIUM = ("Deployment kube-system/cilium-operator", "DaemonSet kube-system/cilium")
HUBBLE = {"relay": "Deployment kube-system/hubble-relay", "ui": "Deployment kube-system/hubble-ui"}
WORKLOADS = (OPERATOR, AGENT, *CILIUM, *HUBBLE.values())


def run_live_checks(live: Live) -> list[Result]:
    """All checks, in order of their categories."""
    found: list[Result] = []
    for category, title_and_findings in (
        (LiveCategory.API, _api(live)),
        (LiveCategory.OPERATOR, _operator(live)),
        (LiveCategory.CHAIN, _chain(live)),
        (LiveCategory.CONFLIST, _conflist(live)),
        (LiveCategory.CILIUM, _cilium(live)),
        (LiveCategory.HUBBLE, _hubble(live)),
        (LiveCategory.CALICO, _calico(live)),
        (LiveCategory.PODS, _pods(live)),
        (LiveCategory.CERTIFICATES, _certificates(live)),
        (LiveCategory.CHANGES, _changes(live)),
    ):
        found += [_result(category, title, finding) for title, finding in title_and_findings]
    return found


def _result(category: LiveCategory, title: str, finding: Finding) -> Result:
    code = f"{category.value}-{title.lower().replace(' ', '-')}"
    return Result(Check(code, category, title, lambda _: finding), finding)


Named = tuple[str, Finding]


def _ok(message: str) -> Finding:
    return Finding(Level.OK, Reason.READY, message)


def _bad(reason: Reason, message: str) -> Finding:
    return Finding(Level.REFUSED, reason, message)


def _warn(reason: Reason, message: str) -> Finding:
    return Finding(Level.WARNING, reason, message)


def _unread(found: Unread) -> Finding:
    return Finding(Level.UNKNOWN, Reason.CHECK_NOT_POSSIBLE, found.why)


def _health(what: str, found: Found, reason: Reason) -> Finding:
    """How a workload is."""
    if isinstance(found, Unread):
        return _unread(found)
    health = health_of(found, what)
    return _ok("available.") if health.healthy else _bad(reason, f"{health.message}.")


def _api(live: Live) -> Iterator[Named]:
    for name, found in live.crds.items():
        if isinstance(found, Unread):
            yield name, _unread(found)
            continue
        health = health_of(found, f"CustomResourceDefinition {name}")
        fine = _ok("is established.")
        yield (
            name,
            fine if health.healthy else _bad(Reason.KIND_NOT_SERVED, f"{health.message}: apply the folder crds."),
        )


def _operator(live: Live) -> Iterator[Named]:
    deployment = live.objects.get(OPERATOR)
    if deployment is not None:
        yield "deployment", _health(OPERATOR, deployment, Reason.OPERATOR_NOT_RUNNING)
    yield "lease", _lease(live)
    seen = live.view.status.observed_generation
    if seen < live.view.generation:
        words = f"generation {live.view.generation} of the {KIND_CHAIN} has not been seen yet, only {seen}."
        yield "spec seen", _bad(Reason.OPERATOR_NOT_RUNNING, words)
    else:
        yield "spec seen", _ok(f"generation {live.view.generation}.")


def _lease(live: Live) -> Finding:
    if isinstance(live.lease, Unread):
        return _unread(live.lease)
    spec = (live.lease or {}).get("spec") or {}
    holder = str(spec.get("holderIdentity") or "")
    if not holder:
        return _bad(Reason.OPERATOR_NOT_RUNNING, "no operator holds the Lease.")
    renewed = parse_rfc3339(str(spec.get("renewTime") or ""))
    if renewed is None:
        return _bad(Reason.OPERATOR_NOT_RUNNING, f"{holder} holds it and has never renewed it.")
    silent = live.now - renewed
    if silent > timedelta(seconds=float(spec.get("leaseDurationSeconds") or 15)) + LEASE_GRACE:
        words = f"{holder} has not renewed it for {silent.total_seconds():.0f} s."
        return _bad(Reason.OPERATOR_NOT_RUNNING, words)
    return _ok(f"held by {holder}.")


def _condition(live: Live, kind: Type, level: Level = Level.REFUSED) -> Finding:
    """A condition as a finding: what should be True and is not."""
    found = live.view.condition(kind)
    if found is None:
        return Finding(Level.UNKNOWN, Reason.NOT_STARTED, f"{kind.value} has not been told yet.")
    if found.status == "True":
        return _ok(found.message)
    reason = _reason(found.reason)
    is_step = not REASONS[reason].warning and found.reason == reason.value
    lower = Level.WARNING if found.status == "Unknown" or is_step else level
    return Finding(lower, reason, f"{found.reason}: {found.message}" if found.reason != reason.value else found.message)


def _reason(code: str) -> Reason:
    """The reason of a condition; that of a newer operator, which this release does not know, is told in words."""
    try:
        return Reason(code)
    except ValueError:
        return Reason.CHECK_NOT_POSSIBLE


def _chain(live: Live) -> Iterator[Named]:
    view = live.view
    if view.unread:
        words = f"this release cannot read {', '.join(view.unread)}; use the release that the operator has."
        yield "readable", Finding(Level.UNKNOWN, Reason.CHECK_NOT_POSSIBLE, words)
    stalled = view.condition(Type.STALLED)
    ready = view.condition(Type.READY)
    if stalled is not None and stalled.status == "True":
        yield "Ready", _bad(_reason(stalled.reason), ready.message if ready else stalled.message)
    else:
        yield "Ready", _condition(live, Type.READY)
    yield "preflight", _preflight(live)
    yield "catalogue", _condition(live, Type.CATALOGUE_VALID, Level.WARNING)
    if view.spec is not None and view.spec.suspend:
        yield "suspended", _warn(Reason.SUSPENDED, "spec.suspend is true: nothing is put right.")


def _preflight(live: Live) -> Finding:
    """The condition; of one that has passed, only how many warnings there were."""
    finding = _condition(live, Type.PREFLIGHT_PASSED)
    warnings = sum(item.level == "warning" for item in live.view.status.preflight)
    if finding.level is not Level.OK or not warnings:
        return finding
    return _ok(f"passed; warnings: {warnings}, which `cnichain check --pre` tells.")


def _conflist(live: Live) -> Iterator[Named]:
    """One line for each reason that nodes have, so that a broken fleet is not thousands of lines."""
    agent = live.objects.get(AGENT)
    if agent is not None:
        yield "agents", _health(AGENT, agent, Reason.NODE_AGENT_NOT_READY)
    if isinstance(live.nodes, Unread):
        yield "on nodes", _unread(live.nodes)
        return
    if not live.nodes:
        yield "on nodes", _bad(Reason.NO_NODES_IN_SCOPE, "no node has a CNIChainNode.")
        return
    ill: dict[Reason, list[NodeRow]] = defaultdict(list)
    for row in live.nodes:
        if not row.ready:
            ill[_reason(row.reason) if row.reason else Reason.NODES_NOT_VERIFIED].append(row)
    if not ill:
        yield "on nodes", _ok(f"verified on {len(live.nodes)} of {len(live.nodes)} nodes.")
    for reason, members in ill.items():
        names = ", ".join(row.name for row in members[:NAMED])
        more = f" and {len(members) - NAMED} more" if len(members) > NAMED else ""
        words = f"{len(members)} of {len(live.nodes)} nodes: {names}{more}. {members[0].message}"
        yield "on nodes", _bad(reason, words)
    drifts = sum(row.drifts for row in live.nodes)
    yield "drifts", _ok(f"{drifts} were put right since the nodes joined." if drifts else "none so far.")


def _cilium(live: Live) -> Iterator[Named]:
    yield "CiliumReady", _condition(live, Type.CILIUM_READY)
    for what in CILIUM:
        yield what.split("/")[1], _health(what, live.objects.get(what), Reason.WAITING_FOR_HEALTH)
    if isinstance(live.cilium_crds, Unread):
        yield "CRDs", _unread(live.cilium_crds)
        return
    missing = [name for name, established in live.cilium_crds.items() if not established]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        words = f"not established: {', '.join(missing[:NAMED])}{more}; cilium-operator makes them."
        yield "CRDs", _bad(Reason.KIND_NOT_SERVED, words)
    else:
        yield "CRDs", _ok(f"{len(live.cilium_crds)} of {len(live.cilium_crds)} are established.")


def _hubble(live: Live) -> Iterator[Named]:
    yield "HubbleReady", _condition(live, Type.HUBBLE_READY)
    spec = live.view.spec
    if spec is None:
        return
    for part, what in HUBBLE.items():
        if (spec.hubble.relay if part == "relay" else spec.hubble.ui).enabled:
            yield part, _health(what, live.objects.get(what), Reason.WAITING_FOR_HEALTH)
        else:
            yield part, _ok("is switched off.")


def _calico(live: Live) -> Iterator[Named]:
    if live.view.spec is None or not live.view.spec.calico.enabled:
        yield "CalicoReady", _ok("Calico is switched off.")
        return
    yield "CalicoReady", _condition(live, Type.CALICO_READY)


def _pods(live: Live) -> Iterator[Named]:
    yield "coverage", _condition(live, Type.PODS_MANAGED, Level.WARNING)


def _certificates(live: Live) -> Iterator[Named]:
    found = live.view.status.certificates
    if found is None:
        yield "Hubble", _ok("the operator holds none.")
        return
    for title, text in (("Hubble", found.not_after), ("CA", found.ca_not_after)):
        end = parse_rfc3339(text)
        if end is None:
            yield title, Finding(Level.UNKNOWN, Reason.CHECK_NOT_POSSIBLE, f"{text or 'nothing'!r} is no time.")
        elif end <= live.now:
            yield title, _bad(Reason.CERTIFICATE_EXPIRING, f"ended on {end:%Y-%m-%d}.")
        elif end - live.now < EXPIRING:
            yield title, _warn(Reason.CERTIFICATE_EXPIRING, f"ends on {end:%Y-%m-%d}.")
        else:
            yield title, _ok(f"until {end:%Y-%m-%d}.")
    if found.rotation:
        yield "rotation", _warn(Reason.CA_ROTATING, f"step {found.rotation} since {found.rotation_since}.")


def _changes(live: Live) -> Iterator[Named]:
    view = live.view
    rolled_back = view.condition(Type.ROLLED_BACK)
    if rolled_back is not None and rolled_back.status == "True":
        yield "last change", _bad(_reason(rolled_back.reason), rolled_back.message)
    elif view.status.rejected is not None:
        rejected = view.status.rejected
        yield "last change", _bad(_reason(rejected.reason), f"Cilium {rejected.cilium}: {rejected.message}.")
    else:
        rollout = view.status.rollout
        words = f"{rollout.state.value}: {rollout.done} of {rollout.total} nodes have it." if rollout else "none yet."
        yield "last change", _ok(words)
    if view.spec is not None and view.spec.rollout.paused:
        yield "paused", _warn(Reason.PAUSED, f"spec.rollout.paused of {KIND_CHAIN} {SINGLETON} is true.")
    drifted = view.condition(Type.DRIFTED)
    if drifted is None:
        yield "drift", Finding(Level.UNKNOWN, Reason.NOT_STARTED, "Drifted has not been told yet.")
    elif drifted.status == "True":
        yield "drift", _bad(_reason(drifted.reason), drifted.message)
    elif drifted.reason == Reason.MUTATED_BY_ADMISSION.value:
        yield "drift", _warn(Reason.MUTATED_BY_ADMISSION, drifted.message)
    else:
        yield "drift", _ok(drifted.message)
