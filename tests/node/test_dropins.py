"""Drop-ins, which newer runtimes append to the chain: judged against the real loader, and told (fault case 44)."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.node.conftest import (
    ALL_BINARIES,
    CHAINED,
    DEFAULT_ENTRY,
    HISTORY,
    NEWEST,
    SOURCE,
    Load,
    Node,
    folder_of,
    wait_until,
)

from cnichain.api.chainnode import Desired, NodeSpec, NodeState, OnCiliumDown
from cnichain.api.reasons import Reason
from cnichain.dev.toolchain import ensure
from cnichain.node import files
from cnichain.node.ciliumhealth import Health
from cnichain.node.conflist import parse
from cnichain.node.cri import ask, networks
from cnichain.node.decide import decide
from cnichain.node.decision import Decision, View
from cnichain.node.dropins import problem
from cnichain.node.folder import Kind
from cnichain.node.runtimeview import Loaded, RuntimeSeen
from cnichain.node.splice import derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
UPGRADED = derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY)
TYPES = ["aws-cni", "egress-cni", "portmap", "cilium-cni"]
DROP_IN = b'{"type":"tuning","sysctl":{"net.core.somaxconn":"500"}}'
CONTAINERD = RuntimeSeen(Loaded.VERIFIED, "containerd", "v2.1.4")

JUDGED: dict[str, tuple[bytes, str]] = {
    "a plugin": (DROP_IN, ""),
    "bytes that are not UTF-8 in a string": (b'{"type":"x","y":"\xff"}', ""),
    "a number beyond a float": (b'{"type":"x","y":1e400}', ""),
    "a number of 5,000 digits": (b'{"type":"x","y":' + b"1" * 5000 + b"}", ""),
    "null behind the type": (b'{"type":"x","type":null}', ""),
    "another case": (b'{"Type":"x"}', ""),
    "no content": (b"", "is empty"),
    "cut off": (DROP_IN[:20], "is not valid JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + DROP_IN, "is not valid JSON"),
    "trailing brace": (DROP_IN + b"}", "is not valid JSON"),
    "comment": (b"// mine\n" + DROP_IN, "is not valid JSON"),
    "NaN": (b'{"type":"x","y":NaN}', "NaN is no JSON"),
    "control character": (b'{"type":"x","y":"\x01"}', "is not valid JSON"),
    "a list": (b"[]", "is JSON, but a list"),
    "null": (b"null", "is JSON, but null"),
    "no type": (b"{}", 'has no "type"'),
    "a conflist": (NEWEST, 'has no "type"'),
    "type number": (b'{"type":7}', '"type" that is a number'),
    "name number": (b'{"type":"x","name":7}', '"name" that is a number'),
    "version number": ('{"type":"x","cniVerſion":0.4}'.encode(), "that is a number"),
    "ipam string": (b'{"type":"x","ipam":"host-local"}', '"ipam" that is a string'),
    "ipam's type": (b'{"type":"x","ipam":{"type":1}}', '"ipam.type" that is a number'),
    "capability": (b'{"type":"x","capabilities":{"a":"yes"}}', '"capabilities.a" that is a string'),
    "dns list": (b'{"type":"x","dns":[]}', '"dns" that is a list'),
}


def _conf(root: Path, content: bytes = GOOD, **drop_ins: bytes) -> Path:
    (root / "aws-cni").mkdir(parents=True)
    (root / CHAINED).write_bytes(content)
    for name, text in drop_ins.items():
        (root / "aws-cni" / f"{name}.conf").write_bytes(text)
    return root


def _decide(conf: Path, **view: Any) -> Decision:
    (conf / SOURCE).write_bytes(NEWEST)
    return decide(View(files.scan(conf), ALL_BINARIES, **{"runtime": CONTAINERD, **view}), NodeSpec())


@pytest.mark.controlplane
def test_the_real_loader_appends_a_drop_in_to_our_chain(tmp_path: Path, load: Load) -> None:
    conf = _conf(tmp_path / "conf", b=b'{"type":"second"}', a=b'{"type":"first"}')
    (conf / "aws-cni" / "c.json").write_bytes(b"{")  # only .conf counts
    (conf / "aws-cni" / "d.conf").mkdir()
    (found,) = load(conf)
    assert found["plugins"] == [*TYPES, "first", "second"], "in byte order, behind cilium-cni"
    decision = _decide(conf)
    assert decision.verified
    assert "containerd v2.1.4 also appends aws-cni/a.conf, aws-cni/b.conf." in decision.message
    assert "c.json" not in decision.message


@pytest.mark.controlplane
@pytest.mark.parametrize("name", JUDGED)
def test_a_drop_in_is_judged_as_the_real_loader_does(name: str, tmp_path: Path, load: Load) -> None:
    content, words = JUDGED[name]
    conf = _conf(tmp_path / "conf", x=content)
    (found,) = load(conf)
    assert bool(found["error"]) is bool(words), f"not what the loader makes of it: {found}"
    decision = _decide(conf)
    assert decision.verified is not bool(words)
    assert words in decision.message
    if words:
        assert decision.reason is Reason.DROP_IN_INVALID
        assert "aws-cni/x.conf" in decision.message


_TEXT = st.sampled_from(
    ['"', "{", "}", "[", "]", ",", ":", '"type":"x"', "1", "null", " ", "\\", "ÿ", '"TYPE":2', "\t"]
)
_numbers = count()


@pytest.mark.controlplane
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=12), st.lists(_TEXT, max_size=6).map(lambda parts: "".join(parts).encode()))
)
@example(content=b'{"type":"x"}')
@example(content=b'{"a":' * 20_000)
def test_no_node_is_unverified_for_what_the_real_loader_takes(content: bytes, tmp_path: Path, load: Load) -> None:
    if problem(content):
        (found,) = load(_conf(tmp_path / str(next(_numbers)), x=content))
        assert found["error"], f"the loader takes what is said to be wrong: {problem(content)}"


def _file_in_its_place(conf: Path) -> None:
    (conf / "aws-cni").rmdir()
    (conf / "aws-cni").write_bytes(b"")


def _inlined(conf: Path) -> None:
    (conf / "aws-cni" / "x.conf").write_bytes(b"{")
    for name in (CHAINED, SOURCE):
        (conf / name).write_bytes(_with_inlined((conf / name).read_bytes() if (conf / name).exists() else NEWEST))


def _with_inlined(content: bytes) -> bytes:
    return content.replace(b'"disableCheck"', b'"loadOnlyInlinedPlugins": "TRUE", "disableCheck"')


@pytest.mark.controlplane
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path, load: Load) -> None:
    conf = _conf(tmp_path / "conf")
    _file_in_its_place(conf)
    assert "not a directory" in load(conf)[0]["error"]
    decision = _decide(conf)
    assert (decision.verified, decision.reason) == (False, Reason.DROP_IN_INVALID)
    assert "aws-cni is a regular file, where only a folder of drop-ins may be" in decision.message


@pytest.mark.controlplane
def test_a_list_that_takes_no_drop_ins_is_not_broken_by_one(tmp_path: Path, load: Load) -> None:
    source = _with_inlined(NEWEST)
    chained = derive(parse(source), DEFAULT_ENTRY)
    conf = _conf(tmp_path / "conf", chained, x=b"{")
    (conf / SOURCE).write_bytes(source)
    assert load(conf)[0]["plugins"] == TYPES
    decision = decide(View(files.scan(conf), ALL_BINARIES, runtime=CONTAINERD), NodeSpec())
    assert decision.verified
    assert "x.conf" not in decision.message


BROKEN = folder_of({SOURCE: NEWEST, CHAINED: GOOD, "aws-cni": Kind.FOLDER}, {"aws-cni": {"50-x.conf": b"{}"}})


class TestDecision:
    """What a broken drop-in means for a node depends on what its runtime is known to be."""

    @pytest.mark.parametrize("version", ["2.1.0", "v2.1.4", "v2.2.0-rc.1", "3.0.1+k3s1"])
    def test_a_runtime_that_loads_it_unverifies_the_node(self, version: str) -> None:
        decision = decide(View(BROKEN, ALL_BINARIES, runtime=replace(CONTAINERD, version=version)), NodeSpec())
        assert (decision.state, decision.reason) == (NodeState.RUNTIME_STALE, Reason.DROP_IN_INVALID)
        assert not decision.verified
        assert 'aws-cni/50-x.conf has no "type"' in decision.message
        assert "Correct or remove it" in decision.message

    @pytest.mark.parametrize(
        "runtime",
        [
            None,
            RuntimeSeen(Loaded.UNKNOWN, answers=False),
            replace(CONTAINERD, version="1.7.27"),
            replace(CONTAINERD, version="v2.0.5"),
            replace(CONTAINERD, version="unknown"),
            replace(CONTAINERD, name="cri-o", version="3.0"),
        ],
        ids=["not asked", "silent", "1.7", "2.0", "no version", "CRI-O"],
    )
    def test_any_other_runtime_leaves_it_at_words(self, runtime: RuntimeSeen | None) -> None:
        decision = decide(View(BROKEN, ALL_BINARIES, runtime=runtime), NodeSpec())
        assert (decision.state, decision.verified) == (NodeState.IN_SYNC, True)
        assert "containerd 2.1 and newer cannot load the network aws-cni with it" in decision.message

    def test_a_runtime_that_could_not_load_it_is_not_nudged(self) -> None:
        seen = replace(CONTAINERD, loaded=Loaded.NOT_READY, message="containerd is not NetworkReady")
        decision = decide(View(BROKEN, ALL_BINARIES, runtime=seen, may_nudge=True), NodeSpec())
        assert (decision.action, decision.reason) == (None, Reason.DROP_IN_INVALID)

    def test_a_frozen_node_and_one_without_the_chain_are_not_verified_either(self) -> None:
        frozen = decide(View(BROKEN, ALL_BINARIES, runtime=CONTAINERD), NodeSpec(frozen=True))
        assert (frozen.state, frozen.reason, frozen.verified) == (NodeState.FROZEN, Reason.DROP_IN_INVALID, False)
        alone = replace(BROKEN, files=tuple(file for file in BROKEN.files if file.name != CHAINED))
        back = decide(View(alone, ALL_BINARIES, runtime=CONTAINERD), NodeSpec(desired=Desired.UNCHAINED))
        assert (back.state, back.verified) == (NodeState.UNINSTALLING, False)
        spec = NodeSpec(on_cilium_down=OnCiliumDown.OPEN)
        down = decide(View(alone, ALL_BINARIES, runtime=CONTAINERD, cilium=Health.DOWN), spec)
        assert (down.state, down.reason) == (NodeState.CILIUM_DOWN, Reason.CILIUM_DOWN_OPEN), "the worse news first"
        assert "50-x.conf" in down.message


@pytest.fixture
def containerd(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Starts a stand-in of containerd in the given version, with the real loader on the node's folder; its socket."""
    program = ensure("controlplane").path("cri-stand-in")
    path = tmp_path_factory.mktemp("cd") / "c.sock"  # short: a unix socket's path has 107 bytes
    started: list[subprocess.Popen[bytes]] = []

    def start(version: str) -> Path:
        command = [str(program), "-conf-dir", str(node.conf), "-socket", str(path), "-version", version]
        started.append(subprocess.Popen(command))
        wait_until(path.exists, "the stand-in listens")
        return path

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0, "the stand-in failed"


