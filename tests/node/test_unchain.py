"""The way back to the primary alone: what is decided, and that nothing on the way can leave a node without network."""

import json
import os
import random
import signal
import threading

import pytest
from tests.node.conftest import (
    CHAINED,
    DEFAULT_ENTRY,
    HISTORY,
    NEWEST,
    SOURCE,
    Node,
    Reader,
    decided,
    wait_until,
    with_tail,
    written,
)

from cnichain.api.chainnode import Desired, NodeSpec, NodeState
from cnichain.api.reasons import Reason
from cnichain.node.conflist import parse
from cnichain.node.decision import Known, Remove
from cnichain.node.folder import Kind
from cnichain.node.splice import derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
ISTIO = {"type": "istio-cni", "log_level": "info"}
UNCHAINED = NodeSpec(desired=Desired.UNCHAINED)
BACKUP = f"{SOURCE}.cilium_bak"


def test_removes_our_file_when_the_primary_can_take_over() -> None:
    decision = decided({SOURCE: NEWEST, CHAINED: GOOD}, UNCHAINED)
    assert decision.action == Remove(CHAINED, GOOD)
    after = decided({SOURCE: NEWEST}, UNCHAINED)
    assert (after.state, after.verified, after.action) == (NodeState.UNCHAINED, True, None)


KEEPS: dict[str, tuple[dict[str, bytes | Kind], str]] = {
    "no primary": ({CHAINED: GOOD}, "nothing valid would be left"),
    "a broken primary": ({CHAINED: GOOD, SOURCE: b"{"}, "nothing valid would be left"),
    "24 a list named .conf": ({CHAINED: GOOD, "10-aws.conf": NEWEST}, "a list must be named .conflist"),
    "36 a broken backup": ({CHAINED: GOOD, BACKUP: b"{"}, "cni.exclusive=true"),
    "36 a backup of another network": (
        {CHAINED: GOOD, BACKUP: NEWEST.replace(b'"aws-cni",\n  "d', b'"x",\n  "d')},
        "nothing",
    ),
    "36 a backup of a chain": ({CHAINED: GOOD, "07-x.conflist.cilium_bak": GOOD}, "nothing valid"),
    "36 the backup's place is taken": ({CHAINED: GOOD, SOURCE: b"{", BACKUP: NEWEST}, "nothing valid would be left"),
    "a broken file would be next": (
        {CHAINED: GOOD, "06-x.conflist": b"{", SOURCE: NEWEST},
        "06-x.conflist would be picked",
    ),
    "30 our file is a symlink": ({CHAINED: Kind.SYMLINK, SOURCE: NEWEST}, "remove it by hand"),
}


@pytest.mark.parametrize(("files", "words"), KEEPS.values(), ids=KEEPS)
def test_keeps_it_while_the_node_would_be_without_network(files: dict[str, bytes | Kind], words: str) -> None:
    decision = decided(files, UNCHAINED)
    assert (decision.action, decision.state, decision.verified) == (None, NodeState.UNINSTALLING, False)
    assert words in decision.message


def test_restores_the_primarys_file_from_ciliums_backup_first() -> None:
    """Fault cases 35 and 36."""
    for files in ({CHAINED: GOOD, BACKUP: NEWEST}, {BACKUP: NEWEST}):
        decision = decided(dict(files), UNCHAINED)
        assert written(decision) == NEWEST
        assert decision.action is not None
        assert getattr(decision.action, "name", "") == SOURCE
        assert decision.state is NodeState.UNINSTALLING
    held = decided({BACKUP: NEWEST}, UNCHAINED, braked=True)
    assert (held.action, held.reason) == (None, Reason.CONFLIST_CONFLICT)


def test_leaves_a_file_that_is_no_chain() -> None:
    assert decided({SOURCE: NEWEST, CHAINED: NEWEST}, UNCHAINED).action is None


def test_tells_when_another_file_still_calls_cilium() -> None:
    decision = decided({"02-istio-cni.conflist": with_tail(GOOD, ISTIO), SOURCE: NEWEST}, UNCHAINED)
    assert (decision.reason, decision.verified) == (Reason.CONFLIST_SHADOWED, False)


def test_a_file_of_an_earlier_name_goes_too() -> None:
    known = Known(chained=True, chained_file="04-old.conflist")
    decision = decided({"04-old.conflist": GOOD, SOURCE: NEWEST}, UNCHAINED, known=known)
    assert decision.action == Remove("04-old.conflist", GOOD)


def test_a_frozen_node_keeps_everything() -> None:
    decision = decided({BACKUP: NEWEST, CHAINED: GOOD}, NodeSpec(desired=Desired.UNCHAINED, frozen=True))
    assert (decision.action, decision.state) == (None, NodeState.FROZEN)


def test_a_chain_that_comes_back_again_and_again_is_held() -> None:
    decision = decided({SOURCE: NEWEST, CHAINED: GOOD}, UNCHAINED, braked=True)
    assert (decision.action, decision.state) == (None, NodeState.CONFLICT)


