"""What the tests of rollouts count with: the nodes that are unavailable at each moment, and that no event is missed."""

from typing import Any

import pytest

from availability import CHAINED, Object, moments, nodes_with_image, opened, restarted, told, worst
from cnichain.dev.controlplane import ControlPlane
from fleetwatch import Change, History, Recorder, WatchBrokenError, parse_event, watching

OLD, NEW = "cilium:1", "cilium:2"


def node(name: str, *, is_open: bool = True) -> Object:
    return {"metadata": {"name": name, "labels": {CHAINED: "true"} if is_open else {}}}


def pod(
    name: str, on: str, *, ready: bool = True, going: bool = False, image: str = OLD, app: str = "cilium"
) -> Object:
    metadata: Object = {"name": name, "labels": {"k8s-app": app}}
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {"metadata": metadata, "spec": {"nodeName": on, "containers": [{"image": image}]}, "status": status}


def chain_node(name: str, *, generation: int = 1, observed: int = 1, ready: bool = True, **spec: Any) -> Object:
    status: Object = {"observedGeneration": observed, "state": "InSync" if ready else "WaitCilium"}
    status["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": {"name": name, "generation": generation}, "spec": spec, "status": status}


def chained(*names: str) -> dict[str, list[Object]]:
    """Nodes that are in the chain."""
    return {
        "Node": [node(name) for name in names],
        "Pod": [pod(f"cilium-{name}", name) for name in names],
        "CNIChainNode": [chain_node(name) for name in names],
        "DaemonSet": [],
    }


def history(before: dict[str, list[Object]], *changes: tuple[str, str, Object]) -> History:
    return History.of(100, before, [Change(101 + place, *change) for place, change in enumerate(changes)])


def counts(recorded: History) -> list[int]:
    return [moment.count for moment in moments(recorded)]


def test_a_node_that_was_never_in_the_chain_does_not_count() -> None:
    before = {"Node": [node("a", is_open=False)], "Pod": [pod("cilium-a", "a", ready=False)], "CNIChainNode": []}
    assert counts(history(before)) == [0]


def test_an_opened_node_counts_until_it_is_verified() -> None:
    before = {"Node": [node("a", is_open=False)], "Pod": [], "CNIChainNode": []}
    recorded = history(
        before,
        ("Node", "MODIFIED", node("a")),
        ("Pod", "ADDED", pod("cilium-a", "a", ready=False)),
        ("CNIChainNode", "ADDED", {"metadata": {"name": "a", "generation": 1}, "spec": {}}),
        ("Pod", "MODIFIED", pod("cilium-a", "a")),
        ("CNIChainNode", "MODIFIED", chain_node("a", ready=False)),
        ("CNIChainNode", "MODIFIED", chain_node("a")),
    )
    assert counts(recorded) == [0, 1, 1, 1, 1, 1, 0]
    assert [moment.unavailable.get("a") for moment in moments(recorded)][1:] == [
        "no cilium pod; no CNIChainNode",
        "its cilium pod is not Ready; no CNIChainNode",
        "its cilium pod is not Ready; its CNIChainNode has a new spec",
        "its CNIChainNode has a new spec",
        "its CNIChainNode is WaitCilium",
        None,
    ]


def test_a_restart_counts_from_the_deletion_on() -> None:
    recorded = history(
        chained("a", "b"),
        ("Pod", "MODIFIED", pod("cilium-a", "a", going=True)),
        ("Pod", "DELETED", pod("cilium-a", "a", going=True)),
        ("Pod", "ADDED", pod("cilium-a2", "a", ready=False, image=NEW)),
        ("Pod", "MODIFIED", pod("cilium-a2", "a", image=NEW)),
    )
    assert counts(recorded) == [0, 1, 1, 1, 0]
    assert nodes_with_image(recorded, NEW) == restarted(recorded) == {"a"}
    assert nodes_with_image(recorded, OLD) == {"a", "b"}


def test_a_successor_that_is_ready_already_stands_in_for_the_pod_that_goes() -> None:
    recorded = history(
        chained("a"),
        ("Pod", "ADDED", pod("cilium-a2", "a")),
        ("Pod", "MODIFIED", pod("cilium-a", "a", going=True)),
        ("Pod", "DELETED", pod("cilium-a", "a", going=True)),
    )
    assert counts(recorded) == [0, 0, 0, 0]


def test_a_node_that_is_closed_while_its_agent_goes_still_counts() -> None:
    recorded = history(
        chained("a"),
        ("Node", "MODIFIED", node("a", is_open=False)),
        ("Pod", "DELETED", pod("cilium-a", "a", going=True)),
    )
    assert counts(recorded) == [0, 0, 1]


def test_a_spec_that_the_agent_does_not_know_yet_counts() -> None:
    recorded = history(
        chained("a", "b"),
        ("CNIChainNode", "MODIFIED", chain_node("a", generation=2, frozen=True)),
        ("CNIChainNode", "MODIFIED", chain_node("a", generation=2, observed=2, frozen=True)),
    )
    assert counts(recorded) == [0, 1, 0]
    assert told(recorded) == {"a"}


