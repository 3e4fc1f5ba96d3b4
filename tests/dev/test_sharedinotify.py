"""One inotify instance for many agents: each is woken by its own folders alone, as by an instance of its own."""

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnichain.dev.sharedinotify import SharedInotify
from cnichain.node.inotify import Watcher

WAIT_MILLISECONDS = 5000


@pytest.fixture
def shared() -> Iterator[SharedInotify]:
    shared = SharedInotify()
    yield shared
    shared.stop()


def armed(shared: SharedInotify, root: Path) -> tuple[Watcher, Path]:
    """A watcher of a node's folders below `root`, and its configuration folder."""
    conf, binaries = root / "cni" / "net.d", root / "bin"
    conf.mkdir(parents=True)
    binaries.mkdir()
    watcher = Watcher(conf, binaries, shared.part())
    assert watcher.arm()
    return watcher, conf


def woken(watcher: Watcher, milliseconds: int = WAIT_MILLISECONDS) -> bool:
    poller = select.poll()
    poller.register(watcher.fileno(), select.POLLIN)
    return bool(poller.poll(milliseconds)) and watcher.read()


def make(path: Path) -> None:
    """A change that is one event: a symbolic link is made."""
    path.symlink_to("nowhere")


def test_each_is_woken_by_its_own_folders(shared: SharedInotify, tmp_path: Path) -> None:
    shared.start()
    (first, conf), (second, other) = armed(shared, tmp_path / "a"), armed(shared, tmp_path / "b")
    make(conf / "10-aws.conflist")
    assert woken(first)
    make(tmp_path / "b" / "bin" / "cilium-cni")
    assert woken(second)
    make(conf / "10-aws.conflist.tmp")
    assert not woken(first), "a temporary file"
    make(conf / "20-other.conflist")
    assert woken(first)
    assert not woken(second, 0), "what happened on another node"
    first.close()
    make(other / "10-aws.conflist")
    assert woken(second), "the other one has ended, this one goes on"
    second.close()


def test_a_replaced_folder_is_watched_again(shared: SharedInotify, tmp_path: Path) -> None:
    shared.start()
    watcher, conf = armed(shared, tmp_path)
    conf.rename(conf.with_name("old"))
    assert woken(watcher)
    conf.mkdir()
    assert woken(watcher)
    assert watcher.arm()
    (conf / "x.conf").write_text("")
    assert woken(watcher)
    watcher.close()


def test_an_overflow_of_the_queue_wakes_all(shared: SharedInotify, tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: too many files for a test")
    (busy, conf), (quiet, _) = armed(shared, tmp_path / "a"), armed(shared, tmp_path / "b")
    first, second = conf / "a.tmp", conf / "b.tmp"
    first.write_text("")
    for _ in range(limit // 2 + 10):
        first.rename(second)
        first, second = second, first
    shared.start()
    assert woken(quiet), "its events may be among those that were lost"
    while not woken(busy):  # what came before the overflow calls for no look
        pass
    busy.close()
    quiet.close()
