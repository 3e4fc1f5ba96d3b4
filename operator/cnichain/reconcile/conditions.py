"""Conditions from what a pass saw. Pure: the same report gives the same conditions, and `Ready` only sums up the rest.

Source of the rules: kstatus (Reconciling and Stalled are abnormal-true, Stalled only for what cannot heal by itself)
and the Kubernetes API conventions (lastTransitionTime moves with `status` alone).
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from cnichain.api.chainnode import Condition
from cnichain.api.chainstatus import NodesStatus
from cnichain.api.reasons import REASONS, Reason
from cnichain.api.times import parse_rfc3339
from cnichain.catalogue.load import InForce
from cnichain.reconcile.rejection import rejected, rolled_back
from cnichain.reconcile.report import NEEDED, Removal, Report, Type
from cnichain.reconcile.verdict import Verdict
from cnichain.render.stages import CALICO_STAGES, Stage

HELD_BACK = timedelta(minutes=2)
"""So long a chain that was Ready stays so while a passing error lasts, as cluster-network-operator does it (its
statusmanager debounces Degraded for two minutes); Reconciling tells of it at once."""

MESSAGE_LIMIT = 8000
"""Characters. All conditions at once stay far below the 1.5 MB that etcd takes for an object, in any alphabet."""

ROLLOUT_WAITS = (
    Reason.PULLING_IMAGES,
    Reason.CANARY,
    Reason.SOAKING,
    Reason.WAVE,
    Reason.NODES_UNAVAILABLE,
    Reason.NODES_NOT_READY,
    Reason.ROLLOUT_OVERDUE,
)
"""What the stage of the agents waits for while a change is on its way."""


def conditions(report: Report, previous: Iterable[Condition], now: str) -> list[Condition]:
    """All conditions. What a pass did not get to is carried over: it is still the newest word on it."""
    before = {item.type: item for item in previous}
    verdicts = _parts(report) if report.removal is None else _removed_parts(report.removal)
    for kind in (*NEEDED, Type.PODS_MANAGED, Type.CATALOGUE_VALID):
        if kind not in verdicts and kind.value not in before:
            verdicts[kind] = Verdict("Unknown", Reason.NOT_STARTED, "An earlier step is not finished yet.")
    verdicts |= _summary(report, verdicts)
    if _is_held_back(report, before, now):
        ready = before[Type.READY.value]
        verdicts[Type.READY] = Verdict(ready.status, Reason(ready.reason), ready.message)
    return [
        _condition(kind, verdicts[kind], before.get(kind.value), report.generation, now)
        if kind in verdicts
        else before[kind.value]
        for kind in Type
    ]


def starting(generation: int, previous: Iterable[Condition], now: str) -> list[Condition]:
    """The conditions of the very first patch for a generation: before any work, so that nobody takes it for done."""
    before = {item.type: item for item in previous}
    verdicts = {
        Type.READY: Verdict("Unknown", Reason.RECONCILING, f"Generation {generation} has been seen."),
        Type.RECONCILING: Verdict("True", Reason.RECONCILING, f"Generation {generation} has been seen."),
        Type.STALLED: Verdict("False", Reason.RECONCILING, "Nothing stands in the way so far."),
    }
    mine = [_condition(kind, verdict, before.get(kind.value), generation, now) for kind, verdict in verdicts.items()]
    return mine + [item for kind, item in before.items() if kind not in {one.type for one in mine}]


def _is_held_back(report: Report, before: Mapping[str, Condition], now: str) -> bool:
    """Whether Ready stays True for now: what is in the way often ends by itself at once.

    The time is that of the condition Reconciling, which the error has set, so it outlives a restart.
    """
    ready, reconciling = before.get(Type.READY.value), before.get(Type.RECONCILING.value)
    if report.error is None or not REASONS[report.error.reason].passing or ready is None or ready.status != "True":
        return False
    if ready.observed_generation != report.generation:
        return False  # another spec was in force, or the chain was not being deleted yet
    if reconciling is None or reconciling.status != "True":
        return True
    since, until = parse_rfc3339(reconciling.last_transition_time), parse_rfc3339(now)
    return since is not None and until is not None and timedelta() <= until - since < HELD_BACK


def _parts(report: Report) -> dict[Type, Verdict]:
    """Verdicts on the parts that the pass got to."""
    verdicts: dict[Type, Verdict] = {}
    if report.catalogue is not None:
        verdicts[Type.CATALOGUE_VALID] = _catalogue(report.catalogue)
    if report.refused is not None:
        verdicts[Type.PREFLIGHT_PASSED] = Verdict("False", report.refused.reason, report.refused.message)
    elif report.preflight:
        verdicts[Type.PREFLIGHT_PASSED] = Verdict("True", Reason.PREFLIGHT_PASSED, report.preflight)
    cilium = _stages(report, (Stage.CONFIG, Stage.OPERATOR, Stage.AGENTS), "Cilium is available.")
    if cilium is not None:
        verdicts[Type.CILIUM_READY] = cilium
    if report.nodes is not None and report.error is None:
        verdicts[Type.CHAIN_READY] = _chain(report.nodes)
    hubble = _stages(report, (Stage.HUBBLE,), "Hubble is available.")
    if hubble is not None:
        verdicts[Type.HUBBLE_READY] = hubble
    calico = _calico(report)
    if calico is not None:
        verdicts[Type.CALICO_READY] = calico
    if report.error is not None:
        verdicts[report.error_in] = Verdict("False", report.error.reason, report.error.message)
    if report.coverage is not None:
        verdicts[Type.PODS_MANAGED] = report.coverage
    verdicts[Type.DRIFTED] = _drifted(report)
    verdicts[Type.ROLLED_BACK] = rolled_back(report)
    return verdicts


def _catalogue(found: InForce) -> Verdict:
    """A bad extension holds nothing back: what it would add is simply not known."""
    if found.problem:
        return Verdict("False", Reason.CATALOGUE_INVALID, f"{found.problem} In force: {found.origin}.")
    known = found.catalogue
    counts = f"Cilium releases: {len(known.cilium)}, Calico releases: {len(known.calico)}, pairs: {len(known.pairs)}"
    return Verdict("True", Reason.CATALOGUE_VALID, f"In force: {found.origin}. {counts}.")


def _removed_parts(removal: Removal) -> dict[Type, Verdict]:
    """Verdicts on the parts while they are taken away."""
    gone = Verdict("False", Reason.UNINSTALLING, "Is being uninstalled.")
    return {
        Type.CILIUM_READY: gone,
        Type.HUBBLE_READY: gone,
        Type.CHAIN_READY: Verdict("False", Reason.UNINSTALLING, removal.nodes),
        Type.PODS_MANAGED: Verdict("Unknown", Reason.UNINSTALLING, "Is being uninstalled."),
        Type.DRIFTED: Verdict("False", Reason.UNINSTALLING, "Drift is not looked for any more."),
        Type.ROLLED_BACK: Verdict("False", Reason.UNINSTALLING, "Is being uninstalled."),
    }


def _drifted(report: Report) -> Verdict:
    if report.fight:
        return Verdict("True", Reason.DRIFT_FIGHT, f"{report.fight}. {REASONS[Reason.DRIFT_FIGHT].fix}")
    if report.mutated:
        said = f"Changed by admission, and left so: {report.mutated}. {report.drift}".strip()
        return Verdict("False", Reason.MUTATED_BY_ADMISSION, said)
    if report.drift:
        return Verdict("False", Reason.DRIFT_CORRECTED, report.drift)
    return Verdict("False", Reason.NO_DRIFT, "Every object is as it was applied.")


def _stages(report: Report, stages: tuple[Stage, ...], well: str) -> Verdict | None:
    reports = [report.stages[stage] for stage in stages if stage in report.stages]
    for stage in reports:
        if stage.waiting_for:
            return Verdict("False", stage.reason, stage.waiting_for)
    return Verdict("True", Reason.READY, well) if len(reports) == len(stages) else None


def _calico(report: Report) -> Verdict | None:
    """Calico's verdict: with Calico off it is False for the reason Disabled, and counts for nothing."""
    if report.calico is None:
        return None
    if report.calico:
        return _stages(report, CALICO_STAGES, f"Calico {report.calico} enforces NetworkPolicy.")
    removal = _stages(report, (Stage.CALICO,), "")
    if removal is not None and removal.status != "True":
        return removal
    return Verdict("False", Reason.DISABLED, "spec.calico.enabled is false.")


