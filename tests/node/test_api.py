"""The agent against a real API server: the spec comes in, the status goes out, and an outage stops neither repair."""

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.node.conftest import CHAINED, DEFAULT_ENTRY, HISTORY, NEWEST, SOURCE, Node, wait_until

import auditlog
from cnichain.api.chainnode import NodeState, NodeStatus, Repairs
from cnichain.node.access import from_kubeconfig
from cnichain.node.api_client import ApiClient
from cnichain.node.conflist import parse
from cnichain.node.holding import UNASKED, Holds
from cnichain.node.report import Reporter
from cnichain.node.splice import derive

pytestmark = pytest.mark.controlplane

NAME = "node-1"
GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


class Proxy:
    """Passes connections on to the API server; `cut` ends them all and takes no more until `mend`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target, self._is_cut, self._closed = target, False, False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self.url = f"https://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def cut(self) -> None:
        self._is_cut = True

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self._closed = True
        self._thread.join(timeout=10)
        self._drop()
        self._server.close()

    def _serve(self) -> None:
        while not self._closed:
            if self._is_cut:
                self._drop()
            self._pass_on()
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            if self._is_cut:
                client.close()
            else:
                self._pairs.append((client, socket.create_connection(self._target, timeout=5)))

    def _pass_on(self) -> None:
        ways = {a: b for pair in self._pairs for a, b in (pair, pair[::-1])}
        for source in select.select(list(ways), [], [], 0)[0] if ways else []:
            try:
                ways[source].sendall(source.recv(65536))
            except OSError:
                continue  # one side is gone; `_drop` closes both in the end

    def _drop(self) -> None:
        for one in [end for pair in self._pairs for end in pair]:
            one.close()
        self._pairs.clear()


@pytest.fixture
def proxy(control_plane: Any) -> Iterator[Proxy]:
    host, port = control_plane.server.removeprefix("https://").split(":")
    proxy = Proxy((host, int(port)))
    yield proxy
    proxy.close()


@pytest.fixture
def cluster(control_plane: Any, crds_installed: object, node: Node) -> Iterator[Kubectl]:
    """kubectl on a cluster without a CNIChainNode for the node, which knows no spec and has the primary's file."""
    node.kubeconfig.write_bytes(Path(control_plane.kubeconfig).read_bytes())
    (node.state / "spec.json").unlink()
    node.source.write_bytes(NEWEST)

    def kubectl(*arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
        command = [str(control_plane.kubectl), "--kubeconfig", str(control_plane.kubeconfig), *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=True)

    yield kubectl
    kubectl("delete", "cnichainnode", NAME, "--ignore-not-found")


def _apply(kubectl: Kubectl, **spec: Any) -> None:
    item = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChainNode", "metadata": {"name": NAME}, "spec": spec}
    kubectl("apply", "-f", "-", text=json.dumps(item))


def _get(kubectl: Kubectl) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(kubectl("get", "cnichainnode", NAME, "-o", "json").stdout)
    return item


def _wait_state(kubectl: Kubectl, node: Node, state: str) -> dict[str, Any]:
    def reported() -> bool:
        return bool(_get(kubectl).get("status", {}).get("state") == state)

    wait_until(reported, f"the state {state} in the API; the agent's log is {node.log()[-5:]}")
    return _get(kubectl)


def test_the_spec_comes_in_and_the_status_goes_out(cluster: Kubectl, node: Node) -> None:
    node.start()
    node.wait_said(reason="NodeSpecMissing")
    assert node.names() == [SOURCE], "a file was changed without a spec"
    _apply(cluster, primary="aws-vpc-cni")
    status = _wait_state(cluster, node, "InSync")["status"]
    assert node.chained.read_bytes() == GOOD
    assert status["effectiveFile"] == CHAINED
    assert status["chain"] == "aws-cni,egress-cni,portmap,cilium-cni"
    assert status["repairs"] == {"total": 1, "drifts": 0, "byCause": {"Publish": 1}}
    assert [(item["type"], item["status"]) for item in status["conditions"]] == [("Ready", "True")]
    assert (status["lastWriter"], status["ciliumHealth"], status["dropIns"]) == ("Agent", "Unknown", [])
    assert status["runtime"] == {"name": "", "view": "Unknown", "message": "the runtime is not asked"}
    _apply(cluster, primary="aws-vpc-cni", frozen=True)
    frozen = _wait_state(cluster, node, "Frozen")
    assert frozen["status"]["observedGeneration"] == frozen["metadata"]["generation"] == 2
    since = frozen["status"]["conditions"][0]["lastTransitionTime"]
    assert since == status["conditions"][0]["lastTransitionTime"], "still Ready, yet the time of the condition moved"


def test_the_last_writer_and_drop_ins_are_told(cluster: Kubectl, node: Node) -> None:
    """Another layout of the same chain is no drift, but somebody else has written it."""
    _apply(cluster, primary="aws-vpc-cni")
    node.start("--poll-seconds", "0.2")
    assert _wait_state(cluster, node, "InSync")["status"]["lastWriter"] == "Agent"
    (node.conf / "aws-cni").mkdir()
    (node.conf / "aws-cni" / "50-x.conf").write_text("{}")
    node.replace(CHAINED, json.dumps(json.loads(GOOD)).encode())
    wait_until(lambda: _get(cluster)["status"]["lastWriter"] == "Other", "the other writer is told")
    wait_until(lambda: _get(cluster)["status"]["dropIns"] == ["aws-cni/50-x.conf"], "the drop-in is told")


def test_a_steady_node_writes_nothing_not_even_after_a_restart(
    cluster: Kubectl, control_plane: Any, node: Node
) -> None:
    def writes() -> int:
        lines = auditlog.entries(Path(control_plane.audit_log))
        return sum(line["verb"] == "patch" and line["userAgent"] == "cnichain-agent" for line in lines)

    _apply(cluster, primary="aws-vpc-cni")
    agent = node.start()
    _wait_state(cluster, node, "InSync")
    wait_until(writes, "the audit log has the first report")
    before = writes()
    for _ in range(3):
        os.utime(node.source)  # an event, a look, and nothing to say
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(timeout=10) == 0
    node.start("--poll-seconds", "0.1")
    wait_until(lambda: sum(line.get("state") == "InSync" and "reason" in line for line in node.log()) == 2, "verified")
    _apply(cluster, primary="aws-vpc-cni", frozen=True)
    _wait_state(cluster, node, "Frozen")
    wait_until(lambda: writes() > before, "the audit log has the report of the frozen node")
    assert writes() == before + 1, "a status was written although nothing had changed"


def test_repairs_go_on_while_the_api_is_away_and_are_told_later(cluster: Kubectl, node: Node, proxy: Proxy) -> None:
    _apply(cluster, primary="aws-vpc-cni")
    node.start("--api-server", proxy.url)
    _wait_state(cluster, node, "InSync")
    proxy.cut()
    wait_until(lambda: any("does not answer" in str(line.get("error")) for line in node.log()), "the outage is noticed")
    node.replace(SOURCE, HISTORY["1.18.3"])
    node.wait_chained(derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY))
    _apply(cluster, primary="aws-vpc-cni", frozen=True)
    proxy.mend()
    status = _wait_state(cluster, node, "Frozen")["status"]
    assert status["repairs"]["byCause"] == {"Publish": 1, "DriftSource": 1}


