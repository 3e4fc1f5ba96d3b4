"""Which changes of the CNI folder a real containerd follows: the rows of its reload matrix that the agent relies on.

Source of the matrix: fsnotify's events and containerd's own filter, which ignores CREATE and CHMOD (containerd#11715).
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from realnode import conflists
from realnode.layout import PRIMARY_FILE
from realnode.namespaces import wait_for
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode]

LINKED_FILE = "05-linked.conflist"
CHANGED = conflists.stand_in(mtu=1400)


def _loaded_mtu(node: RealNode, mtu: int) -> None:
    wait_for(
        f"containerd has not loaded the list with MTU {mtu}; it says {node.runtime_status()}",
        lambda: "yes" if node.runtime_status().mtu == mtu else "",
        15.0,
    )


def _nudge(folder: Path) -> None:
    """Any REMOVE in the folder makes containerd read it anew."""
    scratch = folder / ".chain-nudge.tmp"
    scratch.write_text("nudge", encoding="ascii")
    scratch.unlink()


def _rename_within(node: RealNode) -> None:
    node.publish(CHANGED)


def _rename_from_elsewhere(node: RealNode) -> None:
    elsewhere = node.layout.conf_dir.parent / "elsewhere.tmp"
    elsewhere.write_text(CHANGED, encoding="utf-8")
    elsewhere.rename(node.layout.conf_dir / PRIMARY_FILE)


def _hard_link(node: RealNode) -> None:
    elsewhere = node.layout.conf_dir.parent / "elsewhere.tmp"
    elsewhere.write_text(CHANGED, encoding="utf-8")
    (node.layout.conf_dir / LINKED_FILE).hardlink_to(elsewhere)
    elsewhere.unlink()


def test_a_rename_within_the_folder_is_followed(node: RealNode) -> None:
    _rename_within(node)
    _loaded_mtu(node, 1400)


@pytest.mark.parametrize(
    ("arrive", "file"), [(_rename_from_elsewhere, PRIMARY_FILE), (_hard_link, LINKED_FILE)], ids=["rename", "hard link"]
)
def test_what_arrives_otherwise_is_missed_until_a_nudge(
    node: RealNode, arrive: Callable[[RealNode], None], file: str
) -> None:
    log = node.layout.log_dir / "containerd.log"
    before = log.stat().st_size
    arrive(node)
    _wait_ignored(log, before, file)
    assert node.runtime_status().mtu == 1500, "containerd follows such a change: the nudge is not needed any more"
    _nudge(node.layout.conf_dir)
    _loaded_mtu(node, 1400)


def _wait_ignored(log: Path, start: int, file: str) -> None:
    """containerd's own word that it has seen the event and will not act on it."""

    def ignored() -> str:
        lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
        return next((line for line in lines if "ignore event from cni conf dir" in line and file in line), "")

    wait_for(f"containerd's log does not say that it ignored the event of {file}", ignored, 15.0)


def test_an_emptied_file_leaves_the_runtime_without_a_network(node: RealNode) -> None:
    """Why nothing is ever written in place: containerd drops the list that it had."""
    (node.layout.conf_dir / PRIMARY_FILE).write_text("", encoding="utf-8")
    wait_for("NetworkReady stays", lambda: "" if node.runtime_status().network_ready else "gone", 15.0)
    assert PRIMARY_FILE in node.runtime_status().last_load
    node.publish(CHANGED)
    _loaded_mtu(node, 1400)


def test_removing_the_chained_file_falls_back_to_the_next(node: RealNode) -> None:
    node.publish(CHANGED, "05-cilium.conflist")
    _loaded_mtu(node, 1400)
    node.unpublish("05-cilium.conflist")
    _loaded_mtu(node, 1500)
