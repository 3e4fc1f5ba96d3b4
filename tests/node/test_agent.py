"""The real agent process on real folders, with an API server that is away all the time (fault case 45)."""

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.node.conftest import CHAINED, DEFAULT_ENTRY, HISTORY, NEWEST, SOURCE, Node, fill_disk, wait_until, with_tail

from cnichain.api.chainnode import Desired, NodeSpec
from cnichain.node.conflist import RUNTIME_EXTENSIONS, parse
from cnichain.node.splice import derive


def chain(version: str) -> bytes:
    """What the chained conflist should be for a VPC CNI version."""
    return derive(parse(HISTORY[version]), DEFAULT_ENTRY)


GOOD = chain("1.20.0")


@pytest.fixture
def guarded(node: Node) -> Node:
    """A node whose chain the agent has just published."""
    node.source.write_bytes(NEWEST)
    node.start()
    node.wait_chained(GOOD)
    node.wait_said(state="InSync", reason="ChainVerified")
    return node


def _repairs(node: Node) -> list[str]:
    return [line["cause"] for line in node.log() if line["message"] == "The chain was repaired"]


def test_publishes_repairs_and_follows(guarded: Node) -> None:
    """Fault cases 11, 33 and 34, and a file that another program has damaged."""
    steps: list[tuple[Callable[[], object], bytes]] = [
        (lambda: guarded.replace(SOURCE, HISTORY["1.18.3"]), chain("1.18.3")),
        (guarded.chained.unlink, chain("1.18.3")),
        (lambda: guarded.chained.write_bytes(b'{"half'), chain("1.18.3")),
        (lambda: guarded.source.write_bytes(NEWEST), GOOD),  # in place, as some installers do
    ]
    for number, (change, expected) in enumerate(steps, start=2):
        change()
        guarded.wait_chained(expected)
        wait_until(lambda: len(_repairs(guarded)) == number, f"{number} repairs in the log: {_repairs(guarded)}")  # noqa: B023 - called in this round only
    assert _repairs(guarded) == ["Publish", "DriftSource", "DriftDest", "DriftDest", "DriftSource"]
    durations = [line["durationMilliseconds"] for line in guarded.log() if "durationMilliseconds" in line]
    assert all(isinstance(duration, int) for duration in durations)
    assert guarded.names() == [CHAINED, SOURCE], "something was left in the folder"


def test_a_half_written_source_changes_nothing(guarded: Node) -> None:
    """Fault case 12."""
    before = guarded.snapshot()[CHAINED]
    guarded.source.write_bytes(HISTORY["1.18.3"][:150])
    guarded.wait_said(state="WaitPrimary", reason="PrimaryConflistInvalid")
    assert guarded.snapshot()[CHAINED] == before, "the last good chain was touched"
    guarded.source.write_bytes(HISTORY["1.18.3"])
    guarded.wait_chained(chain("1.18.3"))


def test_a_half_written_source_is_not_reported_when_it_is_over_at_once(guarded: Node) -> None:
    guarded.source.write_bytes(b"")
    guarded.source.write_bytes(HISTORY["1.18.3"])
    guarded.wait_chained(chain("1.18.3"))
    assert not guarded.said(reason="PrimaryConflistInvalid")


def test_a_replaced_folder_is_guarded_again(guarded: Node) -> None:
    """Fault case 5; the poll is 30 s, so the test ends in time only when the events do their work."""
    guarded.conf.rename(guarded.conf.with_name("old"))
    guarded.wait_said(reason="ConfDirUnusable")
    guarded.conf.mkdir()
    guarded.replace(SOURCE, NEWEST)
    guarded.wait_chained(GOOD)
    guarded.chained.unlink()
    guarded.wait_chained(GOOD)
    assert (guarded.conf.with_name("old") / CHAINED).read_bytes() == GOOD


