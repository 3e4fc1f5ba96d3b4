"""One way to run an external program: a list of arguments, a time limit, output where one can read it later."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cnichain.dev.errors import DevError

TICK = 1.0


def run_logged(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float,
    tick: Callable[[], None],
) -> int:
    """Run to the end with all output in `log`; `tick` is called about once a second. Returns the exit code.

    The program gets a process group of its own, and the whole group is killed when this function is left early (time
    limit, Ctrl-C), so that compilers started by `go build` do not run on.
    """
    with log.open("wb") as out, _start(argv, out.fileno(), cwd, env) as process:
        try:
            return _wait(process, argv, log, timeout, tick)
        except BaseException:
            _kill_group(process)
            raise


def capture(argv: Sequence[str], *, timeout: float, stdin: str | None = None) -> str:
    """Standard output of a short program. DevError with its last words when it fails or is too slow."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, input=stdin, check=False)
    except OSError as error:
        raise DevError(f"Cannot run {argv[0]}: {error}.") from error
    except subprocess.TimeoutExpired as error:
        raise DevError(f"{_shown(argv)} did not end within {timeout:.0f} s.") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise DevError(f"{_shown(argv)} failed (exit code {done.returncode}): {words}")
    return done.stdout


def _start(argv: Sequence[str], out: int, cwd: Path | None, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise DevError(f"Cannot run {argv[0]}: {error}.") from error


def _wait(
    process: subprocess.Popen[bytes], argv: Sequence[str], log: Path, timeout: float, tick: Callable[[], None]
) -> int:
    deadline = time.monotonic() + timeout
    while True:
        try:
            return process.wait(timeout=TICK)
        except subprocess.TimeoutExpired:
            tick()
            if time.monotonic() > deadline:
                raise DevError(f"{_shown(argv)} did not end within {timeout:.0f} s. Its output: {log}") from None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself meanwhile
    process.wait(timeout=10)


def _shown(argv: Sequence[str]) -> str:
    return " ".join([Path(argv[0]).name, *argv[1:3]])
