"""`make bench`: CNIChain beside helm, in turn on one control plane, and how fast the programs start.

Install: `kubectl apply` of a CNIChain until it is Ready, and `helm upgrade --install --wait` of the same chart with the
values that the operator renders it with. Unchanged: one pass of the operator over a Ready CNIChain, and `helm upgrade`
of the installed release with the same values. Prints the tables of docs/performance.md, where it is said what each
figure is, or JSON with `-o json`; exit status 1 when an aim is missed, 2 when it could not be measured.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from auditcount import HELM, LEASES, OPERATOR, by_verb, reads, writes
from benchmachine import machine
from benchworld import CILIUM_PODS, VERSION, World, benchmark_world, say, wait_for
from cnichain.api.chain import parse_spec
from cnichain.catalogue.load import load_catalogue
from cnichain.cli.chartoptions import ChartSources
from cnichain.cli.offline import Assumed, render_offline
from cnichain.dev.errors import DevError
from cnichain.dev.probe import status
from cnichain.interrupt import sigterm_interrupts
from cnichain.reconcile.settings import OFFICIAL_CALICO_REPOSITORY, OFFICIAL_CHART_REPOSITORY
from procfs import cpu_seconds, rss_mb
from rig import BenchError
from speedreport import Cost, Speed, aims, table
from startup import IMPORTS, answers, import_of, operator_start, wall

SECONDS = 120.0
"""For each thing that is waited for."""
CONFIG = "/api/v1/namespaces/kube-system/configmaps/cilium-config"
CILIUM_SECRETS = "cilium-secrets"
SECRETS_NAMESPACE = f"/api/v1/namespaces/{CILIUM_SECRETS}"


class Helm:
    """The helm program on one release. What it keeps of its own is in a folder of the benchmark's."""

    def __init__(self, world: World, values: dict[str, Any]) -> None:
        self._world = world
        self._values = world.work / "values.json"
        self._values.write_text(json.dumps(values), encoding="utf-8")
        home = world.work / "helm"
        self._environment = {
            "PATH": os.defpath,
            "HOME": str(home),
            "KUBECONFIG": str(world.control_plane.kubeconfig),
        }

    def upgrade(self, *flags: str) -> Cost:
        """`helm upgrade` of the release. Raises BenchError."""
        chart = str(self._world.charts / f"cilium-{VERSION}.tgz")
        return self.run("upgrade", *flags, "cilium", chart, f"--values={self._values}")

    def run(self, *arguments: str) -> Cost:
        """One call and what it cost. Raises BenchError with helm's words."""
        command = [str(self._world.control_plane.toolbox.path("helm")), *arguments]
        command += ["--namespace=kube-system", f"--timeout={SECONDS:.0f}s"]  # helm names what it waits for
        place, before, begun = self._world.audit.here(), _children_cpu(), time.monotonic()
        try:
            done = subprocess.run(
                command, env=self._environment, capture_output=True, text=True, timeout=SECONDS + 20, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"helm {arguments[0]} did not end within {error.timeout:.0f} s") from error
        seconds, used = time.monotonic() - begun, _children_cpu() - before
        if done.returncode != 0:
            raise BenchError(f"helm {' '.join(arguments)} failed: {done.stderr.strip()[-1000:]}")
        return Cost(seconds, used, *_requests(self._world, place, HELM))


def _children_cpu() -> float:
    """CPU seconds of the programs that this process has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _requests(world: World, place: int, program: str) -> tuple[int, int]:
    """Reads and writes of a program since a place in the audit log."""
    counted = by_verb(request for request in world.audit.since(place) if request.program == program)
    return reads(counted), writes(counted)


def metrics(world: World) -> dict[str, float]:
    """The operator's own metrics that are used here."""
    code, text = status(f"http://127.0.0.1:{world.metrics_port}/metrics")
    if code != 200:
        raise BenchError(f"the operator's metrics were answered {code}")
    pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs if name.startswith("cnichain_reconcile_duration_seconds_")}


@contextmanager
def leading(world: World) -> Iterator[None]:
    """The operator holds its lease and waits for a CNIChain, when the block begins."""
    wait_for("the operator's /readyz is 200", lambda: answers(world), SECONDS)
    _settle(world)
    yield


@contextmanager
def installed(world: World, operator: int) -> Iterator[Cost]:
    """A CNIChain that is Ready, and what that cost; it is uninstalled again after the block."""
    place, before = world.audit.here(), cpu_seconds(operator)
    seconds = world.install(SECONDS, look=0.02, deletionPolicy="Uninstall")
    yield Cost(seconds, cpu_seconds(operator) - before, *_requests(world, place, OPERATOR))
    world.control_plane.run_kubectl("delete", "cnichain", "default", f"--timeout={SECONDS:.0f}s", timeout=SECONDS + 10)
    _clear(world)


@contextmanager
def installed_by_helm(world: World, helm: Helm) -> Iterator[Cost]:
    """The same by helm."""
    yield helm.upgrade("--install", "--wait")
    helm.run("uninstall", "cilium", "--wait")
    _clear(world)


def _clear(world: World) -> None:
    """Make the place empty for the next installation, by either of both.

    Our uninstallation leaves the namespace of Cilium's secrets on purpose, and helm refuses to take over one that is
    not of its release. helm's goes with its release, and what it has begun to delete refuses new objects.
    """
    arguments = ("namespace", CILIUM_SECRETS, "--ignore-not-found", f"--timeout={SECONDS:.0f}s")
    world.control_plane.run_kubectl("delete", *arguments, timeout=SECONDS + 10)

    def left() -> list[str]:
        pods = [item["metadata"]["name"] for item in world.api.all(CILIUM_PODS)]
        objects = [path.rpartition("/")[2] for path in (CONFIG, SECRETS_NAMESPACE) if world.api.get(path) is not None]
        return pods + objects

    try:
        wait_for("Cilium is gone", lambda: not left(), SECONDS)
    except BenchError as error:
        raise BenchError(f"{error}; still there: {', '.join(left())}") from error


