"""`make bench-soak`: half an hour of a cluster's ordinary life, to see whether memory stays flat and nobody writes more
than there is to do.

A local control plane with fake nodes (kwok), the real operator as a process under its own account with the shipped
roles, the real agent of one node as a process, those of all other nodes together in another (cnichain.dev.hollow). Once
the chain is Ready, events (soakevents.py) take turns with quiet stretches until the time is over. The manifest of the
CNIChain is applied again every minute, in quiet stretches too, as Argo CD and Flux do.

Prints Markdown, and writes every sample and stretch to a file; exit status 1 when an aim is missed, 2 when it could not
be measured. What each figure is, is said in docs/performance.md; how memory is judged, in steadiness.py.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

from benchmachine import machine
from benchworld import VERSION, World, benchmark_world, say, wait_for
from cnichain.dev.errors import DevError
from cnichain.dev.nodefolder import NodeFolder
from procfs import cpu_seconds, open_files, rss_mb, threads
from rig import BenchError
from soakevents import EVENTS, RESTART, Event, Life, restart_api, workload
from soakreport import QUIET, Sample, SoakResult, Stretch, aims, report, stretch

SAMPLE_SECONDS = 15.0
APPLY_SECONDS = 60.0
FIRST_QUIET_SECONDS = 70.0
"""After the installation, as in scale.py: the pods are told after their second count."""
LATE_SECONDS = 300.0
"""After so long an event that has not settled is over all the same, and its writes are those of the quiet stretch."""
ELECTION = ("--lease-seconds=60", "--renew-seconds=45", "--retry-seconds=2")
"""The operator ends when it could not renew its Lease for 10 s, as it should; here the API server is away on purpose,
and on a busy machine it takes longer to come back. Its pace is the deployed one."""

RESTARTS_BEFORE = 2
"""Restarts of the API server before the first sample. Each lets the operator read everything anew, and after the first
ones its heap has the size that this takes: in a run with nothing but restarts it had 97 MB before, 102 after the first,
and 101 to 103 after each of the next five."""


@dataclass
class Repeated:
    """Something that is done again and again beside the events, in a thread. failure: why it ended early."""

    what: str
    seconds: float
    work: Callable[[], None]
    failure: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until it is stopped; a failure is kept for the end of the run."""
        while not self._stop.wait(self.seconds):
            try:
                self.work()
            except (OSError, BenchError, DevError) as error:
                self.failure = f"{self.what}: {error}"
                return

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """For the time of the block. Raises BenchError when it has failed."""
        thread = threading.Thread(target=self.run, name=self.what)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        if self.failure:
            raise BenchError(self.failure)


@dataclass
class Recorder:
    """What is seen: samples of each process, and stretches."""

    world: World
    began: float
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    stretches: list[Stretch] = field(default_factory=list)

    def sample(self) -> None:
        """One more sample of each process. OSError when one has ended."""
        for name, pid in list(self.world.pids.items()):
            at = time.monotonic() - self.began
            taken = Sample(at, rss_mb(pid)[0], cpu_seconds(pid), open_files(pid), threads(pid))
            self.samples.setdefault(name, []).append(taken)

    def during(self, what: str, work: Callable[[], int]) -> Stretch:
        """Do it, and keep what was asked of the API server meanwhile."""
        place, begun = self.world.audit.here(), time.monotonic()
        touched = work()
        found = stretch(what, time.monotonic() - begun, touched, self.world.audit.since(place))
        self.stretches.append(found)
        return found


def live(life: Life, recorder: Recorder, seconds: float, quiet: float) -> None:
    """Events and quiet stretches in turn until the time is over; the last one is quiet."""
    deadline = recorder.began + seconds

    def rest() -> int:
        time.sleep(quiet)
        return 0

    for event in cycle(EVENTS):

        def happen(event: Event = event) -> int:
            touched = event.happen(life)
            life.world.settle(event.settle, LATE_SECONDS)
            return touched

        recorder.during(QUIET, rest)
        if time.monotonic() > deadline:
            return
        done = recorder.during(event.what, happen)
        at = time.monotonic() - recorder.began
        say(f"{at:6.0f} s: {event.what}, {done.seconds:.0f} s, {sum(done.writes.values())} writes")


