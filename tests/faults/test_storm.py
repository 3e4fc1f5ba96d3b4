"""Fault cases 11 and 12, a thousand times: another process rewrites the primary's file without rest.

How soon the chain is right after the last write is measured by `make bench-agent`, on a machine that is not busy.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.conftest import CHAINS, HERE
from tests.node.conftest import DEFAULT_ENTRY, NEWEST, Node, wait_until

from cnichain.node.conflist import parse
from cnichain.node.splice import derive

REWRITES = 1000
SECONDS = 10
STORM_LIMIT = 120
SETTLE_LIMIT = 5.0


@pytest.mark.parametrize("seed", ["1", "2"])
def test_in_a_storm_of_rewrites_each_read_is_a_valid_chain_and_the_last_one_counts(
    node: Node, reading: Callable[[str], Any], seed: str
) -> None:
    node.source.write_bytes(NEWEST)
    node.start()
    node.wait_chained(CHAINS["1.20.0"])
    command = [sys.executable, "-I", str(HERE / "storm.py"), str(node.source), str(REWRITES), str(SECONDS), seed]
    with reading("chained") as reader:
        done = subprocess.run(command, capture_output=True, timeout=STORM_LIMIT, check=True)
        last = node.source.read_bytes()
        wanted = derive(parse(last), DEFAULT_ENTRY)
        what = f"{REWRITES} rewrites are over and the chain is that of the last one; the log: {node.log()[-5:]}"
        wait_until(lambda: node.chained.read_bytes() == wanted, what, seconds=SETTLE_LIMIT)
        settled = time.monotonic() - json.loads(done.stdout)["ended"]
        saw = reader.end()
    print(f"right {settled * 1000:.0f} ms after the last write, seen from another process")
    assert not saw.wrong, f"a runtime saw this, in {saw.looks} looks: {saw.wrong}"
    assert saw.looks > REWRITES, f"the reader looked {saw.looks} times only: it proves nothing"
    assert node.names() == sorted([node.chained.name, node.source.name]), "something was left in the folder"