def test_nothing_that_was_true_of_the_old_object_is_said_of_a_new_one(
    cluster: Kubectl, control_plane: Any, node: Node
) -> None:
    """Fault case 46: a new object counts its generations anew, so an old report would pass for one about its spec."""
    watch = [str(control_plane.kubectl), "--kubeconfig", str(control_plane.kubeconfig)]
    watch += ["get", "cnichainnodes", "--watch", "--output=json"]
    seen = node.root / "seen.json"
    with seen.open("wb") as output, subprocess.Popen(watch, stdout=output) as watcher:
        try:
            _apply(cluster, primary="aws-vpc-cni")
            node.start()
            _wait_state(cluster, node, "InSync")
            _apply(cluster, primary="aws-vpc-cni", frozen=True)
            _wait_state(cluster, node, "Frozen")
            _apply(cluster, primary="aws-vpc-cni", desired="Unchained")
            old = _wait_state(cluster, node, "Unchained")
            assert old["status"]["observedGeneration"] == 3
            cluster("delete", "cnichainnode", NAME)
            _apply(cluster, primary="aws-vpc-cni")
            new = _wait_state(cluster, node, "InSync")
            assert new["status"]["observedGeneration"] == new["metadata"]["generation"] == 1
            text = new["metadata"]["resourceVersion"]
            wait_until(lambda: text in seen.read_text(), "the watch has seen it all")
        finally:
            watcher.terminate()
            watcher.wait(timeout=10)
    uid = new["metadata"]["uid"]
    told = [
        item["status"] for item in _documents(seen.read_text()) if item["metadata"]["uid"] == uid and "status" in item
    ]
    assert {status["observedGeneration"] for status in told} == {1}, "a report about the old object went to the new one"


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The objects that a watch has printed, one after the other."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        item, end = decoder.raw_decode(text)
        yield item
        text = text[end:]


