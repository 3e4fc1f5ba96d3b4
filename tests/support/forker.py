"""Runs the operator again and again, each time killed (SIGKILL) when it is told so.

A program of the tests alone: `forker.py ARGUMENTS`, those of `cnichain operator`. It imports the operator once and
forks it for each order on standard input: `start`, or `kill`, which ends the one that runs. Answer to either, one line
on standard output: the pid of the one started; `killed`, or how the operator had ended by itself before.
"""

import gc
import os
import signal
import sys

from cnichain.cli.operator import operator


def start(arguments: list[str]) -> int:
    """Fork an operator; its pid."""
    process = os.fork()
    if process == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(nothing, descriptor)
        operator.main(args=arguments)  # ends by SystemExit
    return process


def kill(process: int) -> str:
    """End an operator by SIGKILL; how it has ended."""
    ended, status = os.waitpid(process, os.WNOHANG)
    if ended:
        return f"ended by itself: {os.waitstatus_to_exitcode(status)}"
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return "killed" if os.waitstatus_to_exitcode(status) == -signal.SIGKILL else f"ended: {status}"


def serve(arguments: list[str]) -> None:
    """Carry out orders until standard input is closed."""
    process = 0
    try:
        for line in sys.stdin:
            if line.strip() == "start":
                process = start(arguments)
                answer = str(process)
            else:
                answer, process = kill(process), 0
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()
    finally:
        if process:
            kill(process)


if __name__ == "__main__":
    gc.freeze()  # so that the forks share the memory of what is imported
    serve(sys.argv[1:])
