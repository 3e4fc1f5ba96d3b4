"""Cilium does not answer: what Open and Closed mean, the first time it answers, and a verdict that never flaps."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.node.conftest import (
    ALL_BINARIES,
    CHAINED,
    DEFAULT_ENTRY,
    HISTORY,
    NEWEST,
    SOURCE,
    Node,
    decided,
    wait_until,
    written,
)

from cnichain.api.chainnode import NodeSpec, NodeState, OnCiliumDown, Writer
from cnichain.api.reasons import Reason
from cnichain.node.cilium import CiliumHealthError, CiliumWatcher
from cnichain.node.ciliumhealth import Health, Track
from cnichain.node.conflist import parse
from cnichain.node.decision import Known, Remove
from cnichain.node.folder import Kind, digest
from cnichain.node.splice import derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
OPEN = NodeSpec(on_cilium_down=OnCiliumDown.OPEN)
OWN = NodeSpec(writer=Writer.CNICHAIN)
AFTER = Known(SOURCE, digest(NEWEST), True, GOOD, CHAINED, digest(GOOD))
FELL_BACK = replace(AFTER, fell_back=True)
NO_CILIUM = ALL_BINARIES - {"cilium-cni"}
BOTH: dict[str, bytes | Kind] = {SOURCE: NEWEST, CHAINED: GOOD}
ALONE: dict[str, bytes | Kind] = {SOURCE: NEWEST}


def test_closed_keeps_the_chain_and_says_that_no_pod_can_start() -> None:
    decision = decided(BOTH, cilium=Health.DOWN, known=AFTER)
    assert (decision.action, decision.state, decision.reason) == (None, NodeState.IN_SYNC, Reason.CILIUM_DOWN_CLOSED)
    assert decision.verified, "the chain itself is what it should be"
    assert "new pods cannot start" in decision.message


def test_open_falls_back_to_the_primary_alone() -> None:
    decision = decided(BOTH, OPEN, cilium=Health.DOWN, known=AFTER)
    assert decision.action == Remove(CHAINED, GOOD)
    assert decision.cause is NodeState.CILIUM_DOWN
    after = decided(ALONE, OPEN, cilium=Health.DOWN, known=FELL_BACK)
    assert (after.action, after.state, after.reason) == (None, NodeState.CILIUM_DOWN, Reason.CILIUM_DOWN_OPEN)
    assert not after.verified, "a node without policy must not count as Ready"
    assert "WITHOUT policy" in after.message


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({CHAINED: GOOD}, "nothing valid would be left"),
        ({CHAINED: GOOD, SOURCE: b"{"}, "nothing valid would be left"),
        ({CHAINED: GOOD, "06-x.conf": b"{", SOURCE: NEWEST}, "06-x.conf would be picked"),
        ({CHAINED: GOOD, f"{SOURCE}.cilium_bak": NEWEST}, "nothing valid would be left"),
    ],
)
def test_open_keeps_the_chain_while_nothing_could_take_over(files: dict[str, bytes | Kind], words: str) -> None:
    decision = decided(files, OPEN, cilium=Health.DOWN, known=AFTER)
    assert (decision.action, decision.state) == (None, NodeState.CILIUM_DOWN)
    assert words in decision.message


def test_open_returns_when_cilium_answers_and_not_before() -> None:
    unknown = decided(ALONE, OPEN, cilium=Health.UNKNOWN, known=FELL_BACK)
    assert (unknown.action, unknown.state, unknown.reason) == (None, NodeState.CILIUM_DOWN, Reason.CILIUM_DOWN_OPEN)
    back = decided(ALONE, OPEN, cilium=Health.GOOD, known=FELL_BACK)
    assert written(back) == GOOD
    assert back.cause is NodeState.CILIUM_DOWN, "the return is no drift"


@pytest.mark.parametrize("health", [Health.UNKNOWN, Health.GOOD])
def test_open_changes_nothing_before_the_verdict(health: Health) -> None:
    decision = decided(BOTH, OPEN, cilium=health, known=AFTER)
    assert (decision.action, decision.state, decision.verified) == (None, NodeState.IN_SYNC, True)
    changed = decided({SOURCE: HISTORY["1.18.3"], CHAINED: GOOD}, OPEN, cilium=health, known=AFTER)
    assert parse(written(changed)).plugins[0].value["mtu"] == "8921", "a chain in place is kept up to date all the time"


def test_open_says_when_nobody_asks_for_ciliums_health() -> None:
    assert "has no effect" in decided(BOTH, OPEN, cilium=Health.OFF, known=AFTER).message


def test_a_frozen_node_does_not_fall_back() -> None:
    decision = decided(BOTH, replace(OPEN, frozen=True), cilium=Health.DOWN, known=AFTER)
    assert (decision.action, decision.state) == (None, NodeState.FROZEN)


def test_a_chain_that_comes_back_while_cilium_is_down_is_a_war() -> None:
    decision = decided(BOTH, OPEN, cilium=Health.DOWN, known=FELL_BACK)
    assert decision.foreign == digest(GOOD)
    held = decided(BOTH, OPEN, cilium=Health.DOWN, known=FELL_BACK, braked=True)
    assert (held.action, held.state) == (None, NodeState.CONFLICT)


@pytest.mark.parametrize("files", [ALONE, {SOURCE: NEWEST, CHAINED: NEWEST}, {SOURCE: NEWEST, CHAINED: b"{"}])
def test_a_verified_node_that_loses_chain_and_binary_fails_closed(files: dict[str, bytes | Kind]) -> None:
    """Fault cases 34 and 40: cni.uninstall removes both. Without the chain pods would start WITHOUT policy."""
    closed = decided(files, known=AFTER, binaries=NO_CILIUM)
    assert written(closed) == GOOD
    opened = decided(files, OPEN, known=AFTER, binaries=NO_CILIUM, cilium=Health.GOOD)
    assert (opened.action, opened.reason) == (None, Reason.PLUGIN_BINARY_MISSING)
    new = decided(files, binaries=NO_CILIUM)
    assert new.action is None, "a node that never had the chain waits for the binary"


class TestTheLastGoodCopy:
    """The chain is lost while the primary's file is broken."""

    @pytest.mark.parametrize("ours", [{}, {CHAINED: b""}, {CHAINED: NEWEST}])
    def test_it_comes_back(self, ours: dict[str, bytes | Kind]) -> None:
        decision = decided({SOURCE: NEWEST[:99], **ours}, known=AFTER)
        assert written(decision) == GOOD
        assert decision.cause is NodeState.DRIFT_DEST
        after = decided({SOURCE: NEWEST[:99], CHAINED: GOOD}, known=AFTER)
        assert (after.action, after.state, after.reason) == (
            None,
            NodeState.WAIT_PRIMARY,
            Reason.PRIMARY_CONFLIST_INVALID,
        )

    @pytest.mark.parametrize(
        ("files", "known"),
        [
            ({SOURCE: b"{"}, replace(AFTER, result_digest=digest(b"another"))),
            ({SOURCE: b"{"}, replace(AFTER, chained=False)),
            ({SOURCE: b"{"}, replace(AFTER, last_good=None)),
            ({SOURCE: b"{"}, replace(AFTER, fell_back=True)),
            ({SOURCE: b"{"}, replace(AFTER, last_good=NEWEST, result_digest=digest(NEWEST))),
            ({}, AFTER),
            ({"11-other.conflist": b"{"}, AFTER),
            ({SOURCE: b"{", CHAINED: Kind.SYMLINK}, AFTER),
        ],
        ids=["another copy", "never verified", "no copy", "fell back", "no chain", "no primary", "another", "symlink"],
    )
    def test_only_when_it_is_the_one_that_was_verified(self, files: dict[str, bytes | Kind], known: Known) -> None:
        assert decided(files, known=known).action is None