def test_a_folder_that_is_mounted_over_is_found_by_the_poll(node: Node) -> None:
    """Fault case 6."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    node.source.write_bytes(NEWEST)
    node.start("--poll-seconds", "0.2")
    node.wait_chained(GOOD)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(node.conf)]
    done = subprocess.run(mount, capture_output=True, timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    try:
        node.replace(SOURCE, HISTORY["1.18.3"])
        node.wait_chained(chain("1.18.3"))
    finally:
        subprocess.run(["umount", "--lazy", str(node.conf)], timeout=10, check=True)
    node.wait_chained(GOOD)
    node.chained.unlink()
    node.wait_chained(GOOD)


def test_a_missing_binary_holds_the_chain_back_until_it_comes(node: Node) -> None:
    """Fault case 40."""
    (node.bin / "cilium-cni").unlink()
    node.source.write_bytes(NEWEST)
    node.start()
    node.wait_said(state="WaitCilium", reason="PluginBinaryMissing")
    assert node.names() == [SOURCE]
    node.install("cilium-cni")
    node.wait_chained(GOOD)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_changes_no_file(guarded: Node, number: int) -> None:
    before = guarded.snapshot()
    agent = guarded._agents[0]
    agent.send_signal(number)
    assert agent.wait(timeout=10) == 0
    assert guarded.snapshot() == before


def test_a_restart_on_a_good_node_writes_nothing(guarded: Node) -> None:
    before = guarded.snapshot()
    guarded._agents[0].send_signal(signal.SIGTERM)
    guarded._agents[0].wait(timeout=10)
    guarded.start()
    wait_until(
        lambda: sum(line.get("state") == "InSync" and "reason" in line for line in guarded.log()) == 2, "verified"
    )
    assert guarded.snapshot() == before


@pytest.mark.parametrize("attempt", range(5))
def test_kill_9_at_any_point_leaves_a_whole_file_that_the_next_agent_completes(node: Node, attempt: int) -> None:
    """Fault case 37: the source is rewritten without end while the agent is killed."""
    node.source.write_bytes(NEWEST)
    agent = node.start()
    node.wait_chained(GOOD)
    versions = ["1.18.3", "1.20.0"]
    for turn in range(7 + 3 * attempt):
        node.replace(SOURCE, HISTORY[versions[turn % 2]])
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait(timeout=10)
    assert node.chained.read_bytes() in (GOOD, chain("1.18.3")), "a broken file was left"
    assert [name for name in node.names() if name.endswith(RUNTIME_EXTENSIONS)] == [CHAINED, SOURCE]
    node.replace(SOURCE, HISTORY["1.7.10"])
    (node.conf / f".{CHAINED}.chain-1-dead.tmp").write_text("left by a crash")
    node.start()
    node.wait_chained(chain("1.7.10"))
    wait_until(lambda: node.names() == [CHAINED, SOURCE], "the crash's temporary file is removed")


def test_the_second_of_two_agents_waits_and_takes_over(guarded: Node) -> None:
    """Fault case 38."""
    second = guarded.start()
    guarded.wait_said(message="Another agent guards this node; waiting until it ends")
    guarded.chained.unlink()
    guarded.wait_chained(GOOD)
    assert guarded.said(pid=guarded._agents[0].pid)
    assert not guarded.said(pid=second.pid), "two agents guard at once"
    os.kill(guarded._agents[0].pid, signal.SIGKILL)
    guarded.wait_said(pid=second.pid, message="Guarding")
    guarded.chained.unlink()
    guarded.wait_chained(GOOD)


def test_a_war_of_two_writers_is_stopped_and_told(guarded: Node) -> None:
    """Fault case 35. The other writer answers each of our writes, until we hold back."""
    foreign = [NEWEST + b" " * turn for turn in range(1, 12)]
    for content in foreign:
        guarded.replace(CHAINED, content)
        wait_until(
            lambda: guarded.chained.read_bytes() == GOOD or guarded.said(state="Conflict"),
            "the agent answers, or says that it holds back",
        )
        if guarded.said(state="Conflict"):
            break
    assert guarded.said(state="Conflict", reason="ConflistConflict")
    assert _repairs(guarded).count("DriftDest") <= 5, "the war went on too long"
    guarded.wait_chained(GOOD)  # a second later it tries again, and the other one has stopped


@pytest.mark.parametrize("kind", ["symlink", "folder"])
def test_an_unsafe_file_is_left_alone_until_it_is_gone(node: Node, kind: str) -> None:
    """Fault case 30."""
    node.source.write_bytes(NEWEST)
    if kind == "symlink":
        node.chained.symlink_to(node.root / "elsewhere")
    else:
        node.chained.mkdir()
    node.start()
    node.wait_said(reason="ConflistUnsafeFile")
    assert not (node.root / "elsewhere").exists()
    node.chained.unlink() if kind == "symlink" else node.chained.rmdir()
    node.wait_chained(GOOD)


def test_a_write_that_fails_is_reported_and_tried_again(node: Node) -> None:
    """Fault cases 7 and 8."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(node.conf)]
    done = subprocess.run(mount, capture_output=True, timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    try:
        node.source.write_bytes(NEWEST)
        fill_disk(node.conf / "filler")
        agent = node.start()
        node.wait_said(reason="ConflistWriteFailed", state="Publish")
        assert any("ENOSPC" in line["message"] for line in node.log())
        (node.conf / "filler").unlink()
        node.wait_chained(GOOD)
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=10)
    finally:
        subprocess.run(["umount", str(node.conf)], timeout=10, check=True)


def test_the_way_back_removes_our_file_and_keeps_a_copy(node: Node) -> None:
    node.give_spec(NodeSpec(desired=Desired.UNCHAINED))
    node.source.write_bytes(b"{")
    node.chained.write_bytes(GOOD)
    node.start()
    node.wait_said(state="Uninstalling")
    assert node.chained.read_bytes() == GOOD, "the node was left without any network"
    node.replace(SOURCE, NEWEST)
    node.wait_said(state="Unchained", reason="NodeUnchained")
    assert node.names() == [SOURCE]
    assert (node.state / f"{CHAINED}.chain-bak").read_bytes() == GOOD