def _loaded(path: Path) -> list[str]:
    """Types of the plugins that the runtime has loaded."""
    found = networks(ask(path, 5)) or ()
    return [plugin["Network"]["type"] for network in found for plugin in network["Plugins"]]


def _last(node: Node) -> tuple[Any, Any]:
    said = [(line["state"], line["reason"]) for line in node.log() if "reason" in line]
    return said[-1] if said else ("", "")


def _start(node: Node, socket: Path) -> None:
    node.source.write_bytes(NEWEST)
    node.start("--runtime-socket", str(socket), "--poll-seconds", "0.3")
    node.wait_said(state="InSync", reason="ChainVerified")


def _drop_in(node: Node, content: bytes) -> Path:
    """As an installer does it: the whole file at once."""
    folder = node.conf / "aws-cni"
    folder.mkdir(exist_ok=True)
    (folder / ".50-x.tmp").write_bytes(content)
    return (folder / ".50-x.tmp").rename(folder / "50-x.conf")


@pytest.mark.controlplane
def test_a_good_drop_in_is_appended_and_told(node: Node, containerd: Callable[[str], Path]) -> None:
    socket = containerd("v2.1.4")
    _start(node, socket)
    _drop_in(node, DROP_IN)
    wait_until(lambda: "also appends aws-cni/50-x.conf" in node.log()[-1]["message"], "the drop-in is told")
    node.replace(SOURCE, HISTORY["1.18.3"])
    node.wait_chained(UPGRADED)
    wait_until(lambda: _loaded(socket) == [*TYPES, "tuning"], "the runtime has appended it to our chain")
    wait_until(lambda: _last(node) == ("InSync", "ChainVerified"), f"verified with it; {node.log()[-3:]}")


