"""What the system does to the agent: calls that fail, a clock that jumps, kill -9 before each single step.

The faults are put in by a small library (faults.c) that stands between the agent and libc.
"""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.node.conftest import CHAINED, DEFAULT_ENTRY, HISTORY, NEWEST, SOURCE, Node, Reader, wait_until

from cnichain.api.chainnode import Desired, NodeSpec
from cnichain.node.conflist import RUNTIME_EXTENSIONS, parse
from cnichain.node.splice import derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
OLD = derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY)
Faults = Callable[[Path, str], dict[str, str]]


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("fsync", errno.EIO),
        ("fsync", errno.EDQUOT),
        ("write", errno.EDQUOT),
        ("write", errno.ENOSPC),
        ("open", errno.EACCES),
        ("rename", errno.EACCES),
        ("fchmod", errno.EPERM),
    ],
)
def test_a_call_that_fails_leaves_the_old_file_and_is_named(node: Node, faults: Faults, call: str, number: int) -> None:
    """Fault cases 8, 9 and 47: what a full quota, a broken disk or a security module answers."""
    node.source.write_bytes(NEWEST)
    node.chained.write_bytes(OLD)
    node.start(env=faults(node.conf, f"{call}:{number}"))
    node.wait_said(reason="ConflistWriteFailed")
    assert any(errno.errorcode[number] in line["message"] for line in node.log()), "the error is not named"
    if call != "rename":  # a rename that failed may have left nothing else either, but was the last step
        assert node.chained.read_bytes() == OLD
    assert node.names() == [CHAINED, SOURCE], "a temporary file was left"
    node.stop()
    node.start()
    node.wait_chained(GOOD)


def test_short_writes_are_completed(node: Node, faults: Faults) -> None:
    """Fault case 10."""
    node.source.write_bytes(NEWEST)
    node.start(env=faults(node.root, "write:short"))
    node.wait_chained(GOOD)
    node.wait_said(state="InSync")


def test_a_jump_of_the_clock_disturbs_nothing(node: Node, faults: Faults) -> None:
    """Fault case 41: three years ahead, then back again."""
    offset = node.root / "offset"
    offset.write_text("0")
    node.source.write_bytes(NEWEST)
    node.start(env=faults(node.root, f"clock:{offset}"))
    node.wait_said(state="InSync")
    for number, seconds in enumerate((94_608_000, -94_608_000), start=2):
        offset.write_text(str(seconds))
        node.chained.unlink()
        node.wait_chained(GOOD)
        repairs = "The chain was repaired"
        wait_until(lambda: sum(line["message"] == repairs for line in node.log()) == number, "the repair is told")  # noqa: B023 - called in this round only
    years = {line["time"][:4] for line in node.log()}
    assert len(years) == 3, f"the clock did not jump: {years}"
    durations = [line["durationMilliseconds"] for line in node.log() if "durationMilliseconds" in line]
    assert all(0 <= duration < 60_000 for duration in durations), durations


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_each_limit_of_inotify_leads_to_polling(node: Node, limit: str) -> None:
    """Fault case 39."""
    path = Path("/proc/sys/user") / limit
    if os.geteuid() != 0 or not path.exists():
        pytest.skip("a user namespace of its own is needed to take inotify away from one process")
    node.source.write_bytes(NEWEST)
    node.start(
        "--poll-seconds",
        "5",
        under=("unshare", "--user", "--map-root-user", "sh", "-c", f'echo 0 > {path} && exec "$@"', "sh"),
    )
    node.wait_said(message="inotify is not available; polling")
    node.wait_chained(GOOD)
    node.chained.unlink()
    node.wait_chained(GOOD)
    assert any(f"fs.inotify.{limit.replace('inotify', 'user')}" in str(line) for line in node.log())


def _run_to_step(node: Node, env: dict[str, str], end: str) -> bool:
    """Runs an agent until it is killed (True), or has come to its end state (False)."""
    agent = node.start(env=env)
    wait_until(lambda: agent.poll() is not None or node.said(state=end), f"killed, or {end}; {node.log()[-3:]}")
    if agent.poll() is None:
        agent.send_signal(signal.SIGTERM)
    return agent.wait(timeout=10) == -signal.SIGKILL


def _prepare(node: Node, files: dict[str, bytes], spec: NodeSpec) -> None:
    for path in [*node.conf.iterdir(), *node.state.iterdir(), node.root / "agent.log"]:
        path.unlink(missing_ok=True)
    for name, content in files.items():
        (node.conf / name).write_bytes(content)
    node.give_spec(spec)


UNCHAINED = NodeSpec(desired=Desired.UNCHAINED)
WAYS: dict[str, tuple[dict[str, bytes], NodeSpec, str, dict[str, bytes]]] = {
    "publish": ({SOURCE: NEWEST}, NodeSpec(), "InSync", {SOURCE: NEWEST, CHAINED: GOOD}),
    "replace": ({SOURCE: NEWEST, CHAINED: OLD}, NodeSpec(), "InSync", {SOURCE: NEWEST, CHAINED: GOOD}),
    "unchain": ({SOURCE: NEWEST, CHAINED: GOOD}, UNCHAINED, "Unchained", {SOURCE: NEWEST}),
    "restore and unchain": (
        {f"{SOURCE}.cilium_bak": NEWEST, CHAINED: GOOD},
        UNCHAINED,
        "Unchained",
        {SOURCE: NEWEST, f"{SOURCE}.cilium_bak": NEWEST},
    ),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_kill_9_before_each_single_step_is_made_good(node: Node, faults: Faults, way: str) -> None:
    """Fault case 37: SIGKILL before the first change of a file, before the second, and so on to the last."""
    before, spec, end, after = WAYS[way]
    steps = 0
    while steps < 100:
        _prepare(node, before, spec)
        reader = Reader(node.conf)
        reader.start()
        try:
            was_killed = _run_to_step(node, faults(node.root, f"kill:{steps + 1}"), end)
            found = {name: (node.conf / name).read_bytes() for name in node.names()}
            (node.root / "agent.log").unlink()
            assert not _run_to_step(node, {}, end), "the second agent was killed too"
        finally:
            reader.end()
        assert not reader.bad, f"step {steps}: a runtime had no network: {reader.bad[:3]}"
        for name, content in found.items():
            is_known = content in (NEWEST, GOOD, OLD)
            assert is_known or not name.endswith(RUNTIME_EXTENSIONS), f"step {steps}: half a file in {name}"
        assert {name: (node.conf / name).read_bytes() for name in node.names()} == after, (
            f"step {steps} was not made good"
        )
        if not was_killed:
            break
        steps += 1
    assert steps >= 8, f"only {steps} steps were there to be killed at: the faults do not reach the agent"