def apply_again(life: Life, count: list[int]) -> None:
    """The same manifest once more, in turn as Argo CD and as Flux applies it."""
    count[0] += 1
    by = ("--server-side", "--field-manager=kustomize-controller") if count[0] % 2 else ()
    with life.api_gate:
        life.world.control_plane.run_kubectl("apply", *by, "--filename=-", stdin=life.world.chain_text())


def prepare(world: World, work: Path) -> tuple[Life, NodeFolder]:
    """A workload, and the folders but for that of the node whose agent is a process of its own."""
    world.control_plane.run_kubectl("create", "--filename=-", stdin=json.dumps(workload()))
    hollow = work / "hollow"
    hollow.mkdir()
    life = Life(world, hollow)
    alone, *others = world.folders()
    for folder in others:
        life.link(folder)
    return life, alone


def soak(nodes: int, minutes: float, work: Path) -> SoakResult:
    """One run. Raises BenchError, DevError."""
    say(f"starting a control plane with {nodes} nodes ...")
    quiet = min(60.0, max(15.0, minutes * 2))
    with benchmark_world(work, nodes) as world, ExitStack() as stack:
        life, alone = prepare(world, work)
        operator, agent = world.accounts()
        stack.enter_context(world.agents(hollow := life.hollow, agent))
        stack.enter_context(world.agent(alone, agent))
        stack.enter_context(world.operator(*ELECTION, kubeconfig=operator))
        taken = world.install(180 + nodes)
        say(f"Ready after {taken:.1f} s with {len(list(hollow.iterdir()))} agents in one process and one beside them")
        for _ in range(RESTARTS_BEFORE):
            restart_api(life)
        world.settle(FIRST_QUIET_SECONDS, LATE_SECONDS)
        recorder = Recorder(world, time.monotonic())
        recorder.sample()
        count = [0]
        again = Repeated("the manifest is applied again", APPLY_SECONDS, lambda: apply_again(life, count))
        sampling = Repeated("a process is looked at", SAMPLE_SECONDS, recorder.sample)
        with sampling.going_on(), again.going_on():
            live(life, recorder, minutes * 60, quiet)
        recorder.sample()
        return SoakResult(
            nodes=nodes,
            cilium=VERSION,
            seconds=time.monotonic() - recorder.began,
            samples={name: recorder.samples[name] for name in ("operator", "agent", "agents")},
            stretches=recorder.stretches,
            limits={event.what: event.limits for event in EVENTS},
            starts_api=RESTART,
            reapplied=count[0],
            ready=is_ready_soon(world),
        )


def is_ready_soon(world: World) -> bool:
    """Whether the chain is Ready at the end, or within some seconds."""
    try:
        wait_for("the CNIChain is Ready", world.is_ready, 10.0)
    except BenchError:
        return False
    return True


def main() -> int:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (%(default)s)")
    parser.add_argument("--nodes", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--samples", type=Path, default=Path("soak.json"), help="file for the samples (%(default)s)")
    options = parser.parse_args()
    where = machine()
    try:
        with tempfile.TemporaryDirectory(prefix="cnichain-soak-") as work:
            result = soak(options.nodes, options.minutes, Path(work))
    except (BenchError, DevError) as error:
        print(f"The soak failed: {error}", file=sys.stderr)
        return 2
    options.samples.write_text(json.dumps({"measured": where, **asdict(result)}, indent=1), encoding="utf-8")
    try:
        held = all(aim.held for aim in aims(result))
        print(f"{report(result)}\n\nMeasured: {where}, Cilium {result.cilium}.")
    except ValueError as error:
        print(f"The soak was too short to judge: {error}", file=sys.stderr)
        return 2
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
