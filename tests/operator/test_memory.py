"""The operator gives memory back that it does not use, which the C library would keep."""

import subprocess
import sys

PROGRAM = """
from pathlib import Path
from cnichain.controller.memory import release

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

before = resident()
answers = [bytes(4096) for _ in range(20_000)]
records = answers[::100]
del answers
kept = resident()
release()
print(before, kept, resident(), len(records))
"""


def test_what_small_records_hold_together_is_given_back() -> None:
    """In a process of its own: this one's memory is everybody's."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    before, kept, after, records = map(float, done.stdout.split())
    assert records == 200, "they are in use all the time"
    assert kept - before > 40, f"the C library has given it back by itself: nothing is tested ({done.stdout})"
    assert after - before < 20, f"{after - before:.0f} MB of {kept - before:.0f} MB are still held"
