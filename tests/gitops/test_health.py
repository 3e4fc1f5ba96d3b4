"""The verdicts of Argo CD, kstatus and Flux on every state that the operator and the agent can write.

The engines are the tools' own, the states are made by the product's own code, and a new reason fails here until its
verdict is decided.
"""

import ast
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.gitops import states
from tests.gitops.conftest import ARGOCD, CUSTOMIZATIONS, FLUX, ROOT, Judge, Object, Verdict, health_script

from cnichain.api.chainnode import NodeState
from cnichain.api.chainstatus import NodesStatus
from cnichain.api.errors import ChainError
from cnichain.api.reasons import REASONS, Reason
from cnichain.api.reasons_node import NODE_REASONS
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.toolchain import ensure
from cnichain.node.decision import Decision
from cnichain.reconcile.conditions import ROLLOUT_WAITS, conditions
from cnichain.reconcile.report import StageReport
from cnichain.render.stages import Stage

pytestmark = pytest.mark.controlplane

HEALTHY = ("Healthy", "Current", "Current")
PROGRESSING = ("Progressing", "InProgress", "InProgress")
FAILED = ("Degraded", "Failed", "Failed")
OVERDUE = ("Degraded", "InProgress", "Failed")
"""kstatus has no word for it: Stalled is for what cannot heal by itself."""
HELD = ("Suspended", "InProgress", "InProgress")
"""kstatus and Flux have no word for it either; the new spec is not in force, so what waits for it has to wait."""
HELD_BACK = ("Healthy", "InProgress", "Current")
"""An outage of less than two minutes; kstatus goes by Reconciling alone."""
TERMINATING = ("Progressing", "Terminating", "InProgress")
NO_STATUS = ("Progressing", "Current", "Unknown")
"""Why status has a default in the CRD (test_an_object_that_nobody_has_seen_is_in_progress): such an object is never
served. Flux waits on at Unknown."""


@dataclass(frozen=True)
class Case:
    """A state, the verdicts of Argo CD, kstatus and Flux on it, and the reason of Ready that it is about."""

    object: Object
    verdicts: tuple[str, str, str]
    reason: Reason | None = None


def _case(made: Object, verdicts: tuple[str, str, str], reason: Reason | None = None) -> Case:
    if reason is not None:
        (ready,) = (item for item in made["status"]["conditions"] if item["type"] == "Ready")
        assert ready["reason"] == reason, f"the state does not have the reason that it is said to have: {ready}"
    return Case(made, verdicts, reason)


NO_NODES, REFUSED = NodesStatus(summary="0/0"), ChainError(Reason.KERNEL_TOO_OLD, "old-1 has kernel 4.14.")
GONE_ON = states.ready_before()

