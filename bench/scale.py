"""`make bench-scale`: what CNIChain asks of the API server and of its machine as a cluster grows.

For each number of nodes a control plane of its own with fake nodes (kwok), the real agents of all of them in one
process (cnichain.dev.hollow), and the real operator. Prints a table, or JSON with `-o json`; exit status 1 when an aim
is missed, 2 when it could not be measured. What each figure is, is said in docs/performance.md.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from auditcount import AGENTS, Request, by_target, by_verb
from benchmachine import machine
from benchworld import AT_ONCE, CHAIN_NODES, SYSTEM, VERSION, World, benchmark_world, say, wait_for
from cnichain.api.names import CONFLIST_FILE
from cnichain.dev.errors import DevError
from cnichain.interrupt import sigterm_interrupts
from cnichain.node.report import WATCH_SECONDS
from procfs import cpu_seconds, has_ended, rss_mb
from rig import BenchError
from scalereport import Phase, ScaleResult, aims, result_of, tables

COMPONENTS = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kwok", "stand-ins")
SETTLE_SECONDS = 240.0
SETTINGS = f"""spec.rollout of these runs:
{json.dumps(AT_ONCE)}
All nodes in one wave: the default, a canary that soaks and then 10% at a time,
makes the same requests for each node and waits between them, as it is told to."""
QUIET_SECONDS = 70.0
"""Without a write for so long, what the last change has set going is over: the pods are told after their second count,
a minute after the first pass that could count them."""


def cpu(world: World) -> dict[str, float]:
    """CPU seconds so far of each process."""
    pids = world.pids | {name: world.control_plane.pid(name) for name in COMPONENTS}
    found: dict[str, float] = {}
    for name, pid in pids.items():
        program = AGENTS if name.startswith(AGENTS) else name
        found[program] = found.get(program, 0.0) + cpu_seconds(pid)
    return found


def observed(world: World, work: Callable[[], float]) -> tuple[Phase, list[Request]]:
    """What went on while `work` was done, which says how many seconds count."""
    place, before = world.audit.here(), cpu(world)
    seconds = work()
    used = {name: total - before[name] for name, total in cpu(world).items()}
    requests = world.audit.since(place)
    return Phase(seconds, by_verb(requests), used), requests


def drifts(world: World) -> dict[str, int]:
    """How many repairs of others' changes each node that is in sync tells of."""
    found = {item["metadata"]["name"]: item.get("status") or {} for item in world.api.all(CHAIN_NODES)}
    return {
        name: int((status.get("repairs") or {}).get("drifts") or 0)
        for name, status in found.items()
        if status.get("state") == "InSync"
    }


def storm(world: World, seconds: float) -> tuple[float, float]:
    """Delete the chained file of every node at once: seconds until all are right again, and until status says so."""
    chained = [folder.conf_dir / CONFLIST_FILE for folder in world.folders()]
    wanted = {path: path.read_bytes() for path in chained}
    before = drifts(world)
    begun = time.monotonic()
    for path in chained:
        path.unlink()
    left = set(chained)

    def files_are_right() -> bool:
        left.difference_update([path for path in left if path.exists() and path.read_bytes() == wanted[path]])
        return not left

    def status_says_so() -> bool:
        now = drifts(world)
        return all(now.get(name, -1) > count for name, count in before.items()) and world.is_ready()

    files = wait_for("every file is right again", files_are_right, seconds, look=max(0.01, world.nodes / 50_000))
    # A page of 500 nodes is read in about 0.1 s, by the same API server that takes the reports.
    told = wait_for("status tells of every repair", status_says_so, seconds, look=0.1 + world.nodes / 2000)
    return files - begun, told - begun


def sizes(world: World) -> dict[str, int]:
    """Bytes of the largest object of each kind, as the API server writes it."""
    found = {"CNIChain": len(json.dumps(world.chain(), separators=(",", ":")))}
    nodes = world.api.all(CHAIN_NODES)
    found["CNIChainNode"] = max(len(json.dumps(item, separators=(",", ":"))) for item in nodes)
    for item in world.api.all(f"{SYSTEM}/configmaps"):
        name = item["metadata"]["name"]
        if name.startswith("cnichain-"):
            found[f"ConfigMap {name}"] = len(json.dumps(item, separators=(",", ":")))
    return found