class TestTheFirstTime:
    """Writer CNIChain: nothing else sees to it that Cilium runs before pods depend on it."""

    @pytest.mark.parametrize("health", [Health.UNKNOWN, Health.DOWN])
    def test_it_waits_for_cilium(self, health: Health) -> None:
        decision = decided(ALONE, OWN, cilium=health)
        assert (decision.action, decision.state, decision.reason) == (
            None,
            NodeState.WAIT_CILIUM,
            Reason.CILIUM_NOT_HEALTHY,
        )
        assert "for the first time" in decision.message
        assert "WITHOUT policy" in decision.message

    def test_the_missing_binary_is_named_first(self) -> None:
        decision = decided(ALONE, OWN, cilium=Health.UNKNOWN, binaries=NO_CILIUM)
        assert decision.reason is Reason.PLUGIN_BINARY_MISSING

    @pytest.mark.parametrize("health", [Health.GOOD, Health.OFF])
    def test_it_publishes(self, health: Health) -> None:
        assert written(decided(ALONE, OWN, cilium=health)) == GOOD

    @pytest.mark.parametrize("known", [Known(cilium_seen=True), AFTER])
    def test_afterwards_a_missing_chain_comes_back_at_once(self, known: Known) -> None:
        assert written(decided(ALONE, OWN, cilium=Health.DOWN, known=known)) == GOOD

    def test_with_cilium_as_the_writer_nothing_waits(self) -> None:
        assert written(decided(ALONE, cilium=Health.DOWN)) == GOOD


