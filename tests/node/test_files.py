"""The folder on a real file system: looks that never block, writes that never break (cases 1 to 10, 30, 37, 42)."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node.conftest import CHAINED, DEFAULT_ENTRY, HISTORY, NEWEST, SOURCE, fill_disk, wait_until

from cnichain.api.reasons import Reason
from cnichain.node import files
from cnichain.node.conflist import RUNTIME_EXTENSIONS, ConflistError, parse
from cnichain.node.folder import FolderFile, Kind
from cnichain.node.splice import derive

GOOD = derive(parse(NEWEST), DEFAULT_ENTRY)
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder with the primary's file."""
    folder = tmp_path / "net.d"
    folder.mkdir()
    (folder / SOURCE).write_bytes(NEWEST)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 KiB."""
    if not IS_ROOT:
        pytest.skip("mounting a tmpfs needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], capture_output=True, timeout=10, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    (mount / SOURCE).write_bytes(NEWEST)
    yield mount
    subprocess.run(["umount", str(mount)], timeout=10, check=True)


def _write(folder: Path, content: bytes = GOOD, **changes: object) -> None:
    arguments: dict[str, object] = {
        "folder_identity": files.scan(folder).identity,
        "check": parse,
        "source": (SOURCE, NEWEST),
    }
    files.write_atomic(folder, CHAINED, content, **{**arguments, **changes})  # type: ignore[arg-type]  # a test's mix


def _look(folder: Path, name: str) -> FolderFile:
    file = files.scan(folder).get(name)
    assert file is not None, f"{name} was not seen"
    return file


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_look_names_everything_and_reads_conflists_alone(conf: Path) -> None:
    (conf / "notes.txt").write_text("x")
    (conf / "aws-cni").mkdir()
    (conf / "aws-cni" / "50-x.conf").write_text("{}")
    (conf / "link.conf").symlink_to(conf / SOURCE)
    (conf / os.fsdecode(b"\xff.json")).write_text("{")
    folder = files.scan(conf)
    assert [file.name for file in folder.files] == [SOURCE, "aws-cni", "link.conf", "notes.txt", "\udcff.json"]
    assert _look(conf, SOURCE).content == NEWEST
    assert _look(conf, "notes.txt").content is None
    assert _look(conf, "link.conf").kind is Kind.SYMLINK
    assert folder.drop_ins("aws-cni") == ("aws-cni/50-x.conf",)
    assert folder.files[-1].shown == "\\xff.json", "a name that is not UTF-8 cannot be sent to the API"


def test_a_fifo_a_socket_and_a_huge_file_never_block_a_look(conf: Path) -> None:
    """Fault case 42. Blocking would end in the test's timeout."""
    os.mkfifo(conf / "00-fifo.conflist")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(conf / "01-socket.conf"))
        with (conf / "02-huge.conflist").open("wb") as huge:
            huge.truncate(100 << 20)
        assert "FIFO" in str(_look(conf, "00-fifo.conflist").parsed)
        assert "FIFO, socket" in str(_look(conf, "01-socket.conf").parsed)
        assert "104857600 bytes" in str(_look(conf, "02-huge.conflist").parsed)


def test_each_thing_in_the_folders_place_is_named(tmp_path: Path) -> None:
    """Fault cases 1, 3 and 4."""
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name, words in (("none", "does not exist"), ("file", "is not a folder"), ("link", "is a symbolic link")):
        with pytest.raises(files.ConfDirError) as error:
            files.scan(tmp_path / name)
        assert error.value.reason is Reason.CONF_DIR_UNUSABLE
        assert words in str(error.value)
        assert name in str(error.value)


def test_a_write_leaves_one_whole_file_and_nothing_else(conf: Path) -> None:
    (conf / f".{CHAINED}.chain-1-dead.tmp").write_text("left by a crash")
    _write(conf)
    assert (conf / CHAINED).read_bytes() == GOOD
    assert _names(conf) == [CHAINED, SOURCE]
    assert (conf / CHAINED).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o644), (0o600, 0o600), (0o666, 0o644), (0o000, 0o600)])
def test_the_mode_of_the_old_file_stays_without_rights_nobody_needs(conf: Path, before: int, after: int) -> None:
    (conf / CHAINED).write_text("old")
    (conf / CHAINED).chmod(before)
    _write(conf)
    assert (conf / CHAINED).stat().st_mode & 0o777 == after


@pytest.mark.parametrize("kind", ["symlink", "dangling", "folder", "fifo"])
def test_nothing_but_a_regular_file_is_replaced(conf: Path, tmp_path: Path, kind: str) -> None:
    """Fault case 30."""
    target = tmp_path / "target"
    if kind == "symlink":
        target.write_text("mine")
    if kind in ("symlink", "dangling"):
        (conf / CHAINED).symlink_to(target)
    elif kind == "folder":
        (conf / CHAINED).mkdir()
    else:
        os.mkfifo(conf / CHAINED)
    before = (conf / CHAINED).lstat()
    with pytest.raises(files.UnsafeFileError) as error:
        _write(conf)
    assert error.value.reason is Reason.CONFLIST_UNSAFE_FILE
    assert (conf / CHAINED).lstat() == before
    assert _names(conf) == [CHAINED, SOURCE]