CHAINS: dict[str, Case] = {
    "no_status": _case(states.unseen_chain(), NO_STATUS),
    "no_status_deleting": _case(states.unseen_chain(deleting=True), ("Progressing", "Terminating", "InProgress")),
    "first_patch": _case(states.first_patch(), PROGRESSING, Reason.RECONCILING),
    "first_patch_of_a_change": _case(states.first_patch(states.ready_before(1)), PROGRESSING, Reason.RECONCILING),
    "stale_generation": _case(states.chain(GONE_ON, generation=3), PROGRESSING, Reason.READY),
    "healthy": _case(states.after(states.report()), HEALTHY, Reason.READY),
    "healthy_mutated": _case(states.after(states.report(mutated="DaemonSet x: a field")), HEALTHY, Reason.READY),
    "healthy_drift_corrected": _case(states.after(states.report(drift="Service x was deleted")), HEALTHY, Reason.READY),
    "healthy_calico": _case(
        states.after(states.report(calico="3.26.0", stages={stage: StageReport() for stage in Stage})),
        HEALTHY, Reason.READY,
    ),
    "outage_just_begun": _case(
        states.after(states.failing(Reason.API_UNAVAILABLE), GONE_ON), HELD_BACK, Reason.READY
    ),
    "outage_that_lasts": _case(
        states.after(
            states.failing(Reason.API_UNAVAILABLE),
            conditions(states.failing(Reason.API_UNAVAILABLE), GONE_ON, states.T2),
            now=states.LATER,
        ),
        PROGRESSING, Reason.API_UNAVAILABLE,
    ),
    **{
        f"waiting_{stage}": _case(states.after(states.waiting(stage)), PROGRESSING, Reason.WAITING_FOR_HEALTH)
        for stage in (Stage.CONFIG, Stage.OPERATOR, Stage.AGENTS, Stage.HUBBLE)
    },
    "waiting_calico": _case(
        states.after(states.waiting(Stage.CALICO, calico="3.26.0")), PROGRESSING, Reason.WAITING_FOR_HEALTH
    ),
    "not_started": _case(states.after(states.report(stages={})), PROGRESSING, Reason.NOT_STARTED),
    "removing_calico": _case(
        states.after(states.waiting(Stage.CALICO, Reason.CALICO_REMOVING)), PROGRESSING, Reason.CALICO_REMOVING
    ),
    "nodes_not_verified": _case(states.after(states.report(nodes=states.SOME)), PROGRESSING, Reason.NODES_NOT_VERIFIED),
    "no_nodes": _case(states.after(states.report(nodes=NO_NODES)), PROGRESSING, Reason.NO_NODES_IN_SCOPE),
    "overdue": _case(
        states.after(states.waiting(Stage.AGENTS, overdue=True)), OVERDUE, Reason.PROGRESS_DEADLINE_EXCEEDED
    ),
    **{
        f"rollout_{reason}": _case(states.after(states.waiting(Stage.AGENTS, reason)), PROGRESSING, reason)
        for reason in ROLLOUT_WAITS
    },
    "rolling_back": _case(
        states.after(states.rejected("RolledBack", stages={Stage.AGENTS: StageReport("wave 1", Reason.WAVE)})),
        PROGRESSING, Reason.ROLLING_BACK,
    ),
    "unchaining": _case(
        states.after(states.rejected("Unchained", stages={Stage.AGENTS: StageReport("node-a", Reason.ROLLING_BACK)})),
        PROGRESSING, Reason.ROLLING_BACK,
    ),
    "rolled_back": _case(states.after(states.rejected("RolledBack")), FAILED, Reason.ROLLED_BACK),
    "unchained": _case(
        states.after(
            states.rejected(
                "Unchained", stages={Stage.AGENTS: StageReport("no node", Reason.ROLLED_BACK)}, nodes=states.SOME
            )
        ),
        FAILED, Reason.ROLLED_BACK,
    ),
    "rollout_failed": _case(
        states.after(
            states.rejected(
                "Held", stages={Stage.AGENTS: StageReport("it stays", Reason.ROLLOUT_FAILED)}, nodes=states.SOME
            )
        ),
        FAILED, Reason.ROLLOUT_FAILED,
    ),
    "rollback_failed": _case(
        states.after(
            states.rejected(
                "RolledBack", stages={Stage.AGENTS: StageReport("it stays", Reason.ROLLOUT_FAILED)},
                rollback_failed="node-a: pod cilium-x crashes",
            )
        ),
        FAILED, Reason.ROLLBACK_FAILED,
    ),
    "drift_fight": _case(states.after(states.report(fight="DaemonSet x: args by vpa")), OVERDUE, Reason.DRIFT_FIGHT),
    "refused_while_running": _case(states.after(states.report(refused=REFUSED)), FAILED, Reason.KERNEL_TOO_OLD),
    "suspended": _case(states.after(states.report(suspended=True)), HELD, Reason.SUSPENDED),
    "suspended_refused": _case(states.after(states.report(suspended=True, refused=REFUSED)), HELD, Reason.SUSPENDED),
    "paused": _case(states.after(states.held(Reason.PAUSED)), HELD, Reason.PAUSED),
    "approval_required": _case(states.after(states.held(Reason.APPROVAL_REQUIRED)), HELD, Reason.APPROVAL_REQUIRED),
    "uninstalling": _case(
        states.after(states.removing(Reason.UNINSTALLING), deleting=True), TERMINATING, Reason.UNINSTALLING
    ),
    "uninstall_overdue": _case(
        states.after(states.removing(Reason.UNINSTALL_OVERDUE), deleting=True), TERMINATING, Reason.UNINSTALL_OVERDUE
    ),
    "uninstall_suspended": _case(
        states.after(states.removing(Reason.SUSPENDED), deleting=True), TERMINATING, Reason.SUSPENDED
    ),
    "uninstall_stalled": _case(
        states.after(states.failing(Reason.INVENTORY_UNREADABLE), deleting=True),
        TERMINATING, Reason.INVENTORY_UNREADABLE,
    ),
    "deleted_while_healthy": _case(states.chain(GONE_ON, generation=3, deleting=True), TERMINATING, Reason.READY),
    **{
        f"error_{reason}": _case(
            states.after(states.failing(reason)), FAILED if REASONS[reason].terminal else PROGRESSING, reason
        )
        for reason in Reason
        if reason not in (Reason.PROGRESS_DEADLINE_EXCEEDED, Reason.DRIFT_FIGHT, Reason.SUSPENDED, Reason.PAUSED,
                          Reason.APPROVAL_REQUIRED)
    },
}  # fmt: skip
"""States of a CNIChain. Any reason may be that of an error; there Stalled, that is `terminal`, decides."""