def _verdicts(track: Track, answers: str, step: float = 2.0) -> list[Health]:
    """The verdict after each answer: `+` is a good one."""
    return [track.answered(number * step, is_good=answer == "+") for number, answer in enumerate(answers)]


def test_it_is_down_after_the_grace_time_alone() -> None:
    verdicts = _verdicts(Track(30), "+" + "-" * 20)
    assert verdicts.index(Health.DOWN) == 16, "30 s after the first failure, which came 2 s after the start"
    assert set(verdicts[:16]) == {Health.GOOD}


def test_at_the_start_nothing_is_known_until_an_answer_or_the_grace_time() -> None:
    assert set(_verdicts(Track(30), "-" * 15)) == {Health.UNKNOWN}
    assert _verdicts(Track(30), "-" * 16)[-1] is Health.DOWN
    assert _verdicts(Track(30), "--+")[-1] is Health.GOOD


def test_two_good_answers_in_a_row_end_it() -> None:
    verdicts = _verdicts(Track(4), "---+-+-++")
    assert verdicts[2:8] == [Health.DOWN] * 6, "it flaps"
    assert verdicts[8] is Health.GOOD


def test_one_failure_in_a_while_is_no_downtime() -> None:
    assert set(_verdicts(Track(30), "+-" * 100)) == {Health.GOOD}


def test_an_agent_that_was_stopped_for_a_while_asks_again_first() -> None:
    track = Track(30)
    track.answered(0, is_good=True)
    track.answered(2, is_good=False)
    assert track.answered(600, is_good=False) is Health.GOOD, "two answers ten minutes apart say nothing"
    assert track.answered(602, is_good=False) is Health.DOWN


