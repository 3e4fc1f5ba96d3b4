"""Fault case 37: SIGKILL at every step of a repair, one after the other, while a runtime loads the folder.

What a kill leaves is what a power cut leaves as far as the order of things goes: the last test looks at that.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults.conftest import CHAINS, Death, Killer
from tests.node.conftest import CHAINED, HISTORY, NEWEST, SOURCE, Node

from cnichain.api.chainnode import Desired, NodeSpec
from cnichain.node.conflist import RUNTIME_EXTENSIONS

KILLS = 200
"""At least so many of each of the six repairs: 1,200 in all."""
GOOD = CHAINS["1.20.0"]
OTHER = NEWEST + b"\n"
TEMPORARY = f".{CHAINED}.chain-*.tmp"
_OWNER = [f"fchown {TEMPORARY}"] if os.geteuid() == 0 else []
WRITE_STEPS = {
    f"open {TEMPORARY}",
    f"fchmod {TEMPORARY}",
    *_OWNER,
    f"write {TEMPORARY}",
    f"fsync {TEMPORARY}",
    f"close {TEMPORARY}",
    f"read {TEMPORARY}",
    f"rename {TEMPORARY} -> {CHAINED}",
    "fsync net.d",
    f"read {CHAINED}",
    "sleep",
}
REMOVE_STEPS = {f"unlink {CHAINED}", "fsync net.d", "sleep"}

SHADOW = "00-other.conflist"
MOVED = f".{SHADOW}.chain-aside.tmp"
ASIDE_STEPS = {
    f"rename {SHADOW} -> {MOVED}",
    "fsync net.d",
    f"write .{SHADOW}.keep-tmp",
    f"fsync .{SHADOW}.keep-tmp",
    f"rename .{SHADOW}.keep-tmp -> {SHADOW}",
    f"unlink {MOVED}",
    "sleep",
}


@dataclass(frozen=True)
class Repair:
    """What makes the agent act.

    prepare: does it to the node, and gives what the chained file may be from then on: content, or None for no file.
    The last of these is what the agent has to make of it. mode: what a runtime may see meanwhile (see reader.py).
    """

    prepare: Callable[[Node], list[bytes | None]]
    mode: str
    steps: set[str]


def _upgrade(node: Node) -> list[bytes | None]:
    """The primary's file is replaced by that of another version, never by one that the chain is already made of."""
    before = node.chained.read_bytes()
    source = node.source.read_bytes()
    versions = ("1.18.3", "1.20.0", "1.11.2")
    version = next(name for name in versions if HISTORY[name] != source and CHAINS[name] != before)
    node.replace(SOURCE, HISTORY[version])
    return [before, CHAINS[version]]


def _delete(node: Node) -> list[bytes | None]:
    node.chained.unlink(missing_ok=True)
    return [None, GOOD]


def _take_cilium_out(node: Node) -> list[bytes | None]:
    node.replace(CHAINED, NEWEST)
    return [NEWEST, GOOD]


def _start_anew(node: Node) -> list[bytes | None]:
    """A node that is new to the agent."""
    node.chained.unlink(missing_ok=True)
    for path in node.state.iterdir():
        if path.is_file():
            path.unlink()
    node.give_spec(NodeSpec())
    return [None, GOOD]


def _unchain(node: Node) -> list[bytes | None]:
    node.give_spec(NodeSpec(desired=Desired.UNCHAINED))
    node.replace(CHAINED, GOOD)
    return [GOOD, None]


def _shadow(node: Node) -> list[bytes | None]:
    """A file without Cilium comes first; the agent knows the chain as verified."""
    node.give_spec(NodeSpec())
    (node.state / "state.json").write_text(json.dumps({"verified": True, "chained": True, "chained_file": CHAINED}))
    node.replace(SHADOW, OTHER)
    return [GOOD]


REPAIRS = {
    "the primary is upgraded": Repair(_upgrade, "chained", WRITE_STEPS),
    "the chained file is deleted": Repair(_delete, "loadable", WRITE_STEPS),
    "cilium-cni is taken out": Repair(_take_cilium_out, "loadable", WRITE_STEPS),
    "the first chain of a node": Repair(_start_anew, "loadable", WRITE_STEPS),
    "the way back to the primary": Repair(_unchain, "loadable", REMOVE_STEPS),
    "another file takes the chain's place": Repair(_shadow, "loadable", ASIDE_STEPS),
}


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _step(death: Death) -> str:
    return re.sub(r"\.chain-\d+-[0-9a-f]+\.", ".chain-*.", death.at)