BROKEN = ("Degraded", "InProgress", "InProgress")
FROZEN = ("Suspended", "InProgress", "InProgress")
NODE_VERDICTS: dict[Reason, tuple[str, str, str]] = {
    Reason.CHAIN_VERIFIED: PROGRESSING,
    Reason.CHAIN_REPAIRED: PROGRESSING,
    Reason.NODE_SPEC_MISSING: PROGRESSING,
    Reason.NODE_FROZEN: FROZEN,
    Reason.NODE_UNCHAINED: PROGRESSING,
    Reason.CONF_DIR_UNUSABLE: BROKEN,
    Reason.PRIMARY_CONFLIST_MISSING: PROGRESSING,
    Reason.PRIMARY_CONFLIST_INVALID: BROKEN,
    Reason.PLUGIN_BINARY_MISSING: PROGRESSING,
    Reason.CONFLIST_SHADOWED: BROKEN,
    Reason.CONFLIST_WRITE_FAILED: BROKEN,
    Reason.CONFLIST_CONFLICT: BROKEN,
    Reason.CONFLIST_UNSAFE_FILE: BROKEN,
    Reason.RUNTIME_STALE: PROGRESSING,
    Reason.RUNTIME_NOT_READY: PROGRESSING,
    Reason.DROP_IN_INVALID: BROKEN,
    Reason.CILIUM_NOT_HEALTHY: PROGRESSING,
    Reason.CILIUM_DOWN_OPEN: BROKEN,
    Reason.CILIUM_DOWN_CLOSED: BROKEN,
    Reason.SPEC_INVALID: BROKEN,
}
"""By reason of a node whose chain is not verified. Nobody gates on a node alone, so Flux has no expressions for it."""


def _decision(reason: Reason, *, verified: bool = False) -> Decision:
    return Decision(NodeState.VERIFY, reason, f"{reason} here.", verified=verified)


WELL = _decision(Reason.CHAIN_VERIFIED, verified=True)
NODES: dict[str, Case] = {
    "healthy": Case(states.node(WELL), HEALTHY),
    "healthy_unchained": Case(states.node(_decision(Reason.NODE_UNCHAINED, verified=True)), HEALTHY),
    "stale_generation": Case(states.node(WELL, generation=2), PROGRESSING),
    "no_status": Case(states.unseen_node(), ("Progressing", "Current", "Current")),
    "deleting": Case(states.node(WELL, deleting=True), ("Progressing", "Terminating", "Terminating")),
    **{
        f"not_verified_{reason}": Case(states.node(_decision(reason)), three) for reason, three in NODE_VERDICTS.items()
    },
}


def _wrong(cases: dict[str, Case], found: list[Verdict]) -> list[str]:
    pairs = zip(cases.items(), found, strict=True)
    return [
        f"{name}: Argo CD, kstatus, Flux say {verdict.three}, not {case.verdicts}. {verdict.flux_error}"
        for (name, case), verdict in pairs
        if verdict.three != case.verdicts
    ]


