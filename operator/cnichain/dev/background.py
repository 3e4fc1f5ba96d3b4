"""A control plane that runs in the background: what it is doing, and its end."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from cnichain.dev.components import STOP_TIMEOUT
from cnichain.dev.errors import DevError
from cnichain.dev.layout import Layout, State, read_state
from cnichain.dev.linux import is_locked

DOWN_TIMEOUT = 6 * STOP_TIMEOUT
"""Seconds until the last component has ended, each using all of its time."""
_POLL = 0.05


@dataclass(frozen=True)
class Status:
    """What `cnichain dev status` shows. running: the supervisor is alive."""

    running: bool
    layout: Layout
    state: State | None


def status(directory: Path) -> Status:
    """Of the control plane in `directory`, which need not exist."""
    layout = Layout(directory.resolve())
    return Status(is_locked(layout.lock), layout, read_state(layout))


def down(directory: Path) -> bool:
    """Stop the control plane in `directory` and wait until all its processes have ended. False: none was running."""
    layout = Layout(directory.resolve())
    if not is_locked(layout.lock):
        return False
    deadline = time.monotonic() + DOWN_TIMEOUT
    asked = 0
    while is_locked(layout.lock):
        state = read_state(layout)
        if state is not None and state.pid != asked and _is_supervisor(state.pid):
            os.kill(state.pid, signal.SIGTERM)
            asked = state.pid
        if time.monotonic() > deadline:
            raise DevError(
                f"The control plane in {layout.root} did not end within {DOWN_TIMEOUT:.0f} s. Its log is "
                f"{layout.supervisor_log}; `fuser {layout.lock}` shows its process."
            )
        time.sleep(_POLL)  # the process is not our child: nothing to wait on but its lock
    return True


def _is_supervisor(pid: int) -> bool:
    """The pid in a state file may be of an old run and belong to anyone by now."""
    try:
        return b"cnichain.dev.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False  # no such process
