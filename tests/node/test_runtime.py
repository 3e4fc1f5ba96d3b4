"""The runtime's own view: a real containerd that misses a change and is nudged, and sockets that give no answer."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.node.conftest import (
    CHAINED,
    DEFAULT_ENTRY,
    HISTORY,
    NEWEST,
    SOURCE,
    Node,
    decided,
    wait_until,
)

from cnichain.api.chainnode import Desired, NodeSpec, NodeState, OnShadow, RuntimeView
from cnichain.api.reasons import Reason
from cnichain.node import files
from cnichain.node.conflist import parse
from cnichain.node.cri import Answer, CRIError, ask, networks
from cnichain.node.decision import Nudge
from cnichain.node.folder import Kind
from cnichain.node.protobuf import ProtobufError, fields
from cnichain.node.runtimeview import Loaded, RuntimeSeen, judge, report
from cnichain.node.splice import derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
UPGRADED = derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY)
STALE = RuntimeSeen(Loaded.STALE, "containerd", "1.6.20", "containerd has loaded the network x (y)")
BOTH: dict[str, bytes | Kind] = {SOURCE: NEWEST, CHAINED: GOOD}
UNCHAINED = NodeSpec(desired=Desired.UNCHAINED)


class TestDecision:
    """What the runtime says, on top of what is on disk."""

    def test_a_stale_runtime_is_nudged_and_the_node_is_not_ready(self) -> None:
        """Fault case 50."""
        decision = decided(BOTH, runtime=STALE, may_nudge=True)
        assert decision.action == Nudge()
        assert (decision.state, decision.reason) == (NodeState.RUNTIME_STALE, Reason.RUNTIME_STALE)
        assert not decision.verified
        assert "containerd has loaded the network x" in decision.message
        assert decided(BOTH, runtime=STALE).action is None, "nudged more often than the backoff allows"

    def test_a_runtime_without_network_is_told_with_its_own_words(self) -> None:
        """Fault case 44: a broken drop-in, which containerd alone can tell."""
        seen = replace(STALE, loaded=Loaded.NOT_READY, message="containerd could not load it: no such file")
        decision = decided(BOTH, runtime=seen)
        assert (decision.state, decision.reason) == (NodeState.RUNTIME_STALE, Reason.RUNTIME_NOT_READY)
        assert "no such file" in decision.message

    @pytest.mark.parametrize("loaded", [Loaded.UNKNOWN, Loaded.VERIFIED])
    def test_a_runtime_that_does_not_tell_leaves_it_to_the_disk(self, loaded: Loaded) -> None:
        decision = decided(BOTH, runtime=RuntimeSeen(loaded))
        assert (decision.state, decision.verified) == (NodeState.IN_SYNC, True)

    def test_while_it_is_asked_nothing_is_reported_yet(self) -> None:
        decision = decided(BOTH, runtime=RuntimeSeen())
        assert (decision.state, decision.verified, decision.passing) == (NodeState.VERIFY, False, True)

    def test_the_way_back_ends_only_when_the_runtime_has_let_go(self) -> None:
        for seen, state in ((RuntimeSeen(), NodeState.UNINSTALLING), (STALE, NodeState.UNINSTALLING)):
            decision = decided({SOURCE: NEWEST}, UNCHAINED, runtime=seen)
            assert (decision.state, decision.verified) == (state, False)
        done = decided({SOURCE: NEWEST}, UNCHAINED, runtime=RuntimeSeen(Loaded.VERIFIED))
        assert (done.state, done.verified) == (NodeState.UNCHAINED, True)

    def test_a_frozen_node_is_not_nudged(self) -> None:
        decision = decided(BOTH, NodeSpec(frozen=True), runtime=STALE, may_nudge=True)
        assert (decision.action, decision.state, decision.verified) == (None, NodeState.FROZEN, False)

    def test_a_node_that_is_not_in_order_on_disk_is_not_nudged(self) -> None:
        decision = decided({SOURCE: b"{"}, runtime=STALE, may_nudge=True)
        assert (decision.action, decision.state) == (None, NodeState.WAIT_PRIMARY)


class TestCRIO:
    """CRI-O goes on to the next file where one is bad or a plugin is missing."""

    seen = RuntimeSeen(Loaded.UNKNOWN, "cri-o", "1.33.0")

    def test_a_broken_first_file_does_not_shadow(self) -> None:
        files: dict[str, bytes | Kind] = {"00-x.conflist": b"{", **BOTH}
        assert decided(files, runtime=self.seen).state is NodeState.IN_SYNC
        decision = decided(files, runtime=replace(self.seen, name="containerd"))
        assert decision.state is NodeState.SHADOWED

    def test_a_missing_binary_is_a_bypass(self) -> None:
        decision = decided(BOTH, runtime=self.seen, binaries=frozenset({"aws-cni", "egress-cni", "portmap"}))
        assert decision.reason is Reason.PLUGIN_BINARY_MISSING
        assert f"CRI-O passes over {CHAINED}" in decision.message
        assert "WITHOUT policy" in decision.message

    def test_both_rules_are_told_while_the_runtime_is_not_known(self) -> None:
        files: dict[str, bytes | Kind] = {"00-x.conflist": b"{", **BOTH}
        assert f"(containerd picks 00-x.conflist, CRI-O {CHAINED}.)" in decided(files).message

    def test_the_way_back_minds_its_rule(self) -> None:
        files: dict[str, bytes | Kind] = {"06-x.conflist": b"{", **BOTH}
        assert decided(files, UNCHAINED, runtime=self.seen).action is not None


def _network(content: bytes, **more: Any) -> dict[str, Any]:
    value = json.loads(content)
    plugins = [{"Network": {"type": plugin["type"]}} for plugin in value["plugins"]]
    return {"Name": value["name"], "Plugins": plugins, "Source": content.decode(), **more}


READY = (("RuntimeReady", True, ""), ("NetworkReady", True, ""))
JUDGED: dict[str, tuple[dict[str, Any], Loaded, str]] = {
    "the same": ({"networks": [_network(GOOD)]}, Loaded.VERIFIED, ""),
    "the same in another layout": (
        {"networks": [_network(json.dumps(json.loads(GOOD)).encode())]},
        Loaded.VERIFIED,
        "",
    ),
    "one of several": ({"networks": [_network(NEWEST), _network(GOOD)]}, Loaded.VERIFIED, ""),
    "a drop-in behind it": ({"networks": [_network(GOOD, Plugins=[])]}, Loaded.VERIFIED, ""),
    "without cilium": ({"networks": [_network(NEWEST)]}, Loaded.STALE, "plugin cilium-cni is missing"),
    "another version": ({"networks": [_network(UPGRADED)]}, Loaded.STALE, '"mtu" is "8921"'),
    "types alone, the same": ({"networks": [_network(GOOD, Source="")]}, Loaded.VERIFIED, ""),
    "types alone, another": (
        {"networks": [_network(NEWEST, Source="")]},
        Loaded.STALE,
        "(aws-cni, egress-cni, portmap)",
    ),
    "types alone, nonsense": (
        {"networks": [{"Name": "x", "Plugins": [7, {"Network": 7}]}]},
        Loaded.STALE,
        "network x ()",
    ),
    "nothing": ({"networks": []}, Loaded.STALE, "no list at all"),
    "a failed load": ({"load_status": "cni config load failed: x"}, Loaded.NOT_READY, "cni config load failed"),
    "no network": (
        {"conditions": [("NetworkReady", False, "NetworkPluginNotReady: cni plugin not initialized")]},
        Loaded.NOT_READY,
        "not initialized",
    ),
    "CRI-O": ({"name": "cri-o", "load_status": None, "networks": None}, Loaded.UNKNOWN, "does not tell"),
    "no valid file": ({"wanted": None}, Loaded.UNKNOWN, "no valid file"),
}


@pytest.mark.parametrize(("change", "loaded", "words"), JUDGED.values(), ids=JUDGED)
def test_an_answer_is_judged(change: dict[str, Any], loaded: Loaded, words: str) -> None:
    whole: dict[str, Any] = {
        "name": "containerd",
        "version": "1.7",
        "conditions": READY,
        "load_status": "OK",
        "networks": [_network(GOOD)],
        "wanted": parse(GOOD),
    }
    seen = judge(**{**whole, **change})
    assert seen.loaded is loaded, seen.message
    assert words in seen.message


def test_the_status_says_why_it_is_not_known() -> None:
    assert report(None).view is RuntimeView.UNKNOWN
    assert "not asked" in report(None).message
    silent = report(RuntimeSeen(Loaded.UNKNOWN, "containerd", "1.7.0", "/run/x cannot be asked: EACCES", answers=False))
    assert (silent.name, silent.view) == ("containerd 1.7.0", RuntimeView.UNKNOWN)
    assert "EACCES" in silent.message
    assert report(STALE).view is RuntimeView.STALE


@pytest.mark.parametrize(
    "text", ["", "7", "{", '{"Networks": 7}', '{"Networks": [{}]}', '{"Networks": [{"Config": 7}]}']
)
def test_a_configuration_in_an_unknown_form_is_no_crash(text: str) -> None:
    with pytest.raises(CRIError, match="unknown form"):
        networks(Answer("containerd", "9", info={"cniconfig": text}))


@settings(deadline=None)  # what is asserted is not how busy the machine is
@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    try:
        found = list(fields(data))
    except ProtobufError:
        return
    assert all(isinstance(value, int | bytes) for _, value in found)


def _serve(path: Path, answer: Callable[[socket.socket], None]) -> threading.Thread:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)

    def run() -> None:
        with server:
            client, _ = server.accept()
            with client:
                answer(client)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda client: client.recv(100), "closed before the answer|ECONNRESET"),
        (lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not CRI|closed|cut off|cannot be asked"),
        (lambda client: client.recv(1 << 16) and client.recv(1 << 16), "does not answer within 0.3 s"),
    ],
    ids=["closes", "HTTP/1", "hangs"],
)
def test_a_socket_of_something_else_is_named(
    tmp_path: Path, answer: Callable[[socket.socket], None], words: str
) -> None:
    path = tmp_path / "r.sock"
    thread = _serve(path, answer)
    with pytest.raises(CRIError, match=words):
        ask(path, 0.3)
    thread.join(timeout=10)


def test_a_missing_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(CRIError, match="ENOENT"):
        ask(tmp_path / "none.sock", 1)


def test_without_an_answer_readiness_rests_on_the_disk(node: Node) -> None:
    node.source.write_bytes(NEWEST)
    node.start("--runtime-socket", str(node.root / "none.sock"))
    node.wait_said(state="InSync", reason="ChainVerified")
    node.wait_said(message="The runtime's own view is not known")


def test_a_runtime_that_hangs_delays_no_repair_for_long(node: Node) -> None:
    """The socket is listened on, and nobody ever answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(node.root / "hung.sock"))
        server.listen(8)
        node.source.write_bytes(NEWEST)
        node.start("--runtime-socket", str(node.root / "hung.sock"))
        node.wait_said(state="InSync")
        node.chained.unlink()
        node.wait_chained(GOOD)
        wait_until(
            lambda: sum(line["message"] == "The chain was repaired" for line in node.log()) == 2, "both are told"
        )
        repairs = [line for line in node.log() if line["message"] == "The chain was repaired"]
        assert repairs[-1]["state"] == "InSync", "a runtime that gives no answer is waited for again and again"
        node.stop()