@pytest.mark.parametrize("cases", [CHAINS, NODES], ids=["CNIChain", "CNIChainNode"])
def test_every_state_gets_its_verdicts(cases: dict[str, Case], judge: Judge) -> None:
    assert not _wrong(cases, judge(case.object for case in cases.values()))


@pytest.mark.parametrize("cases", [CHAINS, NODES], ids=["CNIChain", "CNIChainNode"])
def test_argo_cd_shows_the_message_of_ready(cases: dict[str, Case], judge: Judge) -> None:
    for (name, case), verdict in zip(cases.items(), judge(one.object for one in cases.values()), strict=True):
        status = case.object.get("status", {})
        if status.get("observedGeneration") == case.object["metadata"]["generation"]:
            (ready,) = (item for item in status["conditions"] if item["type"] == "Ready")
            assert verdict.message == ready["message"], name
        else:
            assert verdict.message.startswith("The "), f"{name}: an old message says nothing of the new spec"


def test_no_tool_calls_a_chain_done_before_it_is(judge: Judge) -> None:
    """For all but the state that is never served, and an outage that has just begun."""
    done = [name for name, one in zip(CHAINS, judge(case.object for case in CHAINS.values()), strict=True)
            if {"Healthy", "Current"} & set(one.three)]  # fmt: skip
    assert sorted(done) == [
        "healthy", "healthy_calico", "healthy_drift_corrected", "healthy_mutated", "no_status", "outage_just_begun",
    ]  # fmt: skip


VERDICT_MAKERS = {"StageReport", "Removal", "Hold", "_Verdict"}
OF_OTHER_CONDITIONS = {
    Reason.CATALOGUE_INVALID, Reason.CATALOGUE_VALID, Reason.CHAIN_VERIFIED, Reason.DISABLED, Reason.DRIFT_CORRECTED,
    Reason.MUTATED_BY_ADMISSION, Reason.NOT_MEASURED, Reason.ALL_MANAGED, Reason.UNMANAGED_PODS,
    Reason.ENDPOINTS_NOT_PUBLISHED, Reason.NO_DRIFT, Reason.PREFLIGHT_PASSED,
}  # fmt: skip
"""They stand in conditions that are not Ready, or are those of a part that is well."""


def _reasons_given() -> Iterator[Reason]:
    """Every reason that the code of a pass gives to a verdict, or to a variable named reason."""
    for path in sorted((ROOT / "operator/cnichain/reconcile").glob("*.py")):
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            made = isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id in VERDICT_MAKERS
            named = isinstance(item, ast.Assign | ast.AnnAssign) and "reason" in ast.unparse(item).split("=")[0]
            for inner in ast.walk(item) if made or named else ():
                if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "Reason":
                    yield Reason[inner.attr]


def test_every_reason_that_ready_can_have_without_an_error_is_decided() -> None:
    decided = {case.reason for name, case in CHAINS.items() if not name.startswith("error_")}
    undecided = set(_reasons_given()) - decided - OF_OTHER_CONDITIONS
    assert not undecided, f"add a state with its verdicts to CHAINS, and look at health.lua: {sorted(undecided)}"


def test_every_reason_of_a_node_is_decided() -> None:
    undecided = {Reason(code) for code in NODE_REASONS} - set(NODE_VERDICTS)
    assert not undecided, f"decide on them in NODE_VERDICTS and in health.lua: {sorted(undecided)}"


@pytest.mark.parametrize("script", ['return os.getenv("HOME")', 'io.open("/etc/passwd")', 'string.find("a", "a")'])
def test_the_engine_opens_no_more_libraries_than_argo_cd(
    script: str, run_engines: Callable[[Object], subprocess.CompletedProcess[str]]
) -> None:
    done = run_engines({"scripts": {"CNIChain": script}, "checks": [], "objects": [states.unseen_chain()]})
    assert done.returncode != 0
    assert "attempt to index a non-table object(nil)" in done.stderr