def test_an_agent_from_before_the_chain_counts_by_its_pod_alone() -> None:
    """A Cilium that is taken over has no CNIChainNodes yet, and its nodes no label."""
    before = {"Node": [node("a", is_open=False)], "Pod": [pod("cilium-a", "a")], "CNIChainNode": []}
    recorded = history(before, ("Pod", "MODIFIED", pod("cilium-a", "a", ready=False)))
    assert counts(recorded) == [0, 1]


def test_envoy_counts_where_it_was_ready_and_is_wanted() -> None:
    envoy = {"metadata": {"name": "cilium-envoy"}}
    before = chained("a", "b") | {"DaemonSet": [envoy]}
    before["Pod"].append(pod("envoy-a", "a", app="cilium-envoy"))
    recorded = history(
        before,
        ("Pod", "DELETED", pod("envoy-a", "a", app="cilium-envoy")),
        ("DaemonSet", "DELETED", envoy),
    )
    assert counts(recorded) == [0, 1, 0]
    assert restarted(recorded) == set()


def test_a_node_that_is_gone_does_not_count() -> None:
    recorded = history(
        chained("a"),
        ("Pod", "DELETED", pod("cilium-a", "a", going=True)),
        ("Node", "DELETED", node("a")),
        ("Node", "ADDED", node("a", is_open=False)),
    )
    assert counts(recorded) == [0, 1, 0, 0]


def test_events_of_several_watches_are_put_in_their_order() -> None:
    """The pod of one node goes after that of another has come back, though its watch told it first."""
    changes = [
        Change(110, "Pod", "DELETED", pod("cilium-b", "b", going=True)),
        Change(105, "CNIChainNode", "MODIFIED", chain_node("a")),
        Change(101, "CNIChainNode", "MODIFIED", chain_node("a", ready=False)),
    ]
    recorded = History.of(100, chained("a", "b"), changes)
    found = worst(recorded)
    assert (found.version, found.unavailable) == (101, {"a": "its CNIChainNode is WaitCilium"})
    assert found.count == 1, "not both at once"


def test_nodes_are_opened_in_an_order() -> None:
    before = chained("b") | {"Node": [node("a", is_open=False), node("b"), node("c", is_open=False)]}
    recorded = history(before, ("Node", "MODIFIED", node("c")), ("Node", "MODIFIED", node("a")))
    assert opened(recorded) == ["b", "c", "a"]


def test_a_pod_that_is_not_bound_counts_for_the_node_that_it_is_meant_for() -> None:
    unbound = pod("cilium-a2", "a", ready=False, image=NEW)
    del unbound["spec"]["nodeName"]
    field = {"key": "metadata.name", "operator": "In", "values": ["a"]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    unbound["spec"]["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    assert nodes_with_image(history(chained("a"), ("Pod", "ADDED", unbound)), NEW) == {"a"}


@pytest.mark.controlplane
def test_every_change_of_a_real_cluster_is_recorded_in_order(crds_installed: ControlPlane) -> None:
    name = crds_installed.run_kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.name}")
    body = '{"apiVersion":"cnichain.io/v1alpha1","kind":"CNIChainNode","metadata":{"name":"recorded"},"spec":{}}'
    with watching(crds_installed) as record:
        for turn in range(20):
            crds_installed.run_kubectl("label", "node", name, f"turn={turn}", "--overwrite")
        crds_installed.run_kubectl("create", "--filename=-", stdin=body)
        crds_installed.run_kubectl("label", "node", name, "turn-")
        crds_installed.run_kubectl("delete", "cnichainnode", "recorded")
    found = record.history
    turns = [
        change.item["metadata"]["labels"].get("turn")
        for change in found.changes
        if change.kind == "Node" and change.item["metadata"]["name"] == name
    ]
    assert list(dict.fromkeys(turns)) == [*(str(turn) for turn in range(20)), None]
    chain_nodes = [change for change in found.changes if change.kind == "CNIChainNode"]
    assert [change.verb for change in chain_nodes] == ["ADDED", "DELETED"]
    between = [change.version for change in found.changes if change.kind == "Node" and not turns[-1]][-1]
    assert chain_nodes[0].version < between < chain_nodes[1].version, "one order for all kinds"
    versions = [change.version for change in found.changes]
    assert versions == sorted(set(versions))
    assert found.version < versions[0]


@pytest.mark.controlplane
def test_a_watch_that_breaks_is_no_quiet_watch(crds_installed: ControlPlane) -> None:
    recorder = Recorder(crds_installed)
    recorder.start()
    crds_installed.stop_apiserver()
    crds_installed.start_apiserver()
    with pytest.raises(WatchBrokenError):
        recorder.stop()


def test_an_error_event_breaks_a_watch() -> None:
    """410 Gone comes as an event in the stream; a bookmark is none."""
    assert parse_event("Node", {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}) is None
    with pytest.raises(WatchBrokenError, match="410 too old"):
        parse_event("Node", {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