def test_a_recreated_object_gets_its_status_again(cluster: Kubectl, node: Node) -> None:
    _apply(cluster, primary="aws-vpc-cni")
    node.start()
    _wait_state(cluster, node, "InSync")
    cluster("delete", "cnichainnode", NAME)
    node.chained.unlink()
    node.wait_chained(GOOD)  # guarding goes on with the last spec
    _apply(cluster, primary="aws-vpc-cni")
    assert _wait_state(cluster, node, "InSync")["status"]["repairs"]["total"] == 2


def test_a_node_that_waits_for_cilium_as_its_wave_opens_is_told_a_little_later(cluster: Kubectl, node: Node) -> None:
    """What follows within that time is the only write; what lasts longer is told all the same."""
    hold = 1.0
    reporter = Reporter(ApiClient(from_kubeconfig(node.kubeconfig, None), NAME), Holds(cilium=hold, health=0.0))
    _apply(cluster, primary="aws-vpc-cni")
    uid = _get(cluster)["metadata"]["uid"]
    reporter.start()
    try:
        begun = time.monotonic()
        reporter.object_seen(uid, {}, given=True)
        reporter.publish(NodeStatus(observed_generation=1, state=NodeState.WAIT_CILIUM), uid)
        wait_until(lambda: reporter.reported, "it is told though it lasts")
        assert time.monotonic() - begun >= hold, "a state that every node passes through was written at once"
        assert _get(cluster)["status"]["state"] == "WaitCilium"
        reporter.publish(NodeStatus(observed_generation=1, state=NodeState.IN_SYNC), uid)
        wait_until(lambda: reporter.reported, "the chain is told")
    finally:
        reporter.stop()
        reporter.join(timeout=15)


def test_agents_tell_of_their_repairs_one_after_the_other(cluster: Kubectl, node: Node) -> None:
    """What strikes all nodes at once must not bring thousands of reports in one second; bad news goes before."""
    _apply(cluster, primary="aws-vpc-cni")
    uid = _get(cluster)["metadata"]["uid"]
    holds = Holds(health=0.0, repair=3600.0)
    reporter = Reporter(ApiClient(from_kubeconfig(node.kubeconfig, None), NAME), holds)
    well = NodeStatus(observed_generation=1, state=NodeState.IN_SYNC)
    reporter.start()
    try:
        reporter.object_seen(uid, {}, given=True)
        reporter.publish(well, uid)
        wait_until(lambda: reporter.reported, "the chain is told")
        moments = set()
        for _ in range(20):
            begun = time.monotonic()
            reporter.publish(replace(well, repairs=Repairs(total=1, drifts=1)), uid)
            moments.add(round(reporter.due - begun))
            reporter.publish(well, uid)
        assert len(moments) > 5, f"after seconds: {moments}"
        assert max(moments) <= holds.repair, f"after seconds: {moments}"
        reporter.publish(replace(well, repairs=Repairs(total=1, drifts=1)), uid)
        reporter.publish(replace(well, state=NodeState.CONFLICT, repairs=Repairs(total=2, drifts=2)), uid)
        wait_until(lambda: reporter.reported, "bad news is told at once, and the repairs with it")
        assert _get(cluster)["status"]["repairs"]["total"] == 2
    finally:
        reporter.stop()
        reporter.join(timeout=15)


def test_a_spec_that_the_agent_does_not_understand_is_told(cluster: Kubectl, node: Node) -> None:
    """Nothing comes from the guard then, and the operator has to hear of it."""
    reporter = Reporter(ApiClient(from_kubeconfig(node.kubeconfig, None), NAME), UNASKED)
    _apply(cluster, primary="aws-vpc-cni")
    uid = _get(cluster)["metadata"]["uid"]
    reporter.start()
    try:
        reporter.publish(NodeStatus(state=NodeState.UNKNOWN, reason="NodeSpecMissing"), "")
        reporter.object_seen(uid, {}, given=False)
        wait_until(lambda: _get(cluster).get("status", {}).get("reason") == "NodeSpecMissing", "it is told")
    finally:
        reporter.stop()
        reporter.join(timeout=15)
