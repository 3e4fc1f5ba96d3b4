"""`cnichain analyze` as a user runs it: exit status, lines, data, and what cannot be read."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cnichain.cli.main import root

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "eks.yaml"
CHAIN = """\
apiVersion: cnichain.io/v1alpha1
kind: CNIChain
metadata:
  name: default
spec:
  cilium:
    version: 1.20.0
    values:
      cni:
        exclusive: true
"""
POOL = """\
apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: general
spec: {template: {spec: {}}}
"""


@dataclass(frozen=True)
class Done:
    """How the command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, stdin: str = "") -> Done:
    """The command, in this process: a new one takes longer to start than all the tests."""
    result = CliRunner(env={"KUBECONFIG": "/nowhere"}).invoke(root, ["analyze", *arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def test_it_runs_as_a_program_without_any_cluster() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cnichain.cli.main", "analyze", "-f", "-"],
        input=CHAIN,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "LANG": "C.UTF-8", "KUBECONFIG": "/nowhere"},
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("ERROR [ReservedValue] CNIChain/default (<stdin>:10): ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a mistake in each of two files, a chart, a values file and a hidden folder."""
    for name, text in (
        ("clusters/prod/chain.yaml", CHAIN),
        ("clusters/prod/pool.yml", POOL),
        ("values.yaml", "replicas: 1\n"),
        ("README.md", "kind: CNIChain\n"),
        (".git/broken.yaml", "a: [\n"),
        ("chart/Chart.yaml", "apiVersion: v2\nname: x\n"),
        ("chart/templates/x.yaml", "a: {{ .Values.a }}\n"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_example_has_no_mistake_even_strictly() -> None:
    done = run("-f", str(EXAMPLE), "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 object: 1 note (--notes shows them).\n"
    told = run("-f", str(EXAMPLE), "--strict", "--notes")
    assert told.returncode == 0
    assert told.stdout.startswith("NOTE [ReleaseUnmaintained] CNIChain/default ("), "notes never count"


def test_a_folder_is_read_as_one_cluster_and_each_problem_is_one_line_with_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = run("-f", ".")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "ERROR [ReservedValue] CNIChain/default (clusters/prod/chain.yaml:10): spec.cilium.values.cni.exclusive is the "
        "operator's: true renames the primary's conflist away on every node."
    )
    assert lines[1].strip() == "-> Take the key that the message names out of the values."
    assert [line for line in lines if line.startswith("WARNING [StartupTaintMissing] NodePool/general (")], lines
    assert lines[-1] == "2 objects: 1 error, 1 warning."
    assert "Left out: chart/templates" in done.stderr
    assert "Not read" not in done.stderr, "hidden folders and templates are no manifests"


def test_warnings_count_with_strict_alone() -> None:
    assert run("-f", "-", stdin=POOL).returncode == 0
    done = run("-f", "-", "--strict", stdin=POOL)
    assert done.returncode == 1
    assert "(<stdin>:5): NodePool general" in done.stdout
    assert "No CNIChain in these files" in done.stderr


def test_the_upgrade_step_is_checked_from_the_installed_version() -> None:
    done = run("-f", str(EXAMPLE), "--installed", "1.15.4")
    assert done.returncode == 1
    assert "[UpgradeSkipsMinor]" in done.stdout
    line = EXAMPLE.read_text(encoding="utf-8").splitlines().index("    version: 1.17.3") + 1
    assert f"eks.yaml:{line}): spec.cilium.version: from 1.15.4 to 1.17.3" in done.stdout
    assert run("-f", str(EXAMPLE), "--installed", "new").returncode == 2


def test_data_for_programs_has_everything_and_the_same_exit_status(folder: Path) -> None:
    as_json = run("-f", str(folder), "-o", "json")
    data = json.loads(as_json.stdout)
    assert (as_json.returncode, as_json.stderr) == (1, "")
    assert data["counts"] == {"error": 1, "warning": 1, "note": 0}
    problem = data["problems"][0]
    assert (problem["level"], problem["reason"], problem["line"]) == ("error", "ReservedValue", 10)
    assert problem["fix"] == "Take the key that the message names out of the values."
    assert yaml.safe_load(run("-f", str(folder), "-o", "yaml").stdout) == data


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [\n", "<stdin>:"),
        ("apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nspec: {template: {spec: {containers: [5]}}}\n",
         "DaemonSet x does not have the form of its kind"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_and_ends_with_2_but_the_rest_is_told(text: str, told: str) -> None:
    done = run("-f", "-", stdin=f"{CHAIN}---\n{text}")
    assert done.returncode == 2
    assert "Not read:" in done.stderr
    assert told in done.stderr
    assert "[ReservedValue]" in done.stdout


def test_nothing_to_look_at_is_no_success(tmp_path: Path) -> None:
    assert run("-f", str(tmp_path)).returncode == 2, "an empty folder must not pass a pipeline"
    missing = run("-f", str(tmp_path / "gone.yaml"))
    assert missing.returncode == 2
    assert "gone.yaml: No such file or directory" in missing.stderr
    binary = tmp_path / "x.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in run("-f", str(binary)).stderr
    assert run().returncode == 2, "-f is needed"
