"""A file that takes the chain's place: set aside when it came later, reported when it is not the agent's to move."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.conftest import (
    CHAINED,
    DEFAULT_ENTRY,
    HISTORY,
    NEWEST,
    SOURCE,
    Node,
    decided,
    wait_until,
    with_tail,
)

from cnichain.api.chainnode import NodeSpec, NodeState, OnShadow
from cnichain.api.reasons import Reason
from cnichain.node import movedaside
from cnichain.node.conflist import parse
from cnichain.node.decision import Known, SetAside
from cnichain.node.files import ChangedMeanwhileError, WriteFailedError, scan
from cnichain.node.folder import Kind, digest
from cnichain.node.splice import derive
from cnichain.node.state import MAX_ASIDE, StateDir

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
VERIFIED = Known(source_file=SOURCE, source_digest=digest(NEWEST), chained=True, last_good=GOOD, verified=True)
FLANNEL = b'{"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel"},{"type":"portmap"}]}'
MULTUS = b'{"cniVersion":"0.3.1","name":"multus","type":"multus","delegates":[{"plugins":[]}]}'
STALE = with_tail(derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY), {"type": "istio-cni"})
FIRST = "00-other.conflist"

GOES: dict[str, tuple[str, bytes]] = {
    "27 another file without Cilium": ("02-istio-cni.conflist", with_tail(NEWEST, {"type": "istio-cni"})),
    "29 a dotfile": (".05-x.conflist", NEWEST),
    "another primary": (FIRST, FLANNEL),
    "a broken file": (FIRST, b"{"),
    "24 a list in a .conf file": ("00-x.conf", NEWEST),
}


@pytest.mark.parametrize(("name", "content"), GOES.values(), ids=GOES)
def test_what_comes_later_and_takes_the_chains_place_goes_aside(name: str, content: bytes) -> None:
    decision = decided({name: content, SOURCE: NEWEST, CHAINED: GOOD}, known=VERIFIED)
    assert decision.action == SetAside(name, content), decision.message
    assert (decision.state, decision.cause) == (NodeState.SHADOWED, NodeState.SHADOWED)
    assert not decision.verified


LEFT: dict[str, tuple[bytes | Kind, Known, NodeSpec, str]] = {
    "it was there before the chain": (FLANNEL, replace(VERIFIED, verified=False), NodeSpec(), "before the chain did"),
    "onShadow is Report": (FLANNEL, VERIFIED, NodeSpec(on_shadow=OnShadow.REPORT), "onShadow is Report"),
    "28 multus": (MULTUS, VERIFIED, NodeSpec(), "Point it at 05-cilium.conflist"),
    "27 a stale chain with policy": (STALE, VERIFIED, NodeSpec(), "Its owner has to bring it up to date"),
    "a symbolic link": (Kind.SYMLINK, VERIFIED, NodeSpec(), "Remove it by hand"),
    "42 a FIFO": (Kind.OTHER, VERIFIED, NodeSpec(), "Remove it by hand"),
}


@pytest.mark.parametrize(("content", "known", "spec", "words"), LEFT.values(), ids=LEFT)
def test_what_is_not_the_agents_to_move_is_reported(
    content: bytes | Kind, known: Known, spec: NodeSpec, words: str
) -> None:
    name = "00-multus.conf" if content is MULTUS else FIRST
    decision = decided({name: content, SOURCE: NEWEST, CHAINED: GOOD}, spec, known=known)
    assert decision.action is None, f"it would be moved: {decision.message}"
    assert (decision.state, decision.reason) == (NodeState.SHADOWED, Reason.CONFLIST_SHADOWED)
    assert words in decision.message


def test_a_frozen_node_moves_nothing() -> None:
    decision = decided({FIRST: FLANNEL, SOURCE: NEWEST, CHAINED: GOOD}, NodeSpec(frozen=True), known=VERIFIED)
    assert decision.action is None
    assert "Frozen, no file is changed" in decision.message


def test_a_broken_file_that_someone_may_be_writing_is_waited_for() -> None:
    files: dict[str, bytes | Kind] = {FIRST: b"{", SOURCE: NEWEST, CHAINED: GOOD}
    decision = decided(files, known=VERIFIED, first_is_settled=False)
    assert decision.action is None
    assert decision.passing, "it would be reported before it is known to last"


def test_a_writer_that_does_not_give_in_is_held_back_from() -> None:
    decision = decided({FIRST: FLANNEL, SOURCE: NEWEST, CHAINED: GOOD}, known=VERIFIED, braked=True)
    assert decision.action is None
    assert (decision.state, decision.reason) == (NodeState.CONFLICT, Reason.CONFLIST_CONFLICT)
    assert "WITHOUT policy" in decision.message


@pytest.fixture
def guarded(node: Node) -> Node:
    """A node whose chain the agent has verified."""
    node.source.write_bytes(NEWEST)
    node.start()
    node.wait_said(state="InSync")
    return node


def _kept(node: Node) -> dict[str, bytes]:
    folder = node.state / "aside"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.mark.parametrize("content", [FLANNEL, b"{"], ids=["valid", "broken"])
def test_the_chain_counts_again_and_the_file_is_kept(guarded: Node, content: bytes) -> None:
    guarded.replace(FIRST, content)
    wait_until(lambda: guarded.names() == [CHAINED, SOURCE], f"{FIRST} goes; there is {guarded.names()}")
    wait_until(lambda: _kept(guarded) == {FIRST: content}, f"it is kept whole; kept is {_kept(guarded)}")
    wait_until(lambda: guarded.kept()["repairs"]["by_cause"].get("Shadowed") == 1, "it is counted as a repair")
    assert guarded.chained.read_bytes() == GOOD
    assert guarded.said(cause="Shadowed", file=f"'{FIRST}'")


def test_a_file_that_is_written_slowly_is_taken_when_it_is_whole(guarded: Node) -> None:
    """As a shell's redirection writes it: empty first, then in parts."""
    parts = [FLANNEL[at : at + 12] for at in range(0, len(FLANNEL), 12)]
    pace = threading.Event()
    with (guarded.conf / FIRST).open("wb", buffering=0) as file:
        for part in parts:
            file.write(part)
            pace.wait(0.05)
    wait_until(lambda: _kept(guarded) == {FIRST: FLANNEL}, f"it is kept whole; kept is {_kept(guarded)}")


