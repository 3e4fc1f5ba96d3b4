"""The API server's audit log, read while the API server writes it."""

import json
from pathlib import Path
from typing import Any


def whole_lines(log: Path) -> list[str]:
    """The lines that are written to their end: the API server may be in the middle of the last one."""
    return log.read_text(encoding="utf-8").split("\n")[:-1]


def entries(log: Path, start: int = 0, agent: str = "") -> list[dict[str, Any]]:
    """The requests from line `start` on, in the order in which they ended. agent: how the user agent begins, if given.

    A test that waits asks often, and a busy control plane writes thousands of others' lines: those are not parsed.
    """
    begins = f'"userAgent":"{agent}'
    return [json.loads(line) for line in whole_lines(log)[start:] if begins in line or not agent]
