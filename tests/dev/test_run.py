"""`cnichain dev run`: what it says when it cannot run operator and agents. That it can is played in tests/docs."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cnichain.cli.main import root
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.linux import try_lock

ROOT = Path(__file__).resolve().parents[2]


def test_without_a_control_plane_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = CliRunner().invoke(root, ["dev", "run", "--dir", str(tmp_path)])
    assert done.exit_code == 1
    assert f"No control plane runs in {tmp_path}" in done.output
    assert "cnichain dev up --nodes 3 --eks" in done.output


@pytest.mark.controlplane
def test_each_thing_that_is_missing_is_named_with_the_command_for_it(tmp_path: Path) -> None:
    with ControlPlane.run(tmp_path / "cp", nodes=1, eks=True) as running:
        command = ["dev", "run", "--dir", str(running.directory)]
        assert "The cluster has no cnichains.cnichain.io yet: kubectl apply" in _refused(command)
        running.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
        assert "deploy/base/namespace.yaml" in _refused(command)
        _starts_no_second_operator(running.directory, command)
        assert not (running.directory / "logs" / "operator.log").exists(), "nothing may have been started"


def _refused(command: list[str]) -> str:
    done = CliRunner().invoke(root, command)
    assert done.exit_code == 1, done.output
    return done.output


def _starts_no_second_operator(folder: Path, command: list[str]) -> None:
    held = try_lock(folder / "operator.lock")
    assert held is not None
    with held:
        assert "The operator runs already; its log is" in _refused(command)
