"""Files of another owner or that nobody may read, on a real file system under a real agent (fault case 49)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.node.conftest import CHAINED, DEFAULT_ENTRY, HISTORY, NEWEST, SOURCE, Node, wait_until

from cnichain.node.conflist import parse
from cnichain.node.splice import derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
UPGRADED = derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY)
STRANGER = 1234

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away, and giving up rights, needs root")


def _close(path: Path) -> None:
    """Gives the file to somebody else, and takes every right away."""
    os.chown(path, STRANGER, STRANGER)
    path.chmod(0)


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def test_the_primarys_file_is_read_whoever_owns_it_and_left_as_it_is(node: Node) -> None:
    node.source.write_bytes(NEWEST)
    _close(node.source)
    node.start()
    node.wait_chained(GOOD)
    node.wait_said(state="InSync", reason="ChainVerified")
    wait_until(lambda: f"{SOURCE} belongs to the user {STRANGER}, not to root" in _said(node), "its owner is told")
    assert _state(node.source) == (STRANGER, STRANGER, 0), "the primary's file is not the agent's to change"
    assert _state(node.chained) == (0, 0, 0o600)
    node.replace(SOURCE, HISTORY["1.18.3"])
    _close(node.source)
    node.wait_chained(UPGRADED)


def test_our_own_file_is_right_whoever_owns_it_and_is_roots_again_with_the_next_write(node: Node) -> None:
    node.source.write_bytes(NEWEST)
    node.chained.write_bytes(GOOD)
    _close(node.chained)
    node.start()
    node.wait_said(state="InSync", reason="ChainVerified")
    wait_until(lambda: f"{CHAINED} belongs to the user {STRANGER}, not to root" in _said(node), "its owner is told")
    assert _state(node.chained) == (STRANGER, STRANGER, 0), "no content differs, so there is nothing to write"
    node.replace(SOURCE, HISTORY["1.18.3"])
    node.wait_chained(UPGRADED)
    assert _state(node.chained) == (0, 0, 0o600), "a runtime that is not root could not read it"
    wait_until(lambda: "belongs to" not in _said(node), "nothing is left to say of an owner")


def _said(node: Node) -> str:
    said = [str(line["message"]) for line in node.log() if "reason" in line]
    return said[-1] if said else ""


_AS_NOBODY = """
import json, os, sys
from pathlib import Path
from cnichain.api.chainnode import NodeSpec
from cnichain.node import files
from cnichain.node.decide import decide
from cnichain.node.decision import Known, View
os.setgroups([])  # only now: nobody may not even read the modules
os.setgid(65534)
os.setuid(65534)
folder = files.scan(Path(sys.argv[1]))
known = Known(source_file="10-aws.conflist", chained=True, chained_file="05-cilium.conflist")
decision = decide(View(folder, frozenset({"aws-cni", "egress-cni", "portmap", "cilium-cni"}), known), NodeSpec())
said = {"action": type(decision.action).__name__, "state": decision.state, "reason": decision.reason}
try:
    files.write_atomic(Path(sys.argv[1]), "05-cilium.conflist", b"x", folder_identity=folder.identity,
                       check=lambda _: None, source=None)
except files.NodeFileError as error:
    said["write"] = str(error)
print(json.dumps({**said, "message": decision.message}))
"""


def _as_nobody(conf: Path) -> dict[str, Any]:
    """What an agent without any right decides and can do there."""
    command = [sys.executable, "-c", _AS_NOBODY, str(conf)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture
def open_conf() -> Iterator[Path]:
    """A folder that everybody may enter and nobody but root may change; pytest's own are closed to others."""
    with TemporaryDirectory() as root:
        conf = Path(root)
        conf.chmod(0o755)
        for name, content in ((SOURCE, NEWEST), (CHAINED, GOOD)):
            (conf / name).write_bytes(content)
            (conf / name).chmod(0o644)
        yield conf


def test_without_the_right_to_read_the_primarys_file_is_named_and_nothing_is_lost(open_conf: Path) -> None:
    (open_conf / SOURCE).chmod(0)
    said = _as_nobody(open_conf)
    assert (said["action"], said["reason"]) == ("NoneType", "PrimaryConflistInvalid")
    assert SOURCE in said["message"]
    assert "cannot be read: Permission denied (EACCES)" in said["message"]
    assert "EACCES" in said["write"]
    assert (open_conf / CHAINED).read_bytes() == GOOD
    assert sorted(path.name for path in open_conf.iterdir()) == [CHAINED, SOURCE]


def test_without_the_right_to_read_our_own_file_is_not_taken_for_right(open_conf: Path) -> None:
    (open_conf / CHAINED).chmod(0)
    said = _as_nobody(open_conf)
    assert (said["action"], said["state"]) == ("Write", "DriftDest")
    assert f"{CHAINED} cannot be read: Permission denied (EACCES)" in said["message"]
    assert "EACCES" in said["write"]
    assert (open_conf / CHAINED).read_bytes() == GOOD
