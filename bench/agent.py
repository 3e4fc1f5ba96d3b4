"""`make bench-agent`: how fast the node agent repairs, and what it costs. Prints a table.

With --write the table replaces the one in docs/performance.md. What each figure is, is said there.
"""

import argparse
import json
import os
import random
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmachine import machine
from rig import CHAINED, HERE, PATIENCE, Agent, BenchError, Node, Renames, agent_on, api_server, chain_of, source_text

ROOT = HERE.parent
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
STORM = ROOT / "tests" / "faults" / "storm.py"
GAP = (0.12, 0.16)
"""Seconds between two events: longer than the agent's pace in a long burst, and never the same."""
VERIFIED = {"state": "InSync", "reason": "ChainVerified"}


@dataclass(frozen=True)
class Row:
    """One line of the table. aim: empty when there is none."""

    what: str
    measured: str
    aim: str = ""


def quantile(values: Sequence[float], part: float) -> float:
    """The value that so large a part of all does not exceed; 1.0 gives the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def spread(seconds: Sequence[float]) -> str:
    """p50, p99 and the largest, in milliseconds."""
    return " / ".join(f"{quantile(seconds, part) * 1000:.1f}" for part in (0.5, 0.99, 1.0)) + " ms"


def disk(folder: Path, times: int) -> list[float]:
    """Seconds of what the disk alone takes for one repair: fsync of a file, rename, fsync of its folder."""
    descriptor, taken = os.open(folder, os.O_RDONLY | os.O_DIRECTORY), []
    for _ in range(times):
        begun = time.monotonic()
        file = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=descriptor)
        os.write(file, b"x" * 1500)
        os.fsync(file)
        os.close(file)
        os.rename("new", "old", src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.fsync(descriptor)
        taken.append(time.monotonic() - begun)
    os.close(descriptor)
    return taken


def start_up(command: list[str], node: Node, kubeconfig: Path, times: int) -> list[float]:
    """Seconds from the start of the process to the first verified state, on a node whose chain is to be written."""
    taken = []
    for _ in range(times + 1):
        node.reset()
        with agent_on(command, node, kubeconfig) as agent:
            ready, _ = agent.wait_for(**VERIFIED)
            taken.append(ready - agent.started)
    return taken[1:]  # the first one has compiled what it imports


@dataclass(frozen=True)
class Repairs:
    """Seconds of each repair, from the rename of the primary's file.

    in_place: to the right file. verified: until it is synced and verified, as the agent then logs. own: the agent's own
    figure, which is in whole milliseconds. work: CPU time of the thread that repairs. waited: its wait for a CPU.
    """

    in_place: list[float] = field(default_factory=list)
    verified: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """For the table."""
        scheduled = [max(0.0, all_of_it - wait) for all_of_it, wait in zip(self.in_place, self.waited, strict=True)]
        return [
            Row(f"event to right file, {len(self.own)} repairs", spread(self.in_place), "p99 3 ms"),
            Row("the same less the agent's wait for a CPU", spread(scheduled)),
            Row("event to synced, verified and logged", spread(self.verified)),
            Row("the same as the agent counts it", spread(self.own)),
            Row("CPU time of the thread that repairs", spread(self.work)),
        ]


def repairs(agent: Agent, node: Node, times: int) -> Repairs:
    """Times so many repairs, each after a rename of the primary's file."""
    timed = Repairs()
    chance = random.Random(4)  # noqa: S311 - only so that the gaps differ
    renames = Renames(node.folder.conf_dir)
    for turn in range(times):
        time.sleep(chance.uniform(*GAP))
        content = source_text(1280 + turn)
        temporary, wanted = node.prepare(content), chain_of(content)
        renames.take()
        agent.lines()
        (ran, waited), begun = agent.main_thread(), time.monotonic()
        temporary.rename(node.source)
        appeared, logged, milliseconds = _one_repair(agent, node, renames, wanted)
        ran_then, waited_then = agent.main_thread()
        timed.in_place.append(appeared - begun)
        timed.verified.append(logged - begun)
        timed.own.append(milliseconds / 1000)
        timed.work.append(ran_then - ran)
        timed.waited.append(waited_then - waited)
    os.close(renames.descriptor)
    return timed