def _containerd() -> str:
    """The program, from Debian's package; installed in CI, where a skip would be a hole."""
    if os.geteuid() != 0:
        pytest.skip("a containerd of its own needs root")
    if shutil.which("containerd") is None:
        if not os.environ.get("CI"):
            pytest.skip("containerd is not installed (apt-get install containerd)")
        print("containerd is not installed: apt-get install containerd")
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "--yes", "--no-install-recommends", "containerd"],
        ):
            subprocess.run(command, check=True, timeout=900, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    found = shutil.which("containerd")
    assert found, "containerd is still missing after its installation"
    return found


_CONFIG = """
version = 2
root = "{root}/root"
state = "{root}/run"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{conf}"
    bin_dir = "{bin}"
"""


@dataclass(frozen=True)
class Runtime:
    """A real containerd."""

    path: Path
    process: "subprocess.Popen[bytes]"


@pytest.fixture
def runtime(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A real containerd that watches the node's folder; it starts no container."""
    program = _containerd()
    root = tmp_path_factory.mktemp("cd")  # short: a unix socket's path has 107 bytes
    path = root / "c.sock"
    config = root / "config.toml"
    config.write_text(_CONFIG.format(root=root, socket=path, conf=node.conf, bin=node.bin))
    with (root / "log").open("wb") as log:
        process = subprocess.Popen([program, "--config", str(config)], stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(path), f"containerd answers; its log is {root / 'log'}", 60)
        yield Runtime(path, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _answers(path: Path) -> bool:
    try:
        return path.exists() and ask(path, 2).name == "containerd"
    except CRIError:
        return False


def _loaded(path: Path) -> bytes | None:
    """What the real containerd has loaded."""
    found = networks(ask(path, 5)) or ()
    return found[0]["Source"].encode() if found else None


def test_a_real_containerd_confirms_each_repair(node: Node, runtime: Runtime) -> None:
    node.source.write_bytes(NEWEST)
    node.start("--runtime-socket", str(runtime.path))
    node.wait_said(state="InSync", reason="ChainVerified")
    assert _loaded(runtime.path) == GOOD
    node.replace(SOURCE, HISTORY["1.18.3"])
    node.wait_chained(UPGRADED)
    wait_until(lambda: _loaded(runtime.path) == UPGRADED, "containerd has loaded the new list")
    wait_until(lambda: _states(node)[-1] == "InSync", f"verified again; {_states(node)}")
    assert not node.said(message="The runtime was nudged"), "containerd notices the agent's own writes by itself"


def _states(node: Node) -> list[str]:
    return [line["state"] for line in node.log() if "reason" in line]


def test_a_change_that_the_runtime_missed_is_found_and_nudged(node: Node, runtime: Runtime) -> None:
    """Fault case 50: a right file arrives by a rename from another folder, which containerd does not notice."""
    node.source.write_bytes(NEWEST)
    node.start("--runtime-socket", str(runtime.path))
    node.wait_said(state="InSync", reason="ChainVerified")
    node.stop()
    outside = node.root / "by-ansible"
    outside.mkdir()
    (outside / SOURCE).write_bytes(HISTORY["1.18.3"])
    (outside / SOURCE).rename(node.source)
    (outside / CHAINED).write_bytes(UPGRADED)
    (outside / CHAINED).rename(node.chained)
    assert _loaded(runtime.path) == GOOD, "this containerd notices a rename from elsewhere: the test shows nothing"
    node.start("--runtime-socket", str(runtime.path))
    node.wait_said(state="RuntimeStale", reason="RuntimeStale")
    node.wait_said(message="The runtime was nudged")
    wait_until(lambda: _loaded(runtime.path) == UPGRADED, "containerd has loaded the new list after the nudge")
    wait_until(lambda: _states(node)[-1] == "InSync", f"verified by the runtime; {_states(node)}")
    assert sum(line["message"] == "The runtime was nudged" for line in node.log()) == 1
    assert node.names() == [CHAINED, SOURCE], "the nudge left something"


def test_the_way_back_is_confirmed_by_the_runtime(node: Node, runtime: Runtime) -> None:
    node.source.write_bytes(NEWEST)
    node.chained.write_bytes(GOOD)
    node.give_spec(UNCHAINED)
    node.start("--runtime-socket", str(runtime.path))
    node.wait_said(state="Unchained", reason="NodeUnchained")
    assert _loaded(runtime.path) == NEWEST


def test_a_runtime_that_cannot_load_the_folder_is_told(node: Node, runtime: Runtime) -> None:
    """The last thing that it was given is a file that it cannot load; the agent says so in the runtime's own words."""
    node.source.write_bytes(NEWEST)
    node.give_spec(NodeSpec(on_shadow=OnShadow.REPORT))
    node.start("--runtime-socket", str(runtime.path))
    node.wait_said(state="InSync")
    (node.conf / "00-x.conflist").write_bytes(b"{")
    node.wait_said(state="Shadowed")
    (node.conf / "00-x.conflist").unlink()
    wait_until(lambda: _states(node)[-1] == "InSync", f"healed; {_states(node)}")
    assert _loaded(runtime.path) == GOOD


def test_a_socket_that_comes_later_is_asked_too(node: Node, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As on a booting node."""
    path = tmp_path_factory.mktemp("later") / "c.sock"
    node.source.write_bytes(NEWEST)
    node.start("--runtime-socket", str(path), "--poll-seconds", "0.2")
    node.wait_said(state="InSync")
    thread = _serve(path, lambda client: client.close())
    wait_until(lambda: any("c.sock" in str(line.get("because")) for line in node.log()), "the socket was tried")
    thread.join(timeout=10)


def test_a_nudge_leaves_nothing_and_cleans_up_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / ".chain-nudge.tmp").write_text("left by a crash")
    files.nudge(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(files.ConfDirError):
        files.nudge(tmp_path / "none")


def test_a_runtime_that_stops_in_the_middle_delays_no_repair(node: Node, runtime: Runtime) -> None:
    node.source.write_bytes(NEWEST)
    node.start("--runtime-socket", str(runtime.path))
    node.wait_said(state="InSync")
    runtime.process.send_signal(signal.SIGSTOP)
    try:
        node.chained.unlink()
        node.wait_chained(GOOD)
        wait_until(lambda: _states(node)[-1] == "InSync", f"the disk alone counts after a while; {_states(node)}")
    finally:
        runtime.process.send_signal(signal.SIGCONT)