def test_a_war_about_the_first_place_ends_in_a_conflict(guarded: Node) -> None:
    for _ in range(12):
        guarded.replace(FIRST, FLANNEL)
        wait_until(
            lambda: FIRST not in guarded.names() or guarded.said(state="Conflict"), "the agent answers or holds back"
        )
        if guarded.said(state="Conflict"):
            break
    guarded.wait_said(state="Conflict", reason="ConflistConflict")
    wait_until(lambda: FIRST not in guarded.names(), "a second later it tries again, and the other one has stopped")


def test_what_was_there_before_the_chain_stays(node: Node) -> None:
    node.source.write_bytes(NEWEST)
    (node.conf / FIRST).write_bytes(FLANNEL)
    node.start()
    node.wait_said(state="Shadowed")
    node.stop()
    node.start()
    wait_until(lambda: sum(line.get("state") == "Shadowed" for line in node.log()) >= 2, "the next agent says it too")
    assert (node.conf / FIRST).read_bytes() == FLANNEL


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Where the file cannot be kept it stays in the folder, under a name that no runtime loads, until it can be."""
    (tmp_path / FIRST).write_bytes(FLANNEL)

    def full(name: str, content: bytes) -> None:
        raise WriteFailedError("No space left on device (ENOSPC)")

    folder = scan(tmp_path)
    with pytest.raises(WriteFailedError):
        movedaside.set_aside(tmp_path, FIRST, FLANNEL, folder_identity=folder.identity, keep=full)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [FLANNEL]
    assert not scan(tmp_path).runtime_files()
    state = StateDir(tmp_path / "state")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        movedaside.keep_aside(descriptor, state.keep_aside)
    finally:
        os.close(descriptor)
    assert (tmp_path / "state" / "aside" / FIRST).read_bytes() == FLANNEL
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_file_that_has_changed_since_is_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / FIRST).write_bytes(GOOD)
    state = StateDir(tmp_path / "state")
    folder = scan(tmp_path)
    with pytest.raises(ChangedMeanwhileError):
        movedaside.set_aside(tmp_path, FIRST, FLANNEL, folder_identity=folder.identity, keep=state.keep_aside)
    assert (tmp_path / FIRST).read_bytes() == GOOD
    assert state.aside() == ()


def test_a_flood_of_names_does_not_fill_the_disk(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    for number in range(MAX_ASIDE + 5):
        state.keep_aside(f"{number:03}.conflist", FLANNEL)
        os.utime(tmp_path / "state" / "aside" / f"{number:03}.conflist", (number, number))
    assert state.aside() == tuple(f"{number:03}.conflist" for number in range(5, MAX_ASIDE + 5))
