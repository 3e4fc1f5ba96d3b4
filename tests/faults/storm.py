"""Rewrites a primary's conflist without rest: valid, truncated and empty, by rename and in place.

`storm.py FILE REWRITES SECONDS SEED`: spreads the rewrites over the seconds. The last one is valid. Then one JSON line:
{"ended": when the last write was done, by CLOCK_MONOTONIC, "seconds": how long all took}.
"""

import json
import os
import random
import sys
import time
from pathlib import Path


def rewrite(file: Path, content: bytes, *, in_place: bool) -> None:
    """As some installers do (truncate, then write in two parts), or as aws-node does (a .tmp file, then rename)."""
    if in_place:
        with file.open("wb", buffering=0) as writer:
            writer.write(content[: len(content) // 2])
            writer.write(content[len(content) // 2 :])
        return
    temporary = file.with_name(f"{file.name}.tmp")
    temporary.write_bytes(content)
    temporary.rename(file)


def variant(valid: bytes, chance: random.Random) -> bytes:
    """Another valid content, or a part of one, or none."""
    content = valid.replace(b'"9001"', f'"{chance.randrange(1280, 9001)}"'.encode())
    kind = chance.choice(("valid", "truncated", "empty"))
    return {"valid": content, "truncated": content[: chance.randrange(1, len(content) - 2)], "empty": b""}[kind]


def main(path: str, rewrites: str, seconds: str, seed: str) -> None:
    """The storm."""
    file, count = Path(path), int(rewrites)
    valid, chance = file.read_bytes(), random.Random(seed)  # noqa: S311 - a test's choice of faults
    begun = time.monotonic()
    for turn in range(count):
        time.sleep(max(0.0, begun + turn * float(seconds) / count - time.monotonic()))
        is_last = turn == count - 1
        content = valid.replace(b'"9001"', b'"1500"') if is_last else variant(valid, chance)
        rewrite(file, content, in_place=chance.random() < 0.5)
    os.write(1, json.dumps({"ended": time.monotonic(), "seconds": time.monotonic() - begun}).encode())


if __name__ == "__main__":
    main(*sys.argv[1:5])