def _chain(nodes: NodesStatus) -> Verdict:
    if nodes.in_scope == 0:
        return Verdict("False", Reason.NO_NODES_IN_SCOPE, "No node is in scope of spec.nodes.selector.")
    if nodes.verified < nodes.in_scope:
        more = nodes.in_scope - nodes.verified - len(nodes.not_verified[:3])
        names = "; ".join(nodes.not_verified[:3]) + (f"; and {more} more" if more else "")
        return Verdict("False", Reason.NODES_NOT_VERIFIED, f"{nodes.summary} nodes verified. {names}.")
    return Verdict("True", Reason.CHAIN_VERIFIED, f"{nodes.summary} nodes verified.")


def _summary(report: Report, verdicts: Mapping[Type, Verdict]) -> dict[Type, Verdict]:
    """Ready, Reconciling, Stalled and RollingOut from the verdicts on the parts."""
    error = report.error or (None if report.suspended else report.refused)
    if error is not None:
        terminal = error.terminal
        return {
            Type.READY: Verdict("False", error.reason, error.message),
            Type.STALLED: Verdict("True" if terminal else "False", error.reason, f"{error.message} {error.fix}"),
            Type.RECONCILING: Verdict("False" if terminal else "True", error.reason, f"{error.message} {error.fix}"),
            Type.ROLLING_OUT: Verdict("False", error.reason, "Held by the error that Ready names."),
        }
    fine = Verdict("False", Reason.RECONCILING, "Nothing stands in the way.")
    if report.removal is not None:
        removal = report.removal
        held = removal.reason is Reason.SUSPENDED
        return {
            Type.READY: Verdict("False", removal.reason, removal.message),
            Type.STALLED: fine,
            Type.RECONCILING: Verdict("False" if held else "True", removal.reason, removal.message),
            Type.ROLLING_OUT: Verdict("False", Reason.UNINSTALLING, "Is being uninstalled."),
        }
    missing = [verdicts[kind] for kind in NEEDED if kind in verdicts and not _is_fine(verdicts[kind])]
    if report.fight:
        missing.append(verdicts[Type.DRIFTED])
    if report.suspended:
        said = "spec.suspend is true: nothing is changed."
        return {
            Type.READY: Verdict("Unknown", Reason.SUSPENDED, said),
            Type.STALLED: fine,
            Type.RECONCILING: Verdict("False", Reason.SUSPENDED, said),
            Type.ROLLING_OUT: Verdict("False", Reason.SUSPENDED, said),
        }
    if report.hold is not None:
        return {
            # Not True: that would tell a pipeline that the new spec is in force. The parts tell how the old one is.
            Type.READY: Verdict("Unknown", report.hold.reason, report.hold.message),
            Type.STALLED: fine,
            Type.RECONCILING: Verdict("False", report.hold.reason, report.hold.message),
            Type.ROLLING_OUT: Verdict("False", report.hold.reason, report.hold.message),
        }
    if report.rejected is not None:
        return rejected(report, report.rejected, missing)
    if missing:
        first = missing[0]
        waits = {Reason.WAITING_FOR_HEALTH, Reason.CALICO_REMOVING, *ROLLOUT_WAITS}
        at = f"Stage {report.current}: " if report.current and first.reason in waits else ""
        reason = Reason.PROGRESS_DEADLINE_EXCEEDED if report.overdue else first.reason
        return {
            Type.READY: Verdict("False", reason, f"{at}{first.message}"),
            Type.STALLED: fine,
            Type.RECONCILING: Verdict("True", reason, f"{at}{first.message}"),
            Type.ROLLING_OUT: Verdict("True", first.reason, f"{at}{first.message}"),
        }
    return {
        Type.READY: Verdict("True", Reason.READY, report.chained),
        Type.STALLED: fine,
        Type.RECONCILING: Verdict("False", Reason.READY, "Everything is as spec asks for."),
        Type.ROLLING_OUT: Verdict("False", Reason.READY, "No change is under way."),
    }


def _is_fine(verdict: Verdict) -> bool:
    return verdict.status == "True" or verdict.reason is Reason.DISABLED


def _condition(kind: Type, verdict: Verdict, before: Condition | None, generation: int, now: str) -> Condition:
    same = before is not None and before.status == verdict.status
    return Condition(
        type=kind.value,
        status=verdict.status,
        reason=verdict.reason.value,
        message=verdict.message[:MESSAGE_LIMIT],
        last_transition_time=before.last_transition_time if same and before is not None else now,
        observed_generation=generation,
    )
