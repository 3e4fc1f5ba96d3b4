"""How long programs take to start and to import what they need, and the memory that this costs."""

import http.client
import subprocess
import sys
import time

from benchworld import World, wait_for
from cnichain.dev.probe import status
from procfs import rss_mb
from rig import BenchError
from speedreport import Import

IMPORTS = {"cnichain": "cnichain.cli.main", "operator": "cnichain.cli.operator", "agent": "cnichain.node.main"}
"""Program to the module that brings in all that it needs at the start."""
_MEASURE = (
    "import sys, time; begun = time.perf_counter(); __import__(sys.argv[1]); taken = time.perf_counter() - begun; "
    "found = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]; "
    "print(taken, int(found[0].split()[1]) / 1024)"
)
"""VmHWM begins anew with a program; ru_maxrss would be that of the process that has started it, where that is more."""
_SECONDS = 60


def import_of(module: str) -> Import:
    """One import in a process of its own. Raises BenchError."""
    seconds, mb = _run([sys.executable, "-c", _MEASURE, module]).split()
    return Import(float(seconds), float(mb))


def wall(*arguments: str) -> float:
    """Seconds from the start of a Python program to its end. arguments: those of the interpreter."""
    begun = time.monotonic()
    _run([sys.executable, *arguments])
    return time.monotonic() - begun


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def answers(world: World) -> bool:
    """Whether the operator's /readyz is 200."""
    try:
        return status(f"http://127.0.0.1:{world.health_port}/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False  # it does not listen yet


def operator_start(world: World) -> tuple[float, float]:
    """Seconds from the start of the operator's process until /readyz is 200, and the MB that it has then."""
    begun = time.monotonic()
    with world.operator() as pid:
        ready = wait_for("the operator's /readyz is 200", lambda: answers(world), _SECONDS, look=0.01)
        return ready - begun, rss_mb(pid)[0]