@pytest.mark.parametrize("url", ["https://127.0.0.1:9879/healthz", "127.0.0.1:9879", "http://x:port", "http://a b/"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(CiliumHealthError, match="cilium-health-url"):
        CiliumWatcher(url, 30, lambda: None)


class Healthz(threading.Thread):
    """Stands in for cilium-agent's health endpoint. mode: good, bad, hang, dribble, garbage or gone."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = "good"
        self.requests: list[bytes] = []
        self._ending = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.02)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/healthz"

    def run(self) -> None:
        waiting: list[socket.socket] = []
        while not self._ending.is_set():
            if self.mode in ("hang", "dribble"):
                for client in waiting if self.mode == "dribble" else ():
                    self._send(client, b"x")
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            self.requests.append(client.recv(4096))
            if self.mode in ("hang", "dribble"):
                waiting.append(client)
                continue
            answers = {
                "good": b"HTTP/1.1 200 OK\r\n\r\n",
                "bad": b"HTTP/1.1 503 Unavailable\r\n\r\n",
                "garbage": b"SSH-2.0\r\n",
            }
            self._send(client, answers.get(self.mode, b""))
            client.close()
        for client in waiting:
            client.close()
        self._server.close()

    def _send(self, client: socket.socket, data: bytes) -> None:
        try:
            client.sendall(data)
        except OSError:
            return  # the agent has given up on this one

    def end(self) -> None:
        self._ending.set()
        self.join(timeout=10)


@pytest.fixture
def healthz() -> Iterator[Healthz]:
    healthz = Healthz()
    healthz.start()
    yield healthz
    healthz.end()


@pytest.mark.parametrize("mode", ["bad", "hang", "dribble", "garbage", "gone"])
def test_each_way_of_not_answering_counts(healthz: Healthz, mode: str) -> None:
    """Fault case 40: the health check refuses, hangs, or is somebody else."""
    healthz.mode = mode
    woken = threading.Event()
    watcher = CiliumWatcher(healthz.url, 0.3, woken.set)
    watcher.start()
    try:
        assert woken.wait(15), "no verdict"
        verdicts = [watcher.verdict]
        woken.clear()
        healthz.mode = "good"
        assert woken.wait(15), "its return was not noticed"
        verdicts.append(watcher.verdict)
        assert verdicts == [Health.DOWN, Health.GOOD]
    finally:
        watcher.stop()
        watcher.join(timeout=10)
    assert b"\r\nbrief: true\r\n" in healthz.requests[0]


def test_open_falls_back_and_returns_with_an_event_both_ways(node: Node, healthz: Healthz) -> None:
    node.give_spec(OPEN)
    node.source.write_bytes(NEWEST)
    arguments = ("--cilium-health-url", healthz.url, "--cilium-down-grace", "1")
    node.start(*arguments)
    node.wait_chained(GOOD)
    node.wait_said(state="InSync")
    healthz.mode = "hang"
    node.wait_said(state="CiliumDown", reason="CiliumDownOpen", effectiveFile=SOURCE)
    assert node.names() == [SOURCE]
    assert (node.state / f"{CHAINED}.chain-bak").read_bytes() == GOOD, "the last good copy is lost"
    node.replace(SOURCE, HISTORY["1.18.3"])
    node.stop()
    (node.root / "agent.log").unlink()
    node.start(*arguments)  # it was down before the restart: nothing is published on an unknown health
    node.wait_said(message="Cilium's health", health="Down")
    assert node.names() == [SOURCE]
    assert not node.said(message="The chain was repaired")
    healthz.mode = "good"
    node.wait_said(state="InSync", reason="ChainVerified")
    assert node.chained.read_bytes() == derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY)
    wait_until(lambda: not node.kept()["fell_back"], "the return is remembered")
    assert node.kept()["repairs"] == {"total": 2, "drifts": 0, "by_cause": {"Publish": 1, "CiliumDown": 1}}


def test_closed_keeps_the_file_and_tells(node: Node, healthz: Healthz) -> None:
    node.source.write_bytes(NEWEST)
    healthz.mode = "bad"
    node.start("--cilium-health-url", healthz.url, "--cilium-down-grace", "1")
    node.wait_said(state="InSync", reason="CiliumDownClosed")
    assert node.chained.read_bytes() == GOOD
    healthz.mode = "good"
    wait_until(lambda: node.log()[-1].get("reason") == "ChainVerified", "its return is told")


def test_as_the_only_writer_the_agent_waits_for_cilium_once(node: Node, healthz: Healthz) -> None:
    node.give_spec(OWN)
    node.source.write_bytes(NEWEST)
    healthz.mode = "bad"
    arguments = ("--cilium-health-url", healthz.url, "--cilium-down-grace", "1")
    node.start(*arguments)
    node.wait_said(state="WaitCilium", reason="CiliumNotHealthy")
    assert node.names() == [SOURCE]
    healthz.mode = "good"
    node.wait_chained(GOOD)
    node.wait_said(state="InSync")
    healthz.mode = "bad"
    node.stop()
    node.chained.unlink()
    node.start(*arguments)
    node.wait_chained(GOOD)  # a chain that is lost comes back at once: pods must not start without policy
