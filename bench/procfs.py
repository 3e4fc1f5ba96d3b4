"""What the kernel says of a process: CPU time, memory, files and threads."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time so far, user and system, with that of children that have ended (helm, of the operator)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def has_ended(pid: int) -> bool:
    """Whether a process runs no more, though nobody has waited for it yet."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def open_files(pid: int) -> int:
    """File descriptors that are open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> int:
    """Threads that run or wait."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def rss_mb(pid: int) -> tuple[float, float]:
    """MB of memory now, and the most that it ever was; 0 of a process that has ended."""
    found = dict.fromkeys(("VmRSS", "VmHWM"), 0.0)
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in found:
            found[key] = int(value.split()[0]) / 1024
    return found["VmRSS"], found["VmHWM"]