@pytest.mark.timeout(900)
def test_kill_9_at_any_moment_of_the_way_back_is_made_good(node: Node) -> None:
    """Thirty times: the primary is put aside, the agent is killed somewhere, the next one completes the way."""
    chance = random.Random(20)  # noqa: S311 - moments of a test, the same in each run
    for turn in range(30):
        for path in node.conf.iterdir():
            path.unlink()
        (node.conf / (BACKUP if turn % 2 else SOURCE)).write_bytes(NEWEST)
        node.chained.write_bytes(GOOD)
        (node.root / "agent.log").unlink(missing_ok=True)
        node.give_spec(UNCHAINED)
        reader = Reader(node.conf)
        reader.start()
        try:
            agent = node.start()
            wait_until(lambda: node.said(message="Guarding"), "the agent has begun")
            threading.Event().wait(chance.uniform(0, 0.02))  # no condition to wait for: the kill is to fall anywhere
            os.kill(agent.pid, signal.SIGKILL)
            agent.wait(timeout=10)
            second = node.start()
            node.wait_said(state="Unchained", reason="NodeUnchained")
        finally:
            reader.end()
        os.kill(second.pid, signal.SIGKILL)
        second.wait(timeout=10)
        assert not reader.bad, f"turn {turn}: a runtime had no network: {reader.bad[:3]}"
        assert node.source.read_bytes() == NEWEST
        assert [name for name in node.names() if name != BACKUP] == [SOURCE], "something was left behind"
        assert (node.state / f"{CHAINED}.chain-bak").read_bytes() == GOOD


def test_a_node_goes_there_and_back(node: Node) -> None:
    node.source.write_bytes(NEWEST)
    for spec, names, state in ((NodeSpec(), [CHAINED, SOURCE], "InSync"), (UNCHAINED, [SOURCE], "Unchained")) * 2:
        (node.root / "agent.log").unlink(missing_ok=True)
        node.give_spec(spec)
        node.start()
        node.wait_said(state=state)
        assert node.names() == names
        node.stop()
    assert node.kept()["repairs"]["by_cause"] == {"Publish": 2}


def test_a_new_name_of_the_chained_file_leaves_no_old_one(node: Node) -> None:
    """conflistFile was changed: the new file is there before the old one goes, and third parties move with it."""
    node.source.write_bytes(NEWEST)
    node.start()
    node.wait_chained(GOOD)
    node.replace(CHAINED, with_tail(GOOD, ISTIO))
    copy = node.state / f"{CHAINED}.chain-bak"
    wait_until(lambda: copy.exists() and b"istio" in copy.read_bytes(), "istio-cni was seen")
    node.stop()
    node.give_spec(NodeSpec(conflist_file="04-chain.conflist"))
    reader = Reader(node.conf)
    reader.start()
    node.start()
    wait_until(lambda: node.names() == ["04-chain.conflist", SOURCE], f"the new name alone; {node.names()}")
    reader.end()
    assert not reader.bad
    assert parse((node.conf / "04-chain.conflist").read_bytes()).types[-2:] == ("cilium-cni", "istio-cni")
    wait_until(lambda: node.kept()["chained_file"] == "04-chain.conflist", "the new name is kept")
    node.stop()
    node.give_spec(NodeSpec(conflist_file=CHAINED))
    node.start()
    wait_until(lambda: node.names() == [CHAINED, SOURCE], "and back, behind the other name's place")
    assert json.loads(node.chained.read_bytes())["name"] == "aws-cni"


def test_the_old_name_stays_while_the_new_chain_cannot_be_written() -> None:
    known = Known(source_file=SOURCE, chained=True, chained_file="04-old.conflist")
    spec = NodeSpec(conflist_file="06-new.conflist")
    broken = decided({"04-old.conflist": GOOD, SOURCE: b"{"}, spec, known=known)
    assert (broken.action, broken.state) == (None, NodeState.WAIT_PRIMARY)
    gone = decided({"04-old.conflist": GOOD}, spec, known=known)
    assert gone.action is None, "the agent's own old file was taken for the primary's"
    first = decided({"04-old.conflist": GOOD, SOURCE: NEWEST}, spec, known=known)
    assert written(first) == GOOD
    assert first.cause is NodeState.PUBLISH, "a file of a new name was not deleted by anybody"
    then = decided({"04-old.conflist": GOOD, "06-new.conflist": GOOD, SOURCE: HISTORY["1.18.3"]}, spec, known=known)
    assert written(then) == derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY), (
        "the old one goes only after the new one is right"
    )
    frozen = NodeSpec(conflist_file="06-new.conflist", frozen=True)
    assert (
        decided({"04-old.conflist": GOOD, "06-new.conflist": GOOD, SOURCE: NEWEST}, frozen, known=known).action is None
    )
