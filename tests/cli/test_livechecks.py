"""`cnichain check` of a chain that runs: what fails, what warns, and what may not be read."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chainobjects import chain, chain_node, condition, conditions
from cnichain.api.reasons import REASONS, Reason
from cnichain.cli.chainview import view
from cnichain.cli.checkreport import as_data, as_text, counts
from cnichain.cli.layout import link
from cnichain.cli.livecheck import WORDS
from cnichain.cli.livechecks import AGENT, CILIUM, HUBBLE, OPERATOR, Live, LiveCategory, run_live_checks
from cnichain.cli.nodesreport import rows
from cnichain.preflight.finding import Level, Result
from cnichain.preflight.gathered import Unread

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
ESTABLISHED = {
    "kind": "CustomResourceDefinition",
    "metadata": {},
    "status": {"conditions": [{"type": "Established", "status": "True"}]},
}
FORBIDDEN = Unread("get Lease: you may not")


def deployment(available: int = 2) -> dict[str, Any]:
    status = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": available}
    return {"kind": "Deployment", "metadata": {}, "spec": {"replicas": 2}, "status": status}


def daemon_set(available: int = 3) -> dict[str, Any]:
    status = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": available}
    return {"kind": "DaemonSet", "metadata": {}, "status": status}


def lease(renewed: str = "2026-11-28T12:29:58.123456Z", holder: str = "cnichain-operator-a") -> dict[str, Any]:
    return {"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}}


def live(**changed: Any) -> Live:
    objects = {OPERATOR: deployment(), AGENT: daemon_set(), CILIUM[0]: deployment(), CILIUM[1]: daemon_set()}
    objects |= {HUBBLE["relay"]: deployment(), HUBBLE["ui"]: deployment()} | changed.pop("objects", {})
    usual: dict[str, Any] = {
        "view": view(chain()),
        "now": NOW,
        "kubernetes": "v1.36.1",
        "crds": {"cnichains.cnichain.io": ESTABLISHED, "cnichainnodes.cnichain.io": ESTABLISHED},
        "lease": lease(),
        "nodes": rows([chain_node()], {}),
        "cilium_crds": {"ciliumendpoints.cilium.io": True},
    }
    return Live(**usual | changed, objects=objects)


def not_fine(found: Live) -> list[tuple[str, Level, Reason]]:
    return [
        (item.check.category.value, item.finding.level, item.finding.reason)
        for item in run_live_checks(found)
        if item.finding.level is not Level.OK
    ]


def test_a_chain_that_is_well_passes_every_category() -> None:
    results = run_live_checks(live())
    assert not_fine(live()) == []
    assert list(dict.fromkeys(item.check.category for item in results)) == list(LiveCategory)
    text = as_text(results, colour=False, words=WORDS)
    assert "operator\n--------\n√ deployment: available.\n√ lease: held by cnichain-operator-a." in text
    assert text.splitlines()[-1].startswith("√ The chain is well: ")


OLD_LEASE = lease("2026-11-28T12:28:00Z")
ENDED = {"notAfter": "2026-11-27T00:00:00Z", "caNotAfter": "2036-01-01T00:00:00Z"}
SOON = {"notAfter": "2026-12-05T00:00:00Z", "caNotAfter": "2036-01-01T00:00:00Z"}
REJECTED = {"cilium": "1.18.1", "reason": "AgentCrashed", "message": "pod cilium-x crashes"}
SHADOWED = [chain_node(), chain_node("b", "Shadowed", ready=False), chain_node("c", "Shadowed", ready=False)]
BAD = Level.REFUSED


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"crds": {"cnichains.cnichain.io": None}}, ("api", BAD, Reason.KIND_NOT_SERVED)),
        ({"lease": None}, ("operator", BAD, Reason.OPERATOR_NOT_RUNNING)),
        ({"lease": lease(holder="")}, ("operator", BAD, Reason.OPERATOR_NOT_RUNNING)),
        ({"lease": OLD_LEASE}, ("operator", BAD, Reason.OPERATOR_NOT_RUNNING)),
        ({"lease": FORBIDDEN}, ("operator", Level.UNKNOWN, Reason.CHECK_NOT_POSSIBLE)),
        ({"objects": {OPERATOR: deployment(0)}}, ("operator", BAD, Reason.OPERATOR_NOT_RUNNING)),
        ({"view": view(chain(generation=2))}, ("operator", BAD, Reason.OPERATOR_NOT_RUNNING)),
        ({"objects": {AGENT: daemon_set(1)}}, ("conflist", BAD, Reason.NODE_AGENT_NOT_READY)),
        ({"nodes": rows(SHADOWED, {})}, ("conflist", BAD, Reason.CONFLIST_SHADOWED)),
        ({"nodes": []}, ("conflist", BAD, Reason.NO_NODES_IN_SCOPE)),
        ({"nodes": FORBIDDEN}, ("conflist", Level.UNKNOWN, Reason.CHECK_NOT_POSSIBLE)),
        ({"objects": {CILIUM[1]: daemon_set(1)}}, ("cilium", BAD, Reason.WAITING_FOR_HEALTH)),
        ({"cilium_crds": {"ciliumendpoints.cilium.io": False}}, ("cilium", BAD, Reason.KIND_NOT_SERVED)),
        ({"objects": {HUBBLE["relay"]: None}}, ("hubble", BAD, Reason.WAITING_FOR_HEALTH)),
        ({"view": view(chain(certificates=ENDED))}, ("certificates", BAD, Reason.CERTIFICATE_EXPIRING)),
        ({"view": view(chain(certificates=SOON))}, ("certificates", Level.WARNING, Reason.CERTIFICATE_EXPIRING)),
        ({"view": view(chain(rejected=REJECTED))}, ("changes", BAD, Reason.AGENT_CRASHED)),
    ],
)
def test_one_thing_that_is_wrong_is_told_in_its_category(
    changed: dict[str, Any], expected: tuple[str, Level, Reason]
) -> None:
    assert not_fine(live(**changed)) == [expected]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (condition("HubbleReady", "False", "CertificateUnusable"), ("hubble", BAD, Reason.CERTIFICATE_UNUSABLE)),
        (condition("PodsManaged", "False", "UnmanagedPods"), ("pods", Level.WARNING, Reason.UNMANAGED_PODS)),
        (condition("PodsManaged", "Unknown", "NotMeasured"), ("pods", Level.WARNING, Reason.NOT_MEASURED)),
        (condition("CiliumReady", "False", "WaitingForHealth"), ("cilium", Level.WARNING, Reason.WAITING_FOR_HEALTH)),
        (condition("Drifted", "True", "DriftFight"), ("changes", BAD, Reason.DRIFT_FIGHT)),
        (condition("Stalled", "True", "SpecInvalid"), ("chain", BAD, Reason.SPEC_INVALID)),
        (condition("Ready", "False", "BrandNewReason"), ("chain", BAD, Reason.CHECK_NOT_POSSIBLE)),
        (condition("RolledBack", "True", "RolledBack"), ("changes", BAD, Reason.ROLLED_BACK)),
    ],
)
def test_conditions_are_told_in_their_category(found: dict[str, Any], expected: tuple[str, Level, Reason]) -> None:
    assert not_fine(live(view=view(chain(conditions=conditions(**{found["type"]: found}))))) == [expected]


def test_nodes_with_the_same_trouble_are_one_line() -> None:
    results = [item for item in run_live_checks(live(nodes=rows(SHADOWED, {}))) if item.finding.level is BAD]
    (one,) = results
    assert one.finding.message.startswith("2 of 3 nodes: b, c.")


def test_a_failure_prints_reason_fix_and_a_link_of_the_docs() -> None:
    results: list[Result] = run_live_checks(live(lease=None))
    text = as_text(results, colour=False, words=WORDS)
    assert max(map(len, text.splitlines())) <= 80
    assert "× lease: OperatorNotRunning\n    no operator holds the Lease.\n    -> `kubectl -n cnichain-system" in text
    assert f"\n    {link(Reason.OPERATOR_NOT_RUNNING)}\n" in text
    assert text.splitlines()[-1].startswith("× The chain is not well: ")
    data = as_data(results, "1.17.3", "v1.36.1", WORDS)
    assert data["passed"] is False
    assert data["counts"]["failed"] == counts(results)["refused"] == 1
    (failed,) = [one for one in data["checks"] if one["level"] == "failed"]
    assert failed["fix"] == REASONS[Reason.OPERATOR_NOT_RUNNING].fix
    assert failed["hint"] == link(Reason.OPERATOR_NOT_RUNNING)
