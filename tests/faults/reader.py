"""Loads a CNI configuration folder in a tight loop, as containerd's go-cni and libcni do, and notes what was wrong.

`reader.py FOLDER chained|loadable`: runs until its standard input is closed, then prints one JSON line
{"looks": 12345, "files": {name of the first file: looks}, "wrong": [the first few things that were wrong]}. None of the
product's code: the first file in byte order with a known extension is read and parsed, and nothing else counts.

chained: the first file must be a list with the primary's plugins and one cilium-cni behind them.
loadable: the first file must be a list that a runtime loads; it may be the primary's own.
"""

import json
import os
import select
import sys
from collections import Counter
from typing import Any, NoReturn

EXTENSIONS = (b".conf", b".conflist", b".json")
PRIMARY = ("aws-cni", "portmap")
MAX_TOLD = 5


def problem(folder: bytes, must_be_chained: bool, seen: Counter[str]) -> str:
    """What is wrong with the first file now; empty when nothing is."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(EXTENSIONS))  # noqa: PTH208 - a tight loop
    if not names:
        return "there is no file to load"
    first = names[0].decode()
    try:
        with open(folder + b"/" + names[0], "rb", buffering=0) as file:  # noqa: PTH123 - a tight loop
            content = file.read()
    except FileNotFoundError:
        # Removed between listing and reading: fine where removals are part of the test, since the runtime then gets an
        # event and loads again, and never fine for a file that is only replaced.
        return f"{first} was missing" if must_be_chained else ""
    seen[first] += 1
    try:
        return wrong_with(json.loads(content, parse_constant=_refuse), first, must_be_chained)
    except ValueError as error:
        return f"{first} is not JSON ({error}): {content[:60]!r}... of {len(content)} bytes"


def wrong_with(value: Any, name: str, must_be_chained: bool) -> str:
    """What is wrong with the parsed file; empty when nothing is."""
    plugins = value.get("plugins") if isinstance(value, dict) else None
    if not isinstance(plugins, list) or not all(isinstance(item, dict) and item.get("type") for item in plugins):
        return f"{name} is no list of plugins: {value!r:.80}"
    if value.get("name") != "aws-cni" or not isinstance(value.get("cniVersion"), str):
        return f"{name} is not the network aws-cni: {value!r:.80}"
    types = [item["type"] for item in plugins]
    if not must_be_chained:
        return ""
    has_primary = types[0] == PRIMARY[0] and PRIMARY[1] in types
    return "" if has_primary and types[-1] == "cilium-cni" else f"{name} has the chain {types}"


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def main(folder: str, mode: str) -> None:
    """The loop."""
    os.nice(5)  # without a pause it takes all that others leave, and not what they need
    seen: Counter[str] = Counter()
    looks, wrong = 0, list[str]()
    ending = select.poll()
    ending.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    print("reading", flush=True)
    while not ending.poll(0):
        looks += 1
        if (said := problem(os.fsencode(folder), mode == "chained", seen)) and len(wrong) < MAX_TOLD:
            wrong.append(said)
    print(json.dumps({"looks": looks, "files": seen, "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
