"""inotify on real folders: what wakes the agent, and what it survives (fault cases 5 and 39)."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnichain.node.inotify import Watcher


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "cni" / "net.d"
    folder.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    return folder


@pytest.fixture
def watcher(conf: Path, tmp_path: Path) -> Iterator[Watcher]:
    watcher = Watcher(conf, tmp_path / "bin")
    assert watcher.arm()
    yield watcher
    watcher.close()


def _woken(watcher: Watcher) -> bool:
    poller = select.poll()
    poller.register(watcher.fileno(), select.POLLIN)
    return bool(poller.poll(0)) and watcher.read()


def test_every_change_of_a_conflist_wakes(watcher: Watcher, conf: Path, tmp_path: Path) -> None:
    file, other = conf / "10-aws.conflist", tmp_path / "other"
    changes: dict[str, Callable[[], object]] = {
        "create": lambda: file.write_text("1"),
        "in-place write": lambda: file.write_text("2"),
        "chmod": lambda: file.chmod(0o600),
        "rename away": lambda: file.rename(other),
        "rename from elsewhere": lambda: other.rename(file),
        "rename within": lambda: file.rename(conf / "11-aws.conf"),
        "symlink": lambda: file.symlink_to(other),
        "hard link": lambda: os.link(conf / "11-aws.conf", conf / "12.json"),
        "delete": file.unlink,
        "a binary": lambda: (tmp_path / "bin" / "cilium-cni").write_text(""),
    }
    for what, change in changes.items():
        change()
        assert _woken(watcher), f"{what} did not wake the agent"


def test_temporary_files_do_not_wake(watcher: Watcher, conf: Path) -> None:
    (conf / ".05-cilium.conflist.chain-1-ab.tmp").write_text("x")
    (conf / "10-aws.conflist.tmp").write_text("x")
    assert not _woken(watcher)


def test_a_replaced_folder_wakes_and_is_watched_again(watcher: Watcher, conf: Path) -> None:
    """Fault case 5."""
    conf.rename(conf.with_name("old"))
    assert _woken(watcher)
    assert not watcher.arm(), "there is nothing to watch"
    assert not watcher.is_watching
    conf.mkdir()
    assert _woken(watcher), "the new folder did not wake the agent"
    assert watcher.arm()
    (conf.with_name("old") / "x.conf").write_text("")
    assert not _woken(watcher), "the old folder is still watched"
    (conf / "x.conf").write_text("")
    assert _woken(watcher)


def test_a_replaced_parent_is_watched_again(watcher: Watcher, conf: Path) -> None:
    conf.parent.rename(conf.parent.with_name("old-cni"))
    conf.mkdir(parents=True)
    assert watcher.arm(), "neither the new parent nor the new folder is watched"
    _woken(watcher)
    (conf / "x.conf").write_text("")
    assert _woken(watcher)


def test_an_overflow_of_the_queue_wakes(watcher: Watcher, conf: Path) -> None:
    """Fault case 39: the events are lost, the look is not."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: too many files for a test")
    first, second = conf / "a.tmp", conf / "b.tmp"
    first.write_text("")
    for _ in range(limit // 2 + 10):  # two events each, none of which would wake
        first.rename(second)
        first, second = second, first
    assert _woken(watcher)