def one_pass(world: World, operator: int, turn: str) -> Cost:
    """One pass of the operator over a CNIChain that needs nothing: an annotation of nobody's makes it look."""
    count, total = (f"cnichain_reconcile_duration_seconds_{part}" for part in ("count", "sum"))
    before, used, place = metrics(world), cpu_seconds(operator), world.audit.here()
    world.control_plane.run_kubectl("annotate", "cnichain", "default", f"benchmark={turn}", "--overwrite")
    time.sleep(1.0)  # without a look at the metrics, which would cost the CPU time that is measured
    wait_for("a pass is over", lambda: metrics(world)[count] > before[count], SECONDS, look=0.25)
    after, used = metrics(world), cpu_seconds(operator) - used
    passes = after[count] - before[count]
    seen, written = _requests(world, place, OPERATOR)
    return Cost((after[total] - before[total]) / passes, used / passes, round(seen / passes), round(written / passes))


def values(world: World) -> dict[str, Any]:
    """The values that the operator renders the chart with for this cluster."""
    sources = ChartSources(
        world.charts,
        None,
        OFFICIAL_CHART_REPOSITORY,
        OFFICIAL_CALICO_REPOSITORY,
        str(world.control_plane.toolbox.path("helm")),
    )
    spec = parse_spec(json.loads(world.chain_text())["spec"])
    return dict(render_offline(spec, load_catalogue(), sources, Assumed(nodes=world.nodes)).rendered.values)


def pairs(world: World, turns: int, passes: int) -> Speed:
    """All turns: each installs both ways, one after the other, and does nothing in both; the order alternates."""
    found = Speed(nodes=world.nodes, cilium=VERSION)
    helm = Helm(world, values(world))
    configurations: list[Any] = []
    with world.agents():
        for turn in range(-1, turns):
            counts = turn >= 0  # the first turn makes Cilium's CRDs and fills caches
            say(f"turn {turn + 1} of {turns}" + ("" if counts else " (does not count)"))

            def note_configuration() -> None:
                configurations.append((world.api.get(CONFIG) or {}).get("data"))
                if configurations[0] != configurations[-1]:
                    raise BenchError("both have installed Cilium, but each with another cilium-config")

            def ours(turn: int = turn, counts: bool = counts) -> None:
                # A new operator has rendered nothing yet: a user's first install is not faster than this.
                with world.operator() as operator, leading(world), installed(world, operator) as cost:
                    note_configuration()
                    _settle(world)
                    idle = [one_pass(world, operator, f"{turn}-{number}") for number in range(passes)]
                    found.operator_mb = rss_mb(operator)[0]
                if counts:
                    found.install.append(cost)
                    found.unchanged.extend(idle)

            def by_helm(counts: bool = counts) -> None:
                with installed_by_helm(world, helm) as cost:
                    note_configuration()
                    idle = [helm.upgrade() for _ in range(passes)]
                if counts:
                    found.helm_install.append(cost)
                    found.helm_unchanged.extend(idle)

            for arm in (ours, by_helm) if turn % 2 else (by_helm, ours):
                arm()
    return found


def _settle(world: World) -> None:
    """Wait until the operator has made no request but for its Lease for a second and a half."""
    world.settle(1.5, 30, lambda one: one.program == OPERATOR and one.resource != LEASES, look=0.1)


def starts(world: World, found: Speed, times: int) -> None:
    """Start-up and imports; the first of each, which compiles what it imports, does not count."""
    for number in range(times + 1):
        help_seconds = wall("-m", "cnichain.cli.main", "--help")
        bare = wall("-c", "pass")
        imports = {program: import_of(module) for program, module in IMPORTS.items()}
        if number:
            found.help.append(help_seconds)
            found.bare_python.append(bare)
            for program, one in imports.items():
                found.imports.setdefault(program, []).append(one)
    for _ in range(min(times, 5)):
        seconds, mb = operator_start(world)
        found.operator_start.append(seconds)
        found.operator_start_mb.append(mb)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=3, help="fake nodes (%(default)s)")
    parser.add_argument("--turns", type=int, default=7, help="of installs, each by both (%(default)s)")
    parser.add_argument("--passes", type=int, default=4, help="unchanged ones in each turn, by both (%(default)s)")
    parser.add_argument("--starts", type=int, default=20, help="of each program (%(default)s)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form (%(default)s)")
    options = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory(prefix="cnichain-speed-") as work:
        # As in the image: what is imported is compiled already, whatever this shell says of it.
        os.environ |= {"PYTHONPYCACHEPREFIX": f"{work}/pycache", "PYTHONDONTWRITEBYTECODE": ""}
        try:
            say("starting the control plane ...")
            with sigterm_interrupts(), benchmark_world(Path(work), options.nodes) as world:
                found = pairs(world, options.turns, options.passes)
                say("start-up and imports ...")
                starts(world, found, options.starts)
        except (BenchError, DevError) as error:
            print(f"The benchmark failed: {error}", file=sys.stderr)
            return 2
    verdicts = aims(found)
    if options.output == "json":
        data = {"measured": where, **asdict(found), "aims": [asdict(aim) for aim in verdicts]}
        print(json.dumps(data, indent=2))
    else:
        print(f"{table(found)}\n\nMeasured: {where}.")
    return 0 if all(aim.held for aim in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
