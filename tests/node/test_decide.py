"""What the agent decides for what it sees: the state machine and the fault cases that are about files' contents."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.node.conftest import (
    ALL_BINARIES,
    CHAINED,
    DEFAULT_ENTRY,
    HISTORY,
    NEWEST,
    SOURCE,
    decided,
    folder_of,
    with_tail,
    written,
)

from cnichain.api.chainnode import CiliumEntry, NodeSpec, NodeState
from cnichain.api.reasons import Reason
from cnichain.node.conflist import parse
from cnichain.node.decide import decide
from cnichain.node.decision import Known, View
from cnichain.node.folder import Kind, digest
from cnichain.node.splice import cilium_entry, derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
ISTIO = {"type": "istio-cni", "log_level": "info"}
AFTER = Known(source_file=SOURCE, source_digest=digest(NEWEST), chained=True, last_good=GOOD)
SINGLE = b'{"cniVersion":"0.3.1","name":"aws-cni","type":"aws-cni"}'


def _edited(content: bytes, **values: Any) -> bytes:
    return json.dumps({**json.loads(content), **values}).encode()


def _twice() -> bytes:
    return with_tail(GOOD, {"type": "cilium-cni"})


def _middle() -> bytes:
    plugins = json.loads(GOOD)["plugins"]
    return _edited(GOOD, plugins=[plugins[0], plugins[3], *plugins[1:3]])


WRITES: dict[str, tuple[dict[str, bytes | Kind], Known, NodeState, bytes]] = {
    "first publish": ({SOURCE: NEWEST}, Known(), NodeState.PUBLISH, GOOD),
    "34 deleted": ({SOURCE: NEWEST}, AFTER, NodeState.DRIFT_DEST, GOOD),
    "31 cilium-cni twice": ({SOURCE: NEWEST, CHAINED: _twice()}, AFTER, NodeState.DRIFT_DEST, GOOD),
    "31 cilium-cni in the middle": ({SOURCE: NEWEST, CHAINED: _middle()}, AFTER, NodeState.DRIFT_DEST, GOOD),
    "31 wrong chaining mode": (
        {SOURCE: NEWEST, CHAINED: GOOD.replace(b'mode": "aws-cni"', b'mode": "portmap"')},
        AFTER,
        NodeState.DRIFT_DEST,
        GOOD,
    ),
    "cilium-cni lost": ({SOURCE: NEWEST, CHAINED: NEWEST}, AFTER, NodeState.DRIFT_DEST, GOOD),
    "corrupt": ({SOURCE: NEWEST, CHAINED: GOOD[:100]}, AFTER, NodeState.DRIFT_DEST, GOOD),
    "empty": ({SOURCE: NEWEST, CHAINED: b""}, AFTER, NodeState.DRIFT_DEST, GOOD),
    "stale at the first look": (
        {SOURCE: NEWEST, CHAINED: derive(parse(HISTORY["1.12.6"]), DEFAULT_ENTRY)},
        Known(),
        NodeState.DRIFT_SOURCE,
        GOOD,
    ),
    "32 istio-cni stays": (
        {SOURCE: NEWEST, CHAINED: with_tail(derive(parse(HISTORY["1.13.0"]), DEFAULT_ENTRY), ISTIO)},
        replace(AFTER, source_digest=digest(HISTORY["1.13.0"])),
        NodeState.DRIFT_SOURCE,
        GOOD.replace(b"\n]\n}", b'\n,\n{\n      "type": "istio-cni",\n      "log_level": "info"\n    }\n]\n}'),
    ),
    "26 a copy sorts before the source": ({"04-x.conflist": GOOD, SOURCE: NEWEST}, Known(), NodeState.PUBLISH, GOOD),
    "26 another plugin hijacks the name": (
        {"04-x.conflist": _edited(NEWEST, plugins=[{"type": "portmap"}]), SOURCE: NEWEST},
        Known(),
        NodeState.PUBLISH,
        GOOD,
    ),
    "25 two files of the primary: byte order": (
        {SOURCE: NEWEST, "11-aws.conflist": HISTORY["1.7.10"]},
        Known(),
        NodeState.PUBLISH,
        GOOD,
    ),
    "36 a stale .cilium_bak is no source": (
        {f"00-aws.conflist{'.cilium_bak'}": HISTORY["1.7.10"], SOURCE: NEWEST},
        Known(),
        NodeState.PUBLISH,
        GOOD,
    ),
    "23 single plugin": (
        {"10-aws.conf": SINGLE},
        Known(),
        NodeState.PUBLISH,
        b'{"cniVersion":"0.3.1","name":"aws-cni","plugins":[{"cniVersion":"0.3.1","name":"aws-cni","type":"aws-cni"},'
        + DEFAULT_ENTRY.encode()
        + b"]}",
    ),
    "43 a file name that is not UTF-8": ({"\udcff.conflist": b"{", SOURCE: NEWEST}, Known(), NodeState.PUBLISH, GOOD),
}


@pytest.mark.parametrize(("files", "known", "cause", "content"), WRITES.values(), ids=WRITES)
def test_writes_the_chain(files: dict[str, bytes | Kind], known: Known, cause: NodeState, content: bytes) -> None:
    decision = decided(files, known=known)
    assert written(decision) == content
    assert decision.cause is cause, decision.message
    assert decision.reason is Reason.CHAIN_REPAIRED
    again = decided({**files, CHAINED: content}, known=known)
    assert again.action is None, f"written again and again: {again.message}"
    assert again.in_place


UPGRADES = list(zip(list(HISTORY)[:-1], list(HISTORY)[1:], strict=True))


@pytest.mark.parametrize(("old", "new"), UPGRADES + [(new, old) for old, new in UPGRADES])
def test_follows_each_upgrade_and_downgrade_of_the_vpc_cni(old: str, new: str) -> None:
    """Fault case 33."""
    before = derive(parse(HISTORY[old]), DEFAULT_ENTRY)
    known = Known(source_file=SOURCE, source_digest=digest(HISTORY[old]), chained=True, last_good=before)
    decision = decided({SOURCE: HISTORY[new], CHAINED: before}, known=known)
    assert written(decision) == derive(parse(HISTORY[new]), DEFAULT_ENTRY)
    assert decision.cause is NodeState.DRIFT_SOURCE
    assert f"{SOURCE} has changed" in decision.message


SAYS: dict[str, tuple[dict[str, bytes | Kind], NodeState, Reason, str]] = {
    "in sync": ({SOURCE: NEWEST, CHAINED: GOOD}, NodeState.IN_SYNC, Reason.CHAIN_VERIFIED, SOURCE),
    "2 empty folder": ({}, NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_MISSING, "network aws-cni"),
    "other networks only": (
        {"10-x.conflist": NEWEST.replace(b'"name": "aws-cni",\n  "d', b'"name": "other",\n  "d')},
        NodeState.WAIT_PRIMARY,
        Reason.PRIMARY_CONFLIST_MISSING,
        "network aws-cni",
    ),
    "11 source empty": (
        {SOURCE: b"", CHAINED: GOOD},
        NodeState.WAIT_PRIMARY,
        Reason.PRIMARY_CONFLIST_INVALID,
        f"{SOURCE} is empty. {CHAINED} stays",
    ),
    "12 source cut": ({SOURCE: NEWEST[:99]}, NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_INVALID, SOURCE),
    "source is a symlink": (
        {SOURCE: Kind.SYMLINK},
        NodeState.WAIT_PRIMARY,
        Reason.PRIMARY_CONFLIST_INVALID,
        "symbolic link",
    ),
    "12 source broken, a copy is there": (
        {SOURCE: b"{", "99-copy.conflist": HISTORY["1.7.10"], CHAINED: GOOD},
        NodeState.WAIT_PRIMARY,
        Reason.PRIMARY_CONFLIST_INVALID,
        SOURCE,
    ),
    "35 put aside by an exclusive Cilium": (
        {f"{SOURCE}.cilium_bak": NEWEST, CHAINED: GOOD},
        NodeState.WAIT_PRIMARY,
        Reason.PRIMARY_CONFLIST_MISSING,
        "cni.exclusive=true",
    ),
    "30 chained is a symlink": (
        {SOURCE: NEWEST, CHAINED: Kind.SYMLINK},
        NodeState.DRIFT_DEST,
        Reason.CONFLIST_UNSAFE_FILE,
        "symbolic link",
    ),
    "30 chained is a folder": (
        {SOURCE: NEWEST, CHAINED: Kind.FOLDER},
        NodeState.DRIFT_DEST,
        Reason.CONFLIST_UNSAFE_FILE,
        "folder",
    ),
    "27 another file without Cilium first": (
        {"02-istio-cni.conflist": with_tail(NEWEST, ISTIO), SOURCE: NEWEST, CHAINED: GOOD},
        NodeState.SHADOWED,
        Reason.CONFLIST_SHADOWED,
        "02-istio-cni.conflist sorts before 05-cilium.conflist, so the runtime uses it: pods start WITHOUT policy",
    ),
    "27 istio's own file carries the chain": (
        {"02-istio-cni.conflist": with_tail(GOOD, ISTIO), SOURCE: NEWEST, CHAINED: GOOD},
        NodeState.IN_SYNC,
        Reason.CHAIN_VERIFIED,
        "The runtime uses 02-istio-cni.conflist",
    ),
    "27 istio's own file is stale": (
        {
            "02-istio-cni.conflist": with_tail(derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY), ISTIO),
            SOURCE: NEWEST,
            CHAINED: GOOD,
        },
        NodeState.SHADOWED,
        Reason.CONFLIST_SHADOWED,
        'plugin aws-cni: "mtu" is "8921" instead of "9001"',
    ),
    "28 multus delegates to our file": (
        {
            "00-multus.conf": b'{"cniVersion":"0.3.1","name":"multus","type":"multus","clusterNetwork":'
            b'"/host/etc/cni/net.d/05-cilium.conflist"}',
            SOURCE: NEWEST,
            CHAINED: GOOD,
        },
        NodeState.IN_SYNC,
        Reason.CHAIN_VERIFIED,
        "00-multus.conf",
    ),
    "28 multus delegates to the primary": (
        {
            "00-multus.conf": b'{"cniVersion":"0.3.1","name":"multus","type":"multus","delegates":[{"plugins":[]}]}',
            SOURCE: NEWEST,
            CHAINED: GOOD,
        },
        NodeState.SHADOWED,
        Reason.CONFLIST_SHADOWED,
        "WITHOUT policy",
    ),
    "29 a dotfile wins": (
        {".05-x.conflist": NEWEST, SOURCE: NEWEST, CHAINED: GOOD},
        NodeState.SHADOWED,
        Reason.CONFLIST_SHADOWED,
        ".05-x.conflist",
    ),
    "a broken file first": (
        {"00-x.conf": b"{", SOURCE: NEWEST, CHAINED: GOOD},
        NodeState.SHADOWED,
        Reason.CONFLIST_SHADOWED,
        "containerd has no network then",
    ),
    "24 a list in a .conf file first": (
        {"00-x.conf": NEWEST, SOURCE: NEWEST, CHAINED: GOOD},
        NodeState.SHADOWED,
        Reason.CONFLIST_SHADOWED,
        "is a list, but is not named .conflist. containerd has no network",
    ),
    "42 a FIFO first": (
        {"00-x.conflist": Kind.OTHER, SOURCE: NEWEST, CHAINED: GOOD},
        NodeState.SHADOWED,
        Reason.CONFLIST_SHADOWED,
        "FIFO",
    ),
    "Cilium's temporary file is none of a runtime's": (
        {f".{CHAINED}123": b"", SOURCE: NEWEST, CHAINED: GOOD},
        NodeState.IN_SYNC,
        Reason.CHAIN_VERIFIED,
        SOURCE,
    ),
    "another layout is no drift": (
        {SOURCE: NEWEST, CHAINED: json.dumps(json.loads(GOOD)).encode()},
        NodeState.IN_SYNC,
        Reason.CHAIN_VERIFIED,
        SOURCE,
    ),
    "32 istio-cni behind ours is no drift": (
        {SOURCE: NEWEST, CHAINED: with_tail(GOOD, ISTIO)},
        NodeState.IN_SYNC,
        Reason.CHAIN_VERIFIED,
        SOURCE,
    ),
}


@pytest.mark.parametrize(("files", "state", "reason", "words"), SAYS.values(), ids=SAYS)
def test_changes_nothing_and_says_why(
    files: dict[str, bytes | Kind], state: NodeState, reason: Reason, words: str
) -> None:
    decision = decided(files, known=AFTER)
    assert decision.action is None, f"a file would be changed: {decision.message}"
    assert (decision.state, decision.reason) == (state, reason), decision.message
    assert words in decision.message
    assert decision.verified is (state is NodeState.IN_SYNC)


def test_names_an_owner_that_is_not_root() -> None:
    """Fault case 49."""
    folder = folder_of({SOURCE: NEWEST, CHAINED: GOOD})
    files = tuple(replace(file, stranger=1000) for file in folder.files)
    decision = decide(View(replace(folder, files=files), ALL_BINARIES), NodeSpec())
    assert decision.verified
    assert f"{SOURCE} belongs to the user 1000, not to root" in decision.message


@pytest.mark.parametrize("kind", ["cilium-cni", "egress-cni"])
def test_no_new_chain_while_a_binary_is_missing(kind: str) -> None:
    decision = decided({SOURCE: NEWEST}, binaries=ALL_BINARIES - {kind})
    assert decision.action is None
    assert (decision.state, decision.reason) == (NodeState.WAIT_CILIUM, Reason.PLUGIN_BINARY_MISSING)
    assert kind in decision.message
    assert f"the runtime uses {SOURCE}, and pods start WITHOUT policy" in decision.message


def test_a_chain_in_place_is_reported_when_a_binary_goes_missing() -> None:
    decision = decided({SOURCE: NEWEST, CHAINED: GOOD}, binaries=ALL_BINARIES - {"cilium-cni"})
    assert (decision.action, decision.state, decision.verified) == (None, NodeState.WAIT_CILIUM, False)
    assert decision.missing == ("cilium-cni",)


def test_an_update_waits_for_the_new_binary_alone() -> None:
    old = derive(parse(HISTORY["1.12.6"]), DEFAULT_ENTRY)
    waiting = decided({SOURCE: NEWEST, CHAINED: old}, binaries=ALL_BINARIES - {"egress-cni"})
    assert waiting.action is None, "pods that could start with the old chain could not with the new one"
    stale = derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY)
    assert written(decided({SOURCE: NEWEST, CHAINED: stale}, binaries=ALL_BINARIES - {"cilium-cni"})) == GOOD


def test_a_lost_tail_comes_back_only_with_its_binary() -> None:
    known = replace(AFTER, last_good=with_tail(GOOD, ISTIO))
    assert parse(written(decided({SOURCE: NEWEST}, known=known))).types[-1] == "istio-cni"
    gone = decided({SOURCE: NEWEST}, known=known, binaries=ALL_BINARIES - {"istio-cni"})
    assert written(gone) == GOOD


def test_frozen_reports_and_changes_nothing() -> None:
    frozen = NodeSpec(frozen=True)
    drifted = decided({SOURCE: NEWEST}, frozen, known=AFTER)
    assert (drifted.action, drifted.state, drifted.verified) == (None, NodeState.FROZEN, False)
    assert "was deleted" in drifted.message
    assert decided({SOURCE: NEWEST, CHAINED: GOOD}, frozen).verified


def test_the_brake_holds_back_and_says_so() -> None:
    decision = decided({SOURCE: NEWEST, CHAINED: NEWEST}, known=AFTER, braked=True)
    assert (decision.action, decision.state) == (None, NodeState.CONFLICT)
    assert decision.reason is Reason.CONFLIST_CONFLICT
    assert decision.foreign == digest(NEWEST)


def test_without_a_spec_nothing_is_touched() -> None:
    decision = decide(View(folder_of({SOURCE: NEWEST}), ALL_BINARIES), None)
    assert (decision.action, decision.state, decision.reason) == (None, NodeState.UNKNOWN, Reason.NODE_SPEC_MISSING)


@pytest.mark.parametrize("name", ["../passwd.conflist", "05-cilium.conf", ""])
def test_a_name_that_is_no_conflist_is_refused(name: str) -> None:
    decision = decided({SOURCE: NEWEST}, NodeSpec(conflist_file=name))
    assert (decision.action, decision.reason) == (None, Reason.SPEC_INVALID)


def test_the_entry_follows_the_spec() -> None:
    entry = CiliumEntry(enable_debug=True, log_file="/var/log/cilium.log")
    decision = decided({SOURCE: NEWEST, CHAINED: GOOD}, NodeSpec(cilium=entry), known=AFTER)
    assert written(decision) == derive(parse(NEWEST), cilium_entry(entry, "aws-cni"))
    assert '"enable-debug" is false instead of true' in decision.message