def _one_repair(agent: Agent, node: Node, renames: Renames, wanted: bytes) -> tuple[float, float, int]:
    appeared, deadline = 0.0, time.monotonic() + PATIENCE
    poller = select.poll()
    poller.register(renames.descriptor, select.POLLIN)
    poller.register(agent.descriptor, select.POLLIN)
    while time.monotonic() < deadline:
        poller.poll(1000)
        now = time.monotonic()
        if not appeared and CHAINED.encode() in renames.take() and node.chained.read_bytes() == wanted:
            appeared = now
        for line in agent.lines():
            if line["message"] == "The chain was repaired":
                return appeared or now, now, line["durationMilliseconds"]
    raise BenchError(f"not repaired within {PATIENCE:g} s")


def storm(node: Node, rewrites: int, seconds: float, seed: int) -> float:
    """Seconds from the last write of a storm to the right file."""
    command = [sys.executable, "-I", str(STORM), str(node.source), str(rewrites), str(seconds), str(seed)]
    renames = Renames(node.folder.conf_dir)
    done = subprocess.run(command, capture_output=True, timeout=seconds + PATIENCE, check=True)
    wanted, ended = chain_of(node.source.read_bytes()), json.loads(done.stdout)["ended"]
    poller = select.poll()
    poller.register(renames.descriptor, select.POLLIN)
    while node.chained.read_bytes() != wanted:
        if time.monotonic() - ended > PATIENCE:
            raise BenchError(f"not right within {PATIENCE:g} s after a storm")
        poller.poll(5)
        renames.take()
    os.close(renames.descriptor)
    return time.monotonic() - float(ended)


def idle(agent: Agent, seconds: float) -> float:
    """Part of one core that the agent takes while nothing happens."""
    time.sleep(2)  # what the last event has set going is over by then
    before, begun = agent.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    used: float = agent.cpu_seconds() - before
    return used / (time.monotonic() - begun)


def measure(command: list[str], options: argparse.Namespace, root: Path) -> list[Row]:
    """All of it, on one node; takes about four minutes with the default options."""
    node = Node(root)
    rows = []
    with api_server(root) as kubeconfig:
        ready = start_up(command, node, kubeconfig, options.starts)
        rows.append(Row(f"start to verified, {len(ready)} starts", spread(ready), "300 ms"))
        disk_alone = disk(root, 200)
        with agent_on(command, node, kubeconfig) as agent:
            agent.wait_for(**VERIFIED)
            rows += repairs(agent, node, options.repairs).rows()
            memory = agent.memory()
            rows.append(Row("the disk alone: write, fsync, rename, fsync", spread(disk_alone)))
            if options.idle:
                rows.append(Row(f"idle, {options.idle:g} s", f"{idle(agent, options.idle):.3%} of a core", "0.1 %"))
            settled = [storm(node, 1000, 10, 0)] + [storm(node, 50, 0.5, seed) for seed in range(options.storms)]
            rows.append(Row(f"last write of a storm to right file, {len(settled)} storms", spread(settled), "250 ms"))
            most = agent.memory()["VmHWM"]
        rows.append(Row("RSS / its peak", f"{memory['VmRSS']:.1f} / {most:.1f} MB", "22 MB"))
        rows.append(Row("PSS", f"{memory['Pss']:.1f} MB"))
    return rows


def table(rows: Sequence[Row], where: str) -> str:
    """Markdown."""
    lines = ["| what | p50 / p99 / max, or value | aim |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.measured} | {row.aim} |" for row in rows]
    return "\n".join([*lines, "", f"Measured: {where}."])


def write(text: str) -> None:
    """Puts the table between the marks in docs/performance.md."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{PAGE} has not both of {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Measures, prints, and writes if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repairs", type=int, default=1000, help="repairs to time (%(default)s)")
    parser.add_argument("--starts", type=int, default=20, help="starts to time (%(default)s)")
    parser.add_argument("--storms", type=int, default=20, help="short storms, besides the long one (%(default)s)")
    parser.add_argument("--idle", type=float, default=60, help="seconds of the idle measurement (%(default)s)")
    parser.add_argument("--agent", default=f"{sys.executable} -m cnichain.node", help="command (%(default)s)")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: the temporary folder)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory(prefix="cnichain-bench-", dir=options.folder) as root:
        try:
            rows = measure(shlex.split(options.agent), options, Path(root))
        except BenchError as error:
            print(f"The benchmark failed: {error}", file=sys.stderr)
            return 1
    text = table(rows, where)
    print(text)
    if options.write:
        write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
