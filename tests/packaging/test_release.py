"""The release workflow, as far as it can be run without GitHub: its steps by the shell, and what it asks for."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnichain import __version__
from packages import ROOT, kustomized, rendered

WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
DIGEST = f"sha256:{'d' * 64}"


def run(name: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A step of this name, run as GitHub runs it."""
    (script,) = [step["run"] for step in STEPS if step.get("name") == name]
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **WORKFLOW["env"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the steps work on."""
    for name in ("deploy/chart", "operator/cnichain/__init__.py", "deploy/install.yaml"):
        to = tmp_path / "checkout" / name
        to.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, to)
    return tmp_path / "checkout"


@pytest.mark.parametrize(("tag", "taken"), [(f"v{__version__}", True), (__version__, False), ("v9.9.9", False)])
def test_a_tag_that_is_not_the_version_makes_no_release(tag: str, taken: bool, checkout: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    done = run(
        "The tag is the version of the sources", checkout, {"GITHUB_REF_NAME": tag, "GITHUB_OUTPUT": str(output)}
    )
    assert (done.returncode == 0) is taken, done.stderr
    if taken:
        assert output.read_text(encoding="utf-8") == f"version={__version__}\n"
    else:
        assert f"the sources are {__version__}" in done.stderr


def test_what_is_published_names_the_image_by_digest(checkout: Path, tmp_path: Path) -> None:
    done = run("Pin the image by its digest", checkout, {"VERSION": __version__, "DIGEST": DIGEST})
    assert done.returncode == 0, done.stderr
    installed = list(yaml.safe_load_all((checkout / "dist/install.yaml").read_text(encoding="utf-8")))
    made = list(rendered(tmp_path, {}, chart=checkout / "deploy/chart").values())
    for objects in (installed, made):
        pods = [item["spec"]["template"]["spec"] for item in objects if item["kind"] in ("Deployment", "DaemonSet")]
        images = [container["image"] for pod in pods for container in pod["containers"]]
        assert len(images) == 2
        assert all(image.startswith(WORKFLOW["env"]["IMAGE"]) and image.endswith(f"@{DIGEST}") for image in images)


def test_it_pushes_the_image_that_is_deployed() -> None:
    images = {
        container["image"]
        for item in kustomized(ROOT / "deploy/base").values()
        if item["kind"] in ("Deployment", "DaemonSet")
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"{WORKFLOW['env']['IMAGE']}:{__version__}"}
    (build,) = [step["with"] for step in STEPS if step.get("uses", "").startswith("docker/build-push-action@")]
    assert build["platforms"] == "linux/amd64,linux/arm64"


def test_it_may_do_no_more_than_it_says_and_runs_no_moving_code() -> None:
    assert WORKFLOW["permissions"] == {}, "each job says what it needs"
    for name, job in WORKFLOW["jobs"].items():
        assert set(job["permissions"]) <= {"contents", "packages", "id-token"}, name
        assert job["timeout-minutes"] <= 60, name
    for step in STEPS:
        if "uses" in step:
            assert re.search(r"@(v\d+\.\d+\.\d+|[0-9a-f]{40})$", step["uses"]), f"{step['uses']} can change under us"
        else:
            # What somebody else may name (a tag, a branch) is data in a variable, never part of a script.
            assert "${{" not in step["run"], step["name"]
            subprocess.run(["bash", "-n", "-c", step["run"]], check=True, timeout=20)