def test_frozen_changes_nothing(node: Node) -> None:
    node.give_spec(NodeSpec(frozen=True))
    node.source.write_bytes(NEWEST)
    node.start()
    node.wait_said(state="Frozen", reason="NodeFrozen")
    node.replace(SOURCE, HISTORY["1.18.3"])
    wait_until(lambda: sum(line.get("state") == "Frozen" for line in node.log()) >= 1, "still frozen")
    assert node.names() == [SOURCE]


def test_a_mesh_plugin_survives_an_upgrade_of_the_primary(guarded: Node) -> None:
    """Fault case 32."""
    istio = {"type": "istio-cni", "log_level": "info"}
    guarded.replace(CHAINED, with_tail(GOOD, istio))
    guarded.replace(SOURCE, HISTORY["1.18.3"])
    wait_until(lambda: b"8921" in guarded.chained.read_bytes(), "the upgrade is followed")
    assert parse(guarded.chained.read_bytes()).types == ("aws-cni", "egress-cni", "portmap", "cilium-cni", "istio-cni")


def test_without_inotify_the_agent_polls_and_says_so(node: Node) -> None:
    """Fault case 39: no instance is to be had, as on a node whose limit is used up."""
    limit = Path("/proc/sys/user/max_inotify_instances")
    if os.geteuid() != 0 or not limit.exists():
        pytest.skip("a user namespace of its own is needed to take inotify away from one process")
    node.source.write_bytes(NEWEST)
    command = f'echo 0 > {limit} && exec "$@"'
    under = ("unshare", "--user", "--map-root-user", "sh", "-c", command, "sh")
    node.start("--poll-seconds", "5", under=under)
    node.wait_chained(GOOD)
    node.wait_said(message="inotify is not available; polling")
    node.chained.unlink()
    node.wait_chained(GOOD)
    assert any("max_user_instances" in str(line) for line in node.log())


def _get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except urllib.error.URLError:
        return 0


def test_the_probes_tell_a_verified_chain_from_none(node: Node) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node.start("--health-port", str(port))
    wait_until(lambda: _get(port, "/healthz") == 200, "the agent is alive")
    assert _get(port, "/readyz") == 503
    assert _get(port, "/other") == 404
    node.replace(SOURCE, NEWEST)
    wait_until(lambda: _get(port, "/readyz") == 200, "the chain is verified")


def test_what_was_done_is_remembered_over_a_restart(guarded: Node) -> None:
    guarded.chained.unlink()
    guarded.wait_chained(GOOD)

    def kept() -> dict[str, Any]:
        state: dict[str, Any] = json.loads((guarded.state / "state.json").read_text())
        return state

    wait_until(
        lambda: (
            kept()["repairs"]
            == {
                "total": 2,
                "drifts": 1,
                "by_cause": {"Publish": 1, "DriftDest": 1},
            }
        ),
        "both are kept",
    )
    assert kept()["last_repair"]["cause"] == "DriftDest"


def test_a_chain_that_was_gone_is_ready_since_it_is_back(guarded: Node) -> None:
    """Pods that started in between missed it, and are told by that time."""
    wait_until(lambda: guarded.kept()["ready"] == "True", "the chain is verified")
    guarded.stop()
    long_ago = "2020-01-01T00:00:00Z"
    (guarded.state / "state.json").write_text(json.dumps(guarded.kept() | {"ready_since": long_ago}))

    agent = guarded.start()
    guarded.wait_said(state="InSync", reason="ChainVerified")
    guarded.replace(SOURCE, HISTORY["1.18.3"])
    wait_until(lambda: guarded.kept()["repairs"]["total"] == 2, "the change is followed")
    assert guarded.kept()["ready_since"] == long_ago, "neither a restart nor another list of the primary's is a gap"

    agent.terminate()
    agent.wait(timeout=10)
    guarded.chained.unlink()
    guarded.start()
    wait_until(lambda: guarded.kept()["repairs"]["total"] == 3, "the chain is back")
    assert guarded.kept()["ready"] == "True"
    assert guarded.kept()["ready_since"] > long_ago


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kubeconfig", "/nonexistent"], "/nonexistent cannot be read"),
        (["--api-server", "http://10.0.0.1"], "use https"),
        (["--node-name", ""], "--node-name"),
    ],
)
def test_wrong_arguments_end_the_agent_with_a_hint(node: Node, arguments: list[str], words: str) -> None:
    agent = node.start()
    agent.send_signal(signal.SIGKILL)
    agent.wait(timeout=10)
    command = [*agent.args, *arguments]  # type: ignore[misc]  # Popen.args is a list here
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert done.returncode == 2
    assert words in done.stderr.decode()