def test_a_symlink_under_a_temporary_files_name_is_not_followed(conf: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (conf / f".{CHAINED}.chain-1-x.tmp").symlink_to(victim)
    _write(conf)
    assert victim.read_text() == "mine"
    assert _names(conf) == [CHAINED, SOURCE]


def test_a_full_disk_leaves_the_old_file(small_disk: Path) -> None:
    """Fault cases 8 and 10."""
    (small_disk / CHAINED).write_bytes(b"old")
    fill_disk(small_disk / "filler")
    with pytest.raises(files.WriteFailedError, match="ENOSPC") as error:
        _write(small_disk)
    assert error.value.reason is Reason.CONFLIST_WRITE_FAILED
    assert (small_disk / CHAINED).read_bytes() == b"old"
    assert _names(small_disk) == [CHAINED, SOURCE, "filler"]
    (small_disk / "filler").unlink()
    _write(small_disk)
    assert (small_disk / CHAINED).read_bytes() == GOOD


def test_a_read_only_file_system_is_named(small_disk: Path) -> None:
    """Fault case 7."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], timeout=10, check=True)
    with pytest.raises(files.WriteFailedError, match="EROFS"):
        _write(small_disk)
    assert _names(small_disk) == [SOURCE]


def test_the_owner_and_the_mode_of_a_file_are_seen(conf: Path) -> None:
    """Fault case 49: another owner is told, and a file that its mode closes is read all the same, as by a runtime."""
    assert _look(conf, SOURCE).stranger is None
    if not IS_ROOT:
        pytest.skip("giving a file away needs root")
    os.chown(conf / SOURCE, 1234, -1)
    (conf / SOURCE).chmod(0)
    assert _look(conf, SOURCE).stranger == 1234
    assert _look(conf, SOURCE).content == NEWEST


def test_each_write_gives_the_file_another_mark(conf: Path) -> None:
    _write(conf)
    first = _look(conf, CHAINED).mark
    assert _look(conf, CHAINED).mark == first
    _write(conf)
    assert _look(conf, CHAINED).mark != first


def test_a_folder_without_write_permission_is_named(conf: Path) -> None:
    if IS_ROOT:
        pytest.skip("root may write everywhere; the read-only file system above stands for it")
    conf.chmod(0o500)
    try:
        with pytest.raises(files.WriteFailedError, match="EACCES"):
            _write(conf)
    finally:
        conf.chmod(0o700)


def test_a_source_that_changed_meanwhile_is_not_published(conf: Path) -> None:
    (conf / SOURCE).write_bytes(HISTORY["1.18.3"])
    with pytest.raises(files.ChangedMeanwhileError, match=SOURCE):
        _write(conf)
    assert _names(conf) == [SOURCE]


def test_a_folder_that_was_replaced_meanwhile_is_not_written_to(conf: Path) -> None:
    identity = files.scan(conf).identity
    conf.rename(conf.with_name("old"))
    conf.mkdir()
    with pytest.raises(files.ChangedMeanwhileError, match="replaced"):
        _write(conf, folder_identity=identity)
    assert _names(conf) == []


def test_what_the_check_refuses_is_not_published(conf: Path) -> None:
    with pytest.raises(ConflistError):
        _write(conf, content=b"{")
    assert _names(conf) == [SOURCE]


def test_only_the_file_that_was_looked_at_is_removed(conf: Path) -> None:
    _write(conf)
    identity = files.scan(conf).identity
    with pytest.raises(files.ChangedMeanwhileError):
        files.remove(conf, CHAINED, b"another content", folder_identity=identity)
    assert (conf / CHAINED).exists()
    files.remove(conf, CHAINED, GOOD, folder_identity=identity)
    assert _names(conf) == [SOURCE]


_WRITER = """
import sys
from pathlib import Path
from cnichain.node import files
folder, contents = Path(sys.argv[1]), [Path(name).read_bytes() for name in sys.argv[2:]]
source = (folder / "10-aws.conflist").read_bytes()
identity = files.scan(folder).identity
while True:
    for content in contents:
        files.write_atomic(folder, "05-cilium.conflist", content, folder_identity=identity,
                           check=lambda _: None, source=("10-aws.conflist", source))
"""


@pytest.mark.parametrize("attempt", range(8))
def test_kill_9_in_the_middle_of_writes_leaves_the_old_or_the_new_file(
    conf: Path, tmp_path: Path, attempt: int
) -> None:
    """Fault case 37."""
    contents = [GOOD, derive(parse(HISTORY["1.18.3"]), DEFAULT_ENTRY)]
    for index, content in enumerate(contents):
        (tmp_path / str(index)).write_bytes(content)
    command = [sys.executable, "-c", _WRITER, str(conf), str(tmp_path / "0"), str(tmp_path / "1")]
    writer = subprocess.Popen(command)
    try:
        wait_until((conf / CHAINED).exists, "the writer has written once")
        time.sleep(0.03 + attempt * 0.011)  # no condition to wait for: the kill is to fall anywhere
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(timeout=10)
    assert (conf / CHAINED).read_bytes() in contents, "a broken file was left"
    for_runtimes = [name for name in _names(conf) if name.endswith(RUNTIME_EXTENSIONS)]
    assert for_runtimes == [CHAINED, SOURCE], "a runtime would read what the crash has left"
    _write(conf)
    assert _names(conf) == [CHAINED, SOURCE], "the next write does not clean up"
