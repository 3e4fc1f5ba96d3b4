"""Log lines of the agent: one JSON object a line on stderr, with the fields that a person greps for.

Not the `logging` package: its import would be a twentieth of all the memory that the agent may use on each node.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")

_STDERR = 2


class Log:
    """Writes lines of a level or above. Fields are given by name, in the API's camelCase."""

    def __init__(self) -> None:
        self._threshold = LEVELS.index("info")
        self.context: Callable[[], Mapping[str, object]] = dict
        """Gives the fields that every line has; none of its own accord."""
        self._lock = threading.Lock()

    def set_level(self, level: str) -> None:
        """level: one of LEVELS."""
        self._threshold = LEVELS.index(level)

    def info(self, message: str, **fields: object) -> None:
        """What happened, as it should."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """What a person should look at if it lasts."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """What a person must look at."""
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        if LEVELS.index(level) < self._threshold:
            return
        now = time.time()
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        line = {
            "time": f"{seconds}.{int(now % 1 * 1000):03d}Z",
            "level": level,
            "message": message,
            **self.context(),
            **fields,
        }
        data = json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
        # One call a line: lines of two processes on one pipe do not mix. Where nobody reads the log (a closed pipe), or
        # the disk is full that it goes to, guarding goes on without it.
        with self._lock, suppress(OSError):
            os.write(_STDERR, data)


log: Final = Log()
"""The agent's one log."""


def now_rfc3339() -> str:
    """The wall clock as the Kubernetes API writes it: RFC 3339, UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
