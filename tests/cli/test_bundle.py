"""`cnichain bundle`: what a cluster without internet needs, checked, and always the same file."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.conftest import Run

from cnichain.catalogue.load import builtin_catalogue
from cnichain.cli.bundletext import FOLDER, OPERATOR_IMAGE, REFERENCE, bundled, contents, tar_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "eks.yaml")
CHAIN = "apiVersion: cnichain.io/v1alpha1\nkind: CNIChain\nmetadata: {name: default}\nspec: "


def files_of(path: Path) -> dict[str, bytes]:
    """The files of a bundle by their path in it."""
    with tarfile.open(path) as archive:
        found = {}
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None, entry.name
            found[entry.name.removeprefix(f"{FOLDER}/")] = content.read()
        return found


def test_a_bundle_is_complete_checked_and_the_same_twice(offline: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.tar", tmp_path / "b.tar"
    done = offline("bundle", "-f", EXAMPLE, "--out", str(first))
    assert (done.returncode, done.stderr) == (0, "")
    assert offline("bundle", "-f", EXAMPLE, "--out", str(second)).returncode == 0
    assert first.read_bytes() == second.read_bytes(), "two bundles of the same charts must be one file"
    assert f"sha256 {hashlib.sha256(first.read_bytes()).hexdigest()}" in done.stdout
    files = files_of(first)
    assert sorted(files) == ["README.md", "SHA256SUMS", "charts/cilium-1.17.3.tgz", "images.json", "images.txt"]
    release = builtin_catalogue().cilium_release("1.17.3")
    assert hashlib.sha256(files["charts/cilium-1.17.3.tgz"]).hexdigest() == release.chart_sha256
    assert files["images.txt"].decode().splitlines() == [one["image"] for one in json.loads(files["images.json"])]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "no temporary file is left"


def test_the_checksums_are_read_by_sha256sum(offline: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.tar"
    assert offline("bundle", "--out", str(out)).returncode == 0
    subprocess.run(["tar", "-xf", str(out), "-C", str(tmp_path)], check=True, timeout=30)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path / FOLDER, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": OK") == len(files_of(out)) - 1, "every file but the sums themselves"


def test_the_images_are_those_of_the_catalogue_for_every_release(offline: Run) -> None:
    for release in builtin_catalogue().cilium:
        done = offline("bundle", "--images-only", "--version", release.version)
        assert done.returncode == 0, done.stderr
        assert set(done.stdout.splitlines()) == {OPERATOR_IMAGE, *release.chain_images}


def test_values_decide_which_images_are_needed(offline: Run) -> None:
    spec = {"cilium": {"version": "1.20.0"}, "hubble": {"ui": {"enabled": False}}}
    done = offline("bundle", "--images-only", "-f", "-", "-o", "json", stdin=CHAIN + json.dumps(spec))
    images = {item["repository"]: item for item in json.loads(done.stdout)}
    assert "quay.io/cilium/hubble-relay" in images
    assert not [name for name in images if "hubble-ui" in name]
    cilium = images["quay.io/cilium/cilium"]
    assert (cilium["tag"], cilium["used_by"]) == ("v1.20.0", ["DaemonSet kube-system/cilium"])
    assert cilium["digest"].startswith("sha256:")


def test_several_versions_for_an_upgrade_and_calico(
    offline: Run, calico_dir: Path, tmp_path: Path, chart_dir: Path
) -> None:
    charts = tmp_path / "charts"
    charts.mkdir()
    for folder in (chart_dir, calico_dir):
        for path in folder.iterdir():
            (charts / path.name).symlink_to(path)
    spec = {"cilium": {"version": "1.20.0"}, "calico": {"enabled": True, "version": "3.26.0"}, "policyEngine": "Calico"}
    out = tmp_path / "a.tar"
    done = offline(
        "bundle", "-f", "-", "--version", "1.18.12", "--version", "1.17.18", "--out", str(out), "-o", "yaml",
        "--chart-dir", str(charts), stdin=CHAIN + json.dumps(spec),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = yaml.safe_load(done.stdout)
    assert told["cilium"] == ["1.17.18", "1.18.12"]
    names = ["cilium-1.17.18.tgz", "cilium-1.18.12.tgz", "tigera-operator-3.26.0.yaml"]
    assert told["charts"] == names
    files = files_of(out)
    assert [name for name in files if name.startswith("charts/")] == [f"charts/{name}" for name in names]
    assert b"quay.io/tigera/operator:v1.30.0" in files["images.txt"]
    assert b"--print-images=list" in files["README.md"]


def test_the_operator_takes_the_charts_of_a_bundle(offline: Run, tmp_path: Path) -> None:
    """The folder of a bundle is a chart folder: a render from it needs nothing else."""
    out = tmp_path / "a.tar"
    offline("bundle", "-f", EXAMPLE, "--out", str(out))
    subprocess.run(["tar", "-xf", str(out), "-C", str(tmp_path)], check=True, timeout=30)
    done = offline("render", "-f", EXAMPLE, "--chart-dir", str(tmp_path / FOLDER / "charts"))
    assert done.returncode == 0, done.stderr


def test_a_chart_that_is_not_the_pinned_one_is_not_packed(offline: Run, chart_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "cilium-1.17.3.tgz").write_bytes((chart_dir / "cilium-1.18.12.tgz").read_bytes())
    out = tmp_path / "a.tar"
    out.write_bytes(b"an older bundle")
    done = offline("bundle", "-f", EXAMPLE, "--chart-dir", str(tmp_path), "--out", str(out))
    assert done.returncode == 2
    assert "ChartDigestMismatch" in done.stderr
    assert out.read_bytes() == b"an older bundle", "a failure leaves what was there"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], 2, "Give either --out"),
        (["--out", "a.tar", "--images-only"], 2, "Give either --out"),
        (["--images-only", "--version", "1.99.0"], 1, "VersionUnknown"),
        (["--out", "/nowhere/a.tar"], 2, "/nowhere/a.tar cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_packed_says_why(offline: Run, options: list[str], code: int, told: str) -> None:
    done = offline("bundle", *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


def test_the_mirror_loop_of_the_readme_copies_each_image_by_its_digest(offline: Run, tmp_path: Path) -> None:
    """The shell lines themselves, with a skopeo that writes down what it is asked."""
    out = tmp_path / "a.tar"
    offline("bundle", "-f", EXAMPLE, "--out", str(out))
    files = files_of(out)
    script = files["README.md"].decode().split("```sh\n")[1].split("```")[0]
    (tmp_path / "images.txt").write_bytes(files["images.txt"])
    skopeo = tmp_path / "skopeo"
    skopeo.write_text('#!/bin/sh\necho "$4 $5"\n', encoding="utf-8")
    skopeo.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
        env={"PATH": path, "MIRROR": "registry.local:5000"},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == len(files["images.txt"].splitlines())
    assert lines[0] == f"docker://{OPERATOR_IMAGE} docker://registry.local:5000/{OPERATOR_IMAGE.partition('/')[2]}"
    cilium = next(line for line in lines if "/cilium/cilium@" in line)
    source, target = cilium.split()
    assert source.startswith("docker://quay.io/cilium/cilium@sha256:")
    assert target == "docker://registry.local:5000/cilium/cilium:v1.17.3"


def test_the_operators_image_is_the_one_that_is_deployed() -> None:
    for name in ("agent.yaml", "operator.yaml"):
        assert f"image: {OPERATOR_IMAGE}\n" in (ROOT / "deploy" / "base" / name).read_text(encoding="utf-8")


NAMES = st.from_regex(r"[a-z]{1,9}(\.io)?(:[0-9]{4})?(/[a-z]{1,9}){1,3}", fullmatch=True)


@given(
    NAMES, st.just("") | st.from_regex(r"v[0-9]\.[0-9]", fullmatch=True), st.sampled_from(["", "sha256:" + "0" * 64])
)
def test_a_reference_is_taken_apart_without_loss(repository: str, tag: str, digest: str) -> None:
    image = repository + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    match = REFERENCE.match(image)
    assert match is not None
    assert (match["repository"], match["tag"] or "", match["digest"] or "") == (repository, tag, digest)


def test_a_tar_says_nothing_of_who_made_it_and_when() -> None:
    files = contents({"c.tgz": b"x"}, bundled({"a/b:c": ["x"]}), ["1.0.0"], [])
    with tarfile.open(fileobj=io.BytesIO(tar_of(files))) as archive:
        about = {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) for entry in archive}
    assert about == {(0, 0, 0, "", "", 0o644)}