class Sweep:
    """Kills the agent at its first step, at its second, and so on until it gets to sleep; and that anew."""

    def __init__(self, killer: Killer, repair: Repair) -> None:
        self._killer, self._node, self._repair = killer, killer.node, repair
        self.killed_at: list[str] = []

    def run(self) -> None:
        """At least KILLS kills, and each step both ways: before the call and after it, and in the middle of a write."""
        sweeps = 0
        while len(self.killed_at) < KILLS or sweeps < 2:
            self._sweep("before" if sweeps % 2 == 0 else "after")
            sweeps += 1

    def _sweep(self, moment: str) -> None:
        step, at = 0, ""
        while at != "sleep":
            step += 1
            at = self._kill(step, moment)
            if at.startswith("write .") and moment == "before":
                self._kill(step, "half")
            if self._left() or at == "sleep":
                self._let_successor_finish(f"{moment} {at}")

    def _kill(self, step: int, moment: str) -> str:
        allowed = self._repair.prepare(self._node)
        source = self._node.source.read_bytes()
        death = self._killer.kill_at(step, moment)
        where = f"killed {moment} step {step} ({death.at})"
        assert death.signal == 9, f"the agent was not killed but ended; {where}; its log ends: {self._log()}"
        assert _content(self._node.chained) in allowed, f"{CHAINED} is neither old nor new; {where}"
        assert self._node.source.read_bytes() == source, f"the primary's file was changed; {where}"
        extra = {name for name in self._left() if name.endswith(RUNTIME_EXTENSIONS)} - {SHADOW}
        assert not extra, f"a runtime would load {extra}; {where}"
        assert self._is_kept(), f"the file that shadowed the chain is lost; {where}"
        self.killed_at.append(_step(death))
        return _step(death)

    def _let_successor_finish(self, killed: str) -> None:
        """The next agent finds what the killed one left, and is itself killed only when it sleeps."""
        wanted = self._repair.prepare(self._node)[-1]
        death = self._killer.run_to_sleep()
        assert death.at == "sleep", f"after a kill {killed} the next agent ended in {death.at}; its log: {self._log()}"
        assert _content(self._node.chained) == wanted, f"after a kill {killed} the next agent did not put it right"
        assert not self._left(), f"after a kill {killed} the next agent left {self._left()}"

    def _is_kept(self) -> bool:
        """Whether the file of another owner is in the folder, under one of its two names, or kept, and whole."""
        if self._repair.prepare is not _shadow:
            return True
        places = (self._node.conf / SHADOW, self._node.conf / MOVED, self._node.state / "aside" / SHADOW)
        return any(_content(place) == OTHER for place in places)

    def _left(self) -> set[str]:
        return set(self._node.names()) - {CHAINED, SOURCE}

    def _log(self) -> list[str]:
        return (self._node.root / "agent.log").read_text().splitlines()[-3:]


@pytest.mark.parametrize("name", REPAIRS)
def test_killed_at_every_step_a_runtime_never_sees_a_bad_first_file(
    node: Node, killer: Killer, reading: Callable[[str], Any], name: str
) -> None:
    repair = REPAIRS[name]
    node.source.write_bytes(NEWEST)
    node.chained.write_bytes(GOOD)
    sweep = Sweep(killer, repair)
    with reading(repair.mode) as reader:
        sweep.run()
        saw = reader.end()
    assert not saw.wrong, f"a runtime saw this, in {saw.looks} looks: {saw.wrong}"
    assert saw.looks > len(sweep.killed_at), f"the reader looked {saw.looks} times only: it proves nothing"
    missed = repair.steps - set(sweep.killed_at)
    assert not missed, f"never killed at {missed}; killed at {sorted(set(sweep.killed_at))}"
    assert len(sweep.killed_at) >= KILLS


def test_each_byte_is_on_disk_before_its_name_is(node: Node, killer: Killer) -> None:
    """Power loss: the content is synced before the rename and the folder after it; and it was read back in between."""
    node.source.write_bytes(NEWEST)
    steps = [_step(Death([step], 9)) for step in killer.run_to_sleep().steps]
    assert node.chained.read_bytes() == GOOD
    order = [
        f"write {TEMPORARY}",
        f"fsync {TEMPORARY}",
        f"read {TEMPORARY}",
        f"rename {TEMPORARY} -> {CHAINED}",
        "fsync net.d",
    ]
    places = [steps.index(step) if step in steps else -1 for step in order]
    assert places == sorted(places), f"wanted in this order: {order}; the agent did: {steps}"
    assert -1 not in places, f"wanted: {order}; the agent did: {steps}"
