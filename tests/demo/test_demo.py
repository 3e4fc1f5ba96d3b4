"""The README's main command, as a user runs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cnichain.dev.background import status
from cnichain.dev.layout import default_dir

pytestmark = pytest.mark.controlplane

ROOT = Path(__file__).resolve().parents[2]
DEMO_SECONDS = 240


def run_demo(home: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The demo with a state folder and a temp folder of its own."""
    (home / "tmp").mkdir()
    own = {"XDG_STATE_HOME": str(home), "TMPDIR": str(home / "tmp")}
    return subprocess.run(
        [sys.executable, "-m", "demo", *options],
        cwd=ROOT,
        env=os.environ | own | environment,
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )


def test_it_ends_ready_and_shows_the_chain_follow(tmp_path: Path, chart_dir: Path) -> None:
    done = run_demo(tmp_path, CHART_DIR=str(chart_dir))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cnichain.cnichain.io/default condition met" in done.stdout
    assert "the official chart from CHART_DIR" in done.stdout
    assert "3/3" in done.stdout
    followed = [line for line in done.stdout.splitlines() if "followed in" in line]
    assert len(followed) == 3, f"each of the three nodes must follow: {done.stdout}"
    assert all(line.endswith(" ms") for line in followed)
    assert list((tmp_path / "tmp").iterdir()) == [], "the demo must leave nothing behind"


def test_without_an_official_chart_it_says_that_it_uses_a_stand_in(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "--stand-in")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A STAND-IN CHART" in done.stdout
    assert "with a stand-in chart that is not Cilium's" in done.stdout, "the CNIChain's status must say so too"


def test_kept_it_goes_on_running_until_it_is_taken_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = default_dir().with_name("demo") / "cluster"
    done = run_demo(tmp_path, "--stand-in", "--keep")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"export KUBECONFIG={folder}/kubeconfig" in done.stdout
        assert status(folder).running, "the control plane must go on running"
        assert processes(folder), "operator and agents must go on running"
    finally:
        down = [sys.executable, "-m", "cnichain.cli.main", "dev", "down", "--dir", str(folder)]
        stopped = subprocess.run(down, capture_output=True, text=True, timeout=120, check=False)
    assert stopped.returncode == 0, stopped.stderr
    wait_until_gone(folder)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_cut_off_in_the_middle_it_leaves_no_process(tmp_path: Path, how: signal.Signals) -> None:
    log = tmp_path / "demo.log"
    own = {"XDG_STATE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "demo", "--stand-in"], cwd=ROOT, env=os.environ | own, stdout=output, stderr=output
        ) as demo,
    ):
        wait_until(lambda: "One YAML" in log.read_text() or demo.poll() is not None, 60, "the demo is under way")
        assert demo.poll() is None, log.read_text()
        demo.send_signal(how)
        demo.wait(timeout=60)
    wait_until_gone(tmp_path)
    if how != signal.SIGKILL:
        assert "Stopped; everything that was started has been stopped as well." in log.read_text()


def processes(folder: Path) -> list[str]:
    """Command lines of the processes that belong to a control plane's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended meanwhile
            if str(folder) in line:
                found.append(line)
    return found


def wait_until_gone(folder: Path) -> None:
    """Operator and agents end by themselves once the control plane is down."""

    wait_until(lambda: not processes(folder), 30, f"no process is left of {processes(folder)}")


def wait_until(check: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)
