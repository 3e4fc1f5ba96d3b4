"""Run a program for as long as a control plane runs: `python -m demo.tether LOCK -- PROGRAM...`.

So that `make demo KEEP=1` can leave operator and agents running, and `cnichain dev down` ends them too: the supervisor
of the control plane holds a lock on LOCK, which the kernel drops however the supervisor ends.
"""

import signal
import subprocess
import sys
from pathlib import Path

from cnichain.dev.linux import die_with_parent, is_locked

LOOK_SECONDS = 0.5
STOP_SECONDS = 15


def main() -> int:
    """The program's exit code, or 0 when it was stopped with the control plane."""
    lock, _, *command = sys.argv[1:]
    # A tether has one thread, so the kernel ends the program with it in every case.
    program = subprocess.Popen(command, preexec_fn=die_with_parent())  # noqa: PLW1509 - this process has one thread
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    while True:
        try:
            return program.wait(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if not is_locked(Path(lock)):
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
