"""`cnichain trace` judges a pod as the operator's count does, and says why."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chainobjects import agent_pod, chain, chain_node, endpoint, node, pod
from cnichain.cli.chainview import view
from cnichain.cli.layout import Style
from cnichain.cli.tracereport import Facts, Trace, Verdict, as_data, as_text, trace_of
from cnichain.plan.coverage import Cause

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
LATER = "2026-11-28T12:10:00Z"
EARLIER = "2026-11-28T11:00:00Z"


def trace(**changed: Any) -> Trace:
    usual: dict[str, Any] = {
        "view": view(chain()),
        "pod": pod(),
        "node": node(),
        "report": chain_node(),
        "endpoint": endpoint(),
        "agents": [agent_pod()],
    }
    return trace_of(Facts(**usual | changed))


def text_of(found: Trace) -> str:
    text = as_text(found, NOW, Style())
    assert max(map(len, text.splitlines())) <= 80, text
    return text


def test_a_managed_pod_is_told_with_its_identity_and_engine() -> None:
    policy = {"ingress": {"enforcing": True, "state": "realized", "allowed": [{}, {}]}, "egress": {"enforcing": False}}
    found = trace(endpoint=endpoint(policy=policy))
    assert found.verdict is Verdict.MANAGED
    text = text_of(found)
    assert "plugins     aws-cni → egress-cni → portmap → cilium-cni" in text
    assert "12:00:00Z, 30m ago; before the pod started" in text
    assert "√ of this very pod (same uid)" in text
    assert "identity    20481 k8s:app=web" in text
    assert "ingress     realized, enforced by a policy, 2 peers allowed" in text
    assert "egress      no policy selects it" in text
    assert "policyEngine is Cilium: it enforces NetworkPolicy" in text
    data = as_data(found)
    assert (data["verdict"], data["cause"]) == ("Managed", "")
    assert data["endpoint"]["identity"]["id"] == 20481
    assert data["endpoint"]["policy"]["ingress"] == {"enforcing": True, "allowed": 2, "denied": 0}


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"pod": pod(started=EARLIER)}, Cause.OLDER_THAN_CHAIN),
        ({"report": chain_node(state="Shadowed", ready=False)}, Cause.CHAIN_NOT_VERIFIED),
        ({"report": None}, Cause.CHAIN_NOT_VERIFIED),
        ({"agents": []}, Cause.AGENT_DOWN),
        ({}, Cause.UNKNOWN),
        ({"endpoint": endpoint(uid="the pod before")}, Cause.UNKNOWN),
    ],
    ids=["older", "not verified", "no report", "agent down", "unknown", "endpoint of another uid"],
)
def test_an_unmanaged_pod_is_told_with_its_cause_and_what_to_do(changed: dict[str, Any], cause: Cause) -> None:
    found = trace(**{"endpoint": None, **changed})
    assert (found.verdict, found.cause) == (Verdict.UNMANAGED, cause)
    text = text_of(found)
    assert f"NOT managed by Cilium: {cause.value}" in text
    assert "  -> " in text


def test_an_endpoint_of_another_uid_is_told_so() -> None:
    assert "× of an earlier pod of this name (another uid)" in text_of(trace(endpoint=endpoint(uid="before")))


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"pod": pod(hostNetwork=True)}, "host network"),
        ({"node": node(**{"eks.amazonaws.com/compute-type": "fargate"})}, "Fargate"),
        ({"node": node(**{"kubernetes.io/os": "windows"})}, "Windows"),
    ],
)
def test_a_pod_that_no_chain_is_for_is_no_failure(changed: dict[str, Any], kind: str) -> None:
    found = trace(**changed, endpoint=None)
    assert (found.verdict, found.kind, found.cause) == (Verdict.OUT_OF_SCOPE, kind, None)
    assert f"Out of scope: {kind}." in text_of(found)


def test_a_pod_with_its_own_security_group_gets_a_note() -> None:
    own = pod()
    own["metadata"]["annotations"] = {"vpc.amazonaws.com/pod-eni": "[]"}
    found = trace(pod=own, endpoint=None)
    assert found.cause is Cause.SECURITY_GROUP_POD
    assert "security group of its own" in text_of(found)


def test_with_calico_as_engine_calico_enforces_also_for_an_unmanaged_pod() -> None:
    raw = chain(effective={"policyEngine": "Calico"})
    text = text_of(trace(view=view(raw), endpoint=None))
    assert "policyEngine is Calico, which enforces NetworkPolicy for it all the same" in text


def test_a_pod_that_does_not_run_yet() -> None:
    waiting = {"metadata": pod()["metadata"], "spec": {}, "status": {"phase": "Pending"}}
    found = trace(pod=waiting, node=None, report=None, endpoint=None, agents=[])
    assert found.verdict is Verdict.NOT_STARTED
    assert "node        none yet" in text_of(found)


def test_without_endpoints_in_the_api_nothing_is_claimed() -> None:
    spec = {"cilium": {"version": "1.17.3", "values": {"disableEndpointCRD": True}}}
    found = trace(view=view(chain(spec=spec)), endpoint=None)
    assert found.verdict is Verdict.UNKNOWN
    assert "disableEndpointCRD" in text_of(found)
