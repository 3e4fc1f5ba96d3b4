"""Start and end of the control plane, wanted and unwanted, through the command line as a user types it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from cnichain.dev.toolchain import Toolbox

pytestmark = pytest.mark.controlplane

Processes = Callable[[Path], dict[int, str]]
Until = Callable[..., None]

PARTS = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}


def dev(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "cnichain.dev", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(argv, capture_output=True, text=True, timeout=200, env=env, check=False)


def state(folder: Path) -> dict[str, object]:
    data: dict[str, object] = json.loads((folder / "state.json").read_text())
    return data


def pids(folder: Path) -> dict[str, int]:
    components = state(folder)["components"]
    assert isinstance(components, dict)
    return components


def test_up_status_down(folder: Path, processes_of: Processes, toolbox: Toolbox) -> None:
    up = dev("up", "--dir", str(folder), "--nodes", "1")
    assert up.returncode == 0, up.stderr
    assert up.stdout.strip() == f"export KUBECONFIG={folder / 'kubeconfig'}"
    assert set(pids(folder)) == PARTS

    status = dev("status", "--dir", str(folder))
    assert status.returncode == 0, status.stderr
    assert "Server Version: v1.36" in status.stdout
    assert "1, 1 of them Ready" in status.stdout

    again = dev("up", "--dir", str(folder))
    assert again.returncode == 1
    assert "already runs" in again.stderr
    assert "Traceback" not in again.stderr
    assert dev("status", "--dir", str(folder)).returncode == 0, "the second up did not disturb the first"

    down = dev("down", "--dir", str(folder))
    assert down.returncode == 0, down.stderr
    assert processes_of(folder) == {}, "down returned before everything had ended"
    assert dev("status", "--dir", str(folder)).returncode == 1
    assert dev("down", "--dir", str(folder)).returncode == 0, "nothing to stop is no error"


def test_kill_9_of_the_supervisor_leaves_no_process(folder: Path, processes_of: Processes, until: Until) -> None:
    assert dev("up", "--dir", str(folder), "--nodes", "1", "--eks").returncode == 0
    assert len(processes_of(folder)) == 7, "supervisor, five components, stand-ins"
    os.kill(int(str(state(folder)["pid"])), signal.SIGKILL)
    until(lambda: processes_of(folder) == {}, f"no process of {folder} is left")
    assert "not running" in dev("status", "--dir", str(folder)).stdout
    assert dev("up", "--dir", str(folder)).returncode == 0, "the same folder can be used again"


def test_a_killed_component_is_named_and_everything_is_stopped(
    folder: Path, processes_of: Processes, until: Until
) -> None:
    assert dev("up", "--dir", str(folder)).returncode == 0
    os.kill(pids(folder)["kube-scheduler"], signal.SIGKILL)
    until(lambda: processes_of(folder) == {}, f"no process of {folder} is left")
    status = dev("status", "--dir", str(folder))
    assert status.returncode == 1
    assert "kube-scheduler ended with signal 9 (SIGKILL)" in status.stdout
    assert "kube-scheduler.log" in status.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_foreground_ends_with_its_process(
    folder: Path, processes_of: Processes, until: Until, number: signal.Signals
) -> None:
    argv = [sys.executable, "-m", "cnichain.dev", "up", "--foreground", "--dir", str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("export KUBECONFIG="), "up --foreground did not get ready"
        process.send_signal(number)
        process.wait(timeout=60)
    until(lambda: processes_of(folder) == {}, f"no process of {folder} is left")
    assert state(folder)["phase"] == "stopped", "the end was orderly even though the parent was gone"


def test_a_taken_port_is_named(folder: Path, processes_of: Processes) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = dev("up", "--dir", str(folder), "--port", str(port))
    assert up.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in up.stderr
    assert "Traceback" not in up.stderr
    assert processes_of(folder) == {}


def test_a_missing_program_is_named(folder: Path, tmp_path: Path, toolbox: Toolbox) -> None:
    gone = Toolbox({**toolbox.paths, "kube-scheduler": tmp_path / "kube-scheduler"})
    with pytest.raises(DevError, match=r"kube-scheduler is missing(.|\n)*cnichain dev tools"):
        ControlPlane.up(folder, toolbox=gone)
    assert not folder.exists(), "nothing was begun"


def test_a_component_that_cannot_run_is_named_with_its_last_words(
    folder: Path, tmp_path: Path, toolbox: Toolbox, processes_of: Processes
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'no quorum of elephants'\nexit 7\n")
    broken.chmod(0o755)
    with pytest.raises(DevError, match=r"kwok ended with exit code 7(.|\n)*no quorum of elephants"):
        ControlPlane.up(folder, toolbox=Toolbox({**toolbox.paths, "kwok": broken}))
    assert processes_of(folder) == {}


def test_a_component_that_dies_in_a_run_is_the_error_of_the_run(folder: Path, toolbox: Toolbox, until: Until) -> None:
    def kill_etcd() -> None:
        with ControlPlane.run(folder, toolbox=toolbox) as control_plane:
            os.kill(control_plane.pid("etcd"), signal.SIGKILL)
            until(lambda: state(folder)["phase"] == "failed", "the supervisor noticed")

    with pytest.raises(DevError, match=r"etcd ended with signal 9"):
        kill_etcd()


def test_a_given_port_is_used(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert dev("up", "--dir", str(folder), "--port", str(port)).returncode == 0
    assert state(folder)["server"] == f"https://127.0.0.1:{port}"


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "precious").write_text("mine")
    up = dev("up", "--dir", str(tmp_path))
    assert up.returncode == 1
    assert "not the folder of a control plane" in up.stderr
    assert (tmp_path / "logs" / "precious").read_text() == "mine"
