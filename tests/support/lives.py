"""An operator that is killed (SIGKILL) at some of its writes, and started again each time.

It runs behind the fault proxy, which sees each write answered, and is forked from a process that has imported it
already (forker.py). The real helm renders; a script keeps what it wrote for the same arguments and values, since each
life renders anew.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faultproxy import Answered, FaultProxy
from harness import Harness


@dataclass
class Lives:
    """The lives of one operator.

    is_due: asked for each write, whether to kill it there. kills: "METHOD path" of each write that it was killed at.
    writes: of all of them. trouble: a life that ended by itself.
    """

    process: subprocess.Popen[str]
    is_due: Callable[[str, Answered], bool]
    kills: list[str] = field(default_factory=list)
    writes: set[str] = field(default_factory=set)
    trouble: str = ""
    _killed_at: float = 0.0

    def answered(self, answer: Answered) -> Callable[[], None] | None:
        """Called by the proxy for each answer of the API server."""
        path, _, query = answer.path.partition("?")
        if answer.method == "GET" or answer.status >= 300 or "dryRun" in query or "/events" in path:
            return None
        write = f"{answer.method} {path}"
        self.writes.add(write)
        # What an operator that is dead already has sent comes again from the next one.
        if answer.began < self._killed_at or not self.is_due(write, answer):
            return None
        self.kills.append(write)
        if len(self.kills) % 2:
            self._kill()
            return None
        return self._kill

    def order(self, text: str) -> str:
        """Give the forker an order; its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def _kill(self) -> None:
        answer = self.order("kill")
        if answer != "killed":
            self.trouble = f"the operator had ended before kill {len(self.kills)} at {self.kills[-1]}: {answer}"
        self._killed_at = time.monotonic()
        self.order("start")


def never(_write: str, _answer: Answered) -> bool:
    """Nobody kills it."""
    return False


def never_comes_again(method: str, path: str) -> bool:
    """Whether a request, once it is through, leaves nothing for the next life to do again."""
    return method == "DELETE" or (method == "PATCH" and ("/cnichainnodes/" in path or "/nodes/" in path))


def helm_with_memory(world: Harness) -> Path:
    """A program like helm that runs the real one once for each input."""
    kept = world.work / "rendered"
    kept.mkdir(exist_ok=True)
    script = world.work / "helm-with-memory"
    lines = [
        "#!/bin/sh -e",
        "values=$(cat)",
        f"""kept="{kept}/$(printf '%s\\n' "$values" "$@" | sha256sum | cut -c1-64)\"""",
        'if [ ! -f "$kept" ]; then',
        f"""  printf '%s' "$values" | '{world.control_plane.toolbox.path("helm")}' "$@" > "$kept.$$\"""",
        '  mv "$kept.$$" "$kept"',
        "fi",
        'exec cat "$kept"',
    ]
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    script.chmod(0o700)
    return script


@contextmanager
def lives(world: Harness, proxy: FaultProxy, is_due: Callable[[str, Answered], bool]) -> Iterator[Lives]:
    """An operator behind the proxy, started. is_due: see Lives; `never` for one that nobody kills."""
    arguments = [
        f"--kubeconfig={proxy.kubeconfig(world.control_plane, world.work)}",
        f"--helm={helm_with_memory(world)}",
        f"--chart-dir={world.chart_dir}",
        f"--cache-dir={world.work / 'cache'}",
        "--leader-elect=false",  # each life would wait for the end of the lease of the one before
    ]
    log = world.work / f"forked-operator-{len(world.logs)}.log"
    world.logs.append(log)
    forker = [sys.executable, str(Path(__file__).with_name("forker.py")), *arguments]
    with (
        log.open("ab") as output,
        subprocess.Popen(
            forker,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env=os.environ | {"TMPDIR": str(world.work)},  # a killed operator leaves folders there
        ) as process,
    ):
        one = Lives(process, is_due)
        try:
            one.order("start")
            proxy.one_by_one = never_comes_again
            proxy.answered = one.answered
            yield one
        finally:
            proxy.answered = lambda _answer: None
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=20)
