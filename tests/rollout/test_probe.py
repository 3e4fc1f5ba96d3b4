"""A probe: what its pod asks for, and what each state of it means."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cnichain.rollout.probe import SECONDS, ProbeState, ProbeTarget, is_forgotten, judge, probe_pod

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TARGET = ProbeTarget("node-a", "uid-a", "revision-1", "quay.io/cilium/cilium:v1.17.3", "default")
OWN = {"metadata": {"ownerReferences": [{"kind": "Pod", "uid": "pod-uid"}]}}
OTHERS = {"metadata": {"ownerReferences": [{"kind": "Pod", "uid": "of-another"}]}}
REFUSED = {
    "type": "Warning",
    "reason": "FailedCreatePodSandBox",
    "message": 'plugin type="cilium-cni" failed (add)\nmore',
    "lastTimestamp": "2026-03-01T11:59:00Z",
}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 1 Too many pods."}


def pod(*, age: float = 10, node: str = "node-a", deleted: bool = False, **status: Any) -> dict[str, Any]:
    made = (NOW - timedelta(seconds=age)).isoformat()
    metadata = {"name": TARGET.pod_name, "uid": "pod-uid", "creationTimestamp": made}
    if deleted:
        metadata["deletionTimestamp"] = made
    return {"metadata": metadata, "spec": {"nodeName": node} if node else {}, "status": {"phase": "Pending"} | status}


RUNNING: dict[str, Any] = {"phase": "Running", "podIP": "192.168.1.9"}
OLD = SECONDS + 1
CASES = {
    "it has just been made": (pod(node=""), None, ProbeState.WAITING, "is not scheduled yet"),
    "no sandbox yet": (pod(), None, ProbeState.WAITING, "has no address yet"),
    "no endpoint yet": (pod(**RUNNING), None, ProbeState.WAITING, "has no CiliumEndpoint of its own yet"),
    "the endpoint of an earlier pod": (pod(**RUNNING), OTHERS, ProbeState.WAITING, "no CiliumEndpoint of its own"),
    "all is well": (pod(**RUNNING), OWN, ProbeState.PASSED, "got 192.168.1.9 and is managed by Cilium"),
    "well, seen late": (pod(age=3600, **RUNNING), OWN, ProbeState.PASSED, "managed by Cilium"),
    "an earlier one is on its way out": (pod(deleted=True, **RUNNING), OWN, ProbeState.WAITING, "being removed"),
    "no sandbox": (pod(age=OLD), None, ProbeState.FAILED, 'FailedCreatePodSandBox: plugin type="cilium-cni"'),
    "past Cilium": (pod(age=OLD, **RUNNING), None, ProbeState.FAILED, "has no CiliumEndpoint of its own after 90 s"),
    "its container does not start": (
        pod(age=OLD, podIP="192.168.1.9"),
        OWN,
        ProbeState.FAILED,
        "does not run after 90 s",
    ),
    "its container ended": (pod(phase="Failed", reason="Error"), None, ProbeState.FAILED, "ended: Error"),
    "a full node": (
        pod(age=OLD, node="", conditions=[UNSCHEDULABLE]),
        None,
        ProbeState.NOT_POSSIBLE,
        "finds no room: 0/3 nodes are available: 1 Too many pods.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_pod_shows(name: str) -> None:
    item, endpoint, state, said = CASES[name]
    result = judge(item, endpoint, [REFUSED, {"type": "Normal", "message": "Pulled"}], "node-a", NOW)
    assert result.state is state, result.message
    assert said in result.message
    assert TARGET.pod_name in result.message
    assert "node-a" in result.message
    assert "\n" not in result.message
    assert result.over == (state is not ProbeState.WAITING)


def test_a_probe_that_nobody_looked_after_says_nothing() -> None:
    assert is_forgotten(pod(phase="Failed", reason="DeadlineExceeded"))
    assert not is_forgotten(pod(phase="Failed", reason="Evicted"))
    assert not is_forgotten(pod(**RUNNING))


def test_node_and_attempt_name_the_pod() -> None:
    names = {
        ProbeTarget(*parts, "image", "default").pod_name
        for parts in (("a", "uid-a", "1"), ("a", "uid-a", "2"), ("a", "uid-of-the-next-a", "1"), ("a", "uid-a", "1"))
    }
    assert len(names) == 3
    assert all(name.startswith("cnichain-probe-") and len(name) < 64 for name in names)


def test_the_pod_may_do_nothing_and_gets_onto_a_closed_node() -> None:
    spec = probe_pod(TARGET)["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert "nodeName" not in spec
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "volumes", "serviceAccountName"} & set(spec)
