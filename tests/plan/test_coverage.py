"""Which pods are managed, which are not, why, and when that is said."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.plan.coverage import Cause, Coverage, NodeStanding, Rule, count, node_states
from cnichain.plan.nodes import chain_node_record, node_record
from cnichain.plan.pods import EndpointRecord, Workload, endpoint_record, is_managed, pod_record
from podrecords import pod

AT = 1_000_000.0
RULE = Rule()
NODE = NodeStanding(out_of_scope="", since=900_000, agent_ready=True)
OLD, YOUNG = 800_000, int(AT) - 59


def look(*pods: Any, endpoints: Any = (), node: NodeStanding = NODE, before: Coverage | None = None, now: float = AT):  # type: ignore[no-untyped-def]
    """One count of pods on the node `a`."""
    return count(
        {(one.namespace, one.name): one for one in pods}, dict(endpoints), {"a": node},
        before.suspected if before else {}, now, RULE,
    )  # fmt: skip


def confirmed(*pods: Any, **how: Any) -> Coverage:
    """Two counts, far enough apart."""
    first = look(*pods, **how)
    second: Coverage = look(*pods, before=first, now=AT + 30, **how)
    return second


def test_a_pod_is_unmanaged_when_it_was_found_so_twice() -> None:
    first = look(pod(started=OLD))
    assert first.unmanaged == ()
    assert look(pod(started=OLD), before=first, now=AT + 29).unmanaged == ()
    assert [one.cause for one in look(pod(started=OLD), before=first, now=AT + 30).unmanaged] == [
        Cause.OLDER_THAN_CHAIN
    ]


def test_an_endpoint_that_comes_meanwhile_starts_the_confirmation_anew() -> None:
    one = pod(started=OLD)
    first = look(one)
    second = look(one, endpoints={("default", "web"): EndpointRecord(one.uid, one.ips)}, before=first, now=AT + 20)
    assert (second.managed, second.suspected) == (1, {})
    assert look(one, before=second, now=AT + 40).unmanaged == ()


def test_a_young_pod_is_neither() -> None:
    young = confirmed(pod(started=YOUNG + 30))
    assert (young.managed, young.unmanaged, young.suspected) == (0, (), {})


@pytest.mark.parametrize(
    ("endpoint", "managed"),
    [
        (EndpointRecord("u-web", ("10.0.0.1",)), True),
        (EndpointRecord("u-web", ()), True),
        (EndpointRecord("u-web", ("10.0.0.9",)), False),
        (EndpointRecord("of-the-pod-that-had-the-name-before", ("10.0.0.1",)), False),
        (EndpointRecord("", ("10.0.0.1",)), False),
        (None, False),
    ],
)
def test_an_endpoint_counts_by_uid_and_address(endpoint: EndpointRecord | None, managed: bool) -> None:
    assert is_managed(pod(), endpoint) is managed


@pytest.mark.parametrize(
    ("how", "node", "cause"),
    [
        ({"started": OLD}, NODE, Cause.OLDER_THAN_CHAIN),
        ({"started": 900_000}, NODE, Cause.UNKNOWN),
        ({"started": OLD, "security_group": True}, NODE, Cause.SECURITY_GROUP_POD),
        ({"started": 900_000}, NodeStanding("", 900_000, agent_ready=False), Cause.AGENT_DOWN),
        ({"started": OLD}, NodeStanding("", 900_000, agent_ready=False), Cause.OLDER_THAN_CHAIN),
        ({"started": OLD}, NodeStanding("", 0, agent_ready=True), Cause.CHAIN_NOT_VERIFIED),
    ],
)
def test_the_cause(how: dict[str, Any], node: NodeStanding, cause: Cause) -> None:
    assert [one.cause for one in confirmed(pod(**how), node=node).unmanaged] == [cause]


def test_what_is_out_of_scope_is_counted_apart_and_what_does_not_run_is_not_counted() -> None:
    pods = [
        pod("host", kind="host network"), pod("mirror", kind="static"), pod("gone", live=False),
        pod("leaving", live=False, leaving=True), pod("unknown-node", node="b", started=OLD),
    ]  # fmt: skip
    found = confirmed(*pods)
    assert (found.managed, found.unmanaged) == (0, ())
    assert found.out_of_scope == {"host network": 1, "static": 1}
    assert confirmed(pod(), node=NodeStanding("Fargate", 0, False)).out_of_scope == {"Fargate": 1}


def raw(**changes: Any) -> dict[str, Any]:
    """A pod of a Deployment as the API serves it."""
    found: dict[str, Any] = {
        "metadata": {
            "namespace": "default", "name": "web-7d9f-x", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-hash": "7d9f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9f", "uid": "r", "controller": True}],
        },
        "spec": {"nodeName": "a", "containers": [{"name": "main"}]},
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
            "startTime": "2026-01-01T00:00:10Z", "conditions": [{"type": "Ready", "status": "True"}],
        },
    }  # fmt: skip
    for part, fields in changes.items():
        found[part] |= fields
    return found


def test_the_record_of_a_pod() -> None:
    record = pod_record(raw())
    assert (record.live, record.ready, record.leaving, record.kind) == (True, True, False, "")
    assert record.started - record.created == 10
    assert record.workload == Workload("default", "Deployment", "web")
    assert pod_record(raw(metadata={"labels": {}})).workload.kind == "ReplicaSet", "not one of a Deployment"
    assert pod_record(raw(metadata={"ownerReferences": []})).workload == Workload("default", "", "")
    assert pod_record(raw(metadata={"annotations": {"kubernetes.io/config.mirror": "x"}})).kind == "static"
    assert pod_record(raw(spec={"hostNetwork": True})).kind == "host network"
    assert not pod_record(raw(metadata={"deletionTimestamp": "2026-01-01T00:01:00Z"})).live
    assert not pod_record(raw(status={"phase": "Pending", "podIPs": []})).live
    assert pod_record(raw(status={"phase": "Pending"})).live
    for eni in ({"metadata": {"annotations": {"vpc.amazonaws.com/pod-eni": "[]"}}},
                {"spec": {"containers": [{"resources": {"limits": {"vpc.amazonaws.com/pod-eni": "1"}}}]}}):  # fmt: skip
        assert pod_record(raw(**eni)).security_group


@pytest.mark.parametrize(
    ("namespace", "labels", "part_of"),
    [
        ("kube-system", {"k8s-app": "hubble-relay", "app.kubernetes.io/part-of": "cilium"}, "Cilium's own"),
        ("kube-system", {"k8s-app": "cilium"}, "Cilium's own"),
        ("kube-system", {"k8s-app": "aws-node"}, "the primary CNI's own"),
        ("calico-system", {}, "Calico's own"),
        ("kube-system", {"k8s-app": "kube-dns"}, ""),
        ("default", {"k8s-app": "aws-node"}, ""),
    ],
)
def test_whose_a_pod_is(namespace: str, labels: dict[str, str], part_of: str) -> None:
    record = pod_record(raw(metadata={"namespace": namespace, "labels": labels}))
    assert record.part_of == part_of
    assert record.dns == (labels.get("k8s-app") == "kube-dns")
    assert record.agent == (labels.get("k8s-app") == "cilium" and namespace == "kube-system")


def test_the_record_of_an_endpoint() -> None:
    item = {
        "metadata": {"ownerReferences": [{"kind": "Pod", "uid": "u"}]},
        "status": {"networking": {"addressing": [{"ipv4": "10.0.0.1", "ipv6": "fd00::1"}]}},
    }
    assert endpoint_record(item) == EndpointRecord("u", ("10.0.0.1", "fd00::1"))
    assert endpoint_record({"metadata": {}}) == EndpointRecord("", ())


def report(state: str, ready: str = "True", uid: str = "n", desired: str = "Chained") -> dict[str, Any]:
    """A CNIChainNode as the API serves it."""
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "metadata": {"name": "a", "generation": 1, "ownerReferences": [{"kind": "Node", "uid": uid}]},
        "spec": {"desired": desired},
        "status": {"observedGeneration": 1, "state": state, "conditions": [condition]},
    }


@pytest.mark.parametrize(
    ("item", "verified"),
    [
        (report("InSync"), True),
        (report("Shadowed", ready="False"), False),
        (report("Unchained"), False),
        (report("InSync", desired="Unchained"), False),
        (report("InSync", uid="of the node that had the name before"), False),
    ],
)
def test_since_when_a_node_is_chained(item: dict[str, Any], verified: bool) -> None:
    nodes = {"a": node_record({"metadata": {"name": "a", "uid": "n"}})}
    found = node_states(nodes, {"a": chain_node_record(item)}, {}, [pod("agent", agent=True)])
    assert bool(found["a"].since) is verified
    assert found["a"].agent_ready
    assert not node_states(nodes, {}, {}, [pod("agent", agent=True, ready=False)])["a"].agent_ready


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(0, 200), st.sampled_from(["", "static"])), max_size=12
    ),
    st.lists(st.floats(0, 100), min_size=1, max_size=6),
)
def test_every_live_pod_is_counted_once_at_most(pods: list[tuple[bool, bool, int, str]], steps: list[float]) -> None:
    made = [
        pod(str(index), live=live, started=int(AT) - age, kind=kind) for index, (live, _, age, kind) in enumerate(pods)
    ]
    endpoints = {
        ("default", one.name): EndpointRecord(one.uid, ())
        for one, (_, has, _, _) in zip(made, pods, strict=True)
        if has
    }
    before, last = look(*made, endpoints=endpoints), AT
    for now in itertools.accumulate(steps, initial=AT):
        found = look(*made, endpoints=endpoints, before=before, now=now)
        live = [one for one in made if one.live]
        waiting = [one for one in live if not one.kind and ("default", one.name) not in endpoints]
        assert found.managed + len(waiting) + sum(found.out_of_scope.values()) == len(live)
        assert {one.pod.uid for one in found.unmanaged} <= {one.uid for one in waiting}
        assert {one.pod.uid for one in found.unmanaged} <= set(found.suspected)
        assert all(now - found.suspected[one.pod.uid] >= RULE.confirm for one in found.unmanaged)
        before, last = found, now
    assert last >= AT