def measure(nodes: int, window: float, work: Path) -> ScaleResult:
    """One cluster. window: seconds of the steady state. Raises BenchError, DevError."""
    say(f"{nodes} nodes: starting the control plane ...")
    patience = 120 + nodes * 0.6
    with benchmark_world(work, nodes) as world, ExitStack() as stack:
        # As they are deployed: the API server lets an administrator's requests pass all its queues.
        of_operator, of_agents = world.accounts()
        agents = stack.enter_context(world.agents(kubeconfig=of_agents))
        operator = stack.enter_context(world.operator(kubeconfig=of_operator))
        say(f"{nodes} nodes: adoption, for {patience:.0f} s at most ...")
        adoption, adopting = observed(world, lambda: world.install(patience))
        # In full, in case that what follows does not come to an end: with thousands of nodes it took half an hour.
        say(f"{nodes} nodes: ready after {adoption.seconds:.1f} s: {json.dumps(asdict(adoption))}")
        say(f"{nodes} nodes: waiting until nobody writes any more ...")
        world.settle(QUIET_SECONDS, SETTLE_SECONDS + nodes * 0.05)
        say(f"{nodes} nodes: steady state, {window:.0f} s ...")

        def wait() -> float:
            time.sleep(window)
            return window

        steady, requests = observed(world, wait)
        operator_mb, peak_mb = rss_mb(operator)
        say(f"{nodes} nodes: steady state: {operator_mb:.0f} MB, {json.dumps(asdict(steady))}")
        say(f"{nodes} nodes: repair storm ...")
        files = 0.0

        def all_at_once() -> float:
            nonlocal files
            files, told = storm(world, patience)
            return told

        stormy, _ = observed(world, all_at_once)
        return ScaleResult(
            nodes=nodes,
            cilium=VERSION,
            adoption=adoption,
            steady=steady,
            storm=stormy,
            files=files,
            watches=60 / WATCH_SECONDS,
            adoption_writes=by_target(adopting),
            writes=[str(request) for request in requests if request.is_change],
            operator_mb=operator_mb,
            operator_peak_mb=max(peak_mb, rss_mb(operator)[1]),
            agents_mb=sum(rss_mb(pid)[0] for pid in agents),
            sizes=sizes(world),
            operator_ran=not has_ended(operator),
        )


def numbers(text: str) -> list[int]:
    """`100,1000` as numbers, the smallest first."""
    return sorted({int(part) for part in text.split(",") if part})


def as_data(results: list[ScaleResult], where: str) -> dict[str, Any]:
    """For `-o json`."""
    return {
        "measured": where,
        "clusters": [asdict(result) for result in results],
        "aims": [asdict(aim) for aim in aims(results)],
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=numbers, help="clusters, as 100,1000 (the default; none with --read)")
    parser.add_argument("--window", type=float, default=90.0, help="seconds of the steady state (%(default)s)")
    parser.add_argument("--read", type=Path, action="append", default=[], help="clusters of an earlier `-o json`, too")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form (%(default)s)")
    options = parser.parse_args()
    earlier = [json.loads(path.read_text()) for path in options.read]
    results = [result_of(one) for run in earlier for one in run["clusters"]]
    where = [str(run["measured"]) for run in earlier]
    if options.nodes is None:
        options.nodes = [] if options.read else [100, 1000]
    where += [machine()] if options.nodes else []
    wanted = len(results) + len(options.nodes)
    try:
        for nodes in options.nodes:
            with sigterm_interrupts(), tempfile.TemporaryDirectory(prefix="cnichain-scale-") as work:
                results.append(measure(nodes, options.window, Path(work)))
    except (BenchError, DevError) as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        if not results:
            return 2
    results.sort(key=lambda one: one.nodes)
    if options.output == "json":
        print(json.dumps(as_data(results, "; ".join(where)), indent=2))
    else:
        print("\n".join([tables(results), "", SETTINGS, *(f"Measured: {one}." for one in where)]))
    if len(results) < wanted:
        return 2
    return 0 if all(aim.held for aim in aims(results)) else 1


if __name__ == "__main__":
    sys.exit(main())
