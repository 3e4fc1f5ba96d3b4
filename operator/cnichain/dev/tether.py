"""Run a program for as long as a control plane runs: `python -m cnichain.dev.tether LOCK OWN -- PROGRAM...`.

So that operator and agents can be left running, and `cnichain dev down` ends them too: the supervisor of the control
plane holds a lock on LOCK, which the kernel drops however the supervisor ends. OWN is locked while the program runs, so
that nobody starts it twice.
"""

import signal
import subprocess
import sys
from pathlib import Path

from cnichain.dev.linux import die_with_parent, is_locked, try_lock

LOOK_SECONDS = 0.5
STOP_SECONDS = 15


def main() -> int:
    """The program's exit code, 0 when it was stopped with the control plane, 1 when it runs already."""
    lock, own, _, *command = sys.argv[1:]
    held = try_lock(Path(own))
    if held is None:
        print(f"{own} is locked: this program runs already.", file=sys.stderr)
        return 1
    with held:
        return _run(Path(lock), command)


def _run(lock: Path, command: list[str]) -> int:
    # A tether has one thread, so the kernel ends the program with it in every case.
    program = subprocess.Popen(command, preexec_fn=die_with_parent())  # noqa: PLW1509 - this process has one thread
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    while True:
        try:
            return program.wait(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if not is_locked(lock):
                break
    program.terminate()
    try:
        program.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