def test_an_object_that_nobody_has_seen_is_in_progress(crds_installed: ControlPlane, judge: Judge) -> None:
    """As the API server serves it: kstatus would call it Current if it had no status at all."""
    body = states.unseen_chain() | {"metadata": {"name": "default"}}
    crds_installed.run_kubectl("create", "-f", "-", stdin=json.dumps(body))
    try:
        served = json.loads(crds_installed.run_kubectl("get", "cnichain", "default", "-o", "json"))
    finally:
        crds_installed.run_kubectl("delete", "cnichain", "default", "--timeout=20s")
    assert served["status"] == {"observedGeneration": 0}
    (verdict,) = judge([served])
    assert verdict.three == PROGRESSING


UPSTREAM: dict[str, dict[str, Case]] = {
    "CNIChain": {
        name: CHAINS[name]
        for name in (
            "no_status", "stale_generation", "first_patch", "nodes_not_verified", "healthy", "outage_just_begun",
            "overdue", "drift_fight", "refused_while_running", "suspended", "paused", "approval_required",
            "uninstalling",
        )
    },
    "CNIChainNode": {
        name: NODES[name]
        for name in (
            "no_status", "stale_generation", "healthy", "not_verified_CiliumNotHealthy",
            "not_verified_ConflistShadowed", "not_verified_NodeFrozen", "deleting",
        )
    },
}  # fmt: skip
"""What goes beside the scripts, in the form of Argo CD's own repository."""


def _upstream_files(kind: str, judge: Judge) -> dict[Path, str]:
    folder, cases = CUSTOMIZATIONS / kind, UPSTREAM[kind]
    tests = [
        {"healthStatus": {"status": verdict.argocd, "message": verdict.message}, "inputPath": f"testdata/{name}.yaml"}
        for name, verdict in zip(cases, judge(case.object for case in cases.values()), strict=True)
    ]
    files = {folder / "health_test.yaml": {"tests": tests}}
    files |= {folder / "testdata" / f"{name}.yaml": case.object for name, case in cases.items()}
    return {path: yaml.safe_dump(data, sort_keys=False, width=120) for path, data in files.items()}


@pytest.mark.parametrize("kind", UPSTREAM)
def test_the_files_for_upstream_are_what_the_operator_writes(kind: str, judge: Judge) -> None:
    files = _upstream_files(kind, judge)
    if os.environ.get("UPDATE_GOLDEN"):
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    there = {CUSTOMIZATIONS / kind / "health_test.yaml", *(CUSTOMIZATIONS / kind / "testdata").glob("*")}
    assert there == set(files)
    stale = [path.name for path, text in files.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run with UPDATE_GOLDEN=1 if this is meant: {stale}"


def test_the_component_gives_argocd_cm_the_scripts(tmp_path: Path) -> None:
    """By the real kustomize, beside what argocd-cm has already."""
    mine = {"resources": ["cm.yaml"], "components": ["component"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "kept"}}
    (tmp_path / "cm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (tmp_path / "component").mkdir()
    for name in ("kustomization.yaml", "argocd-cm.yaml"):
        (tmp_path / "component" / name).write_bytes((ARGOCD / name).read_bytes())
    kubectl = str(ensure("controlplane").path("kubectl"))
    done = subprocess.run(
        [kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    data = yaml.safe_load(done.stdout)["data"]
    assert data.pop("url") == "kept"
    prefix = "resource.customizations.health.cnichain.io_"
    health = {key: text for key, text in data.items() if key.startswith(prefix)}
    assert health == {prefix + kind: health_script(kind) for kind in ("CNIChain", "CNIChainNode")}
    assert set(data) - set(health) == {"resource.customizations.actions.cnichain.io_CNIChain"}
    for kind in ("CNIChain", "CNIChainNode"):
        script = (CUSTOMIZATIONS / kind / "health.lua").read_text(encoding="utf-8")
        assert health_script(kind) == script, "what is in the ConfigMap is the script, to the byte"


def test_flux_is_told_of_the_kind_and_version_that_is_served() -> None:
    (check,) = yaml.safe_load(FLUX.read_text(encoding="utf-8"))["spec"]["healthCheckExprs"]
    made = states.unseen_chain()
    assert (check["apiVersion"], check["kind"]) == (made["apiVersion"], made["kind"])