@pytest.mark.controlplane
def test_a_broken_drop_in_is_told_before_it_strikes_and_heals(node: Node, containerd: Callable[[str], Path]) -> None:
    socket = containerd("v2.1.4")
    _start(node, socket)
    bad = _drop_in(node, DROP_IN[:-1])
    wait_until(lambda: _last(node) == ("RuntimeStale", "DropInInvalid"), f"it is told; {node.log()[-3:]}")
    assert _loaded(socket) == TYPES, "the runtime has looked at it without being told: there is no time to tell"
    node.replace(SOURCE, HISTORY["1.18.3"])
    node.wait_chained(UPGRADED)  # the chain is guarded all the same
    wait_until(lambda: _loaded(socket) == [], "the real loader has no network")
    assert _last(node) == ("RuntimeStale", "DropInInvalid")
    bad.unlink()
    wait_until(lambda: _last(node) == ("InSync", "ChainVerified"), f"verified again; {node.log()[-3:]}")
    assert _loaded(socket) == TYPES, "the runtime does not look into that folder by itself: it was to be nudged"


@pytest.mark.controlplane
def test_an_older_runtime_is_not_held_responsible(node: Node, containerd: Callable[[str], Path]) -> None:
    _start(node, containerd("v1.7.27"))
    _drop_in(node, b"{}")
    wait_until(lambda: 'aws-cni/50-x.conf has no "type"' in node.log()[-1]["message"], "the drop-in is told")
    assert _last(node) == ("InSync", "ChainVerified")


def test_a_look_reads_the_drop_ins(tmp_path: Path) -> None:
    conf = _conf(tmp_path / "conf", x=DROP_IN)
    (conf / "aws-cni" / "link.conf").symlink_to("none")
    folder = files.scan(conf).get("aws-cni")
    assert folder is not None
    assert [(file.name, file.kind, file.content) for file in folder.children] == [
        ("link.conf", Kind.SYMLINK, None),
        ("x.conf", Kind.REGULAR, DROP_IN),
    ]
