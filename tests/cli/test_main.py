"""The program as a whole: its help, its names, completion, errors without tracebacks, and its end by Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnichain.cli.main import COMMANDS, root
from cnichain.cli.names import OTHERS, called_as, in_sections

MODULE = [sys.executable, "-m", "cnichain.cli.main"]
SECONDS = 30


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MODULE, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "LANG": "C.UTF-8", **environment},
    )


def help_of(*arguments: str) -> str:
    done = CliRunner().invoke(root, [*arguments, "--help"], prog_name="cnichain")
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80, done.output
    return done.output


def test_help_groups_the_commands() -> None:
    text = help_of()
    assert text.startswith("Usage: cnichain [OPTIONS] COMMAND")
    titles = list(in_sections(set(COMMANDS)))
    assert [text.index(f"\n{title}:") for title in titles] == sorted(text.index(f"\n{title}:") for title in titles)
    for name in COMMANDS:
        assert f"\n  {name} " in text, f"{name} is not in the help"


def test_a_command_that_is_in_no_section_is_shown_last() -> None:
    assert list(in_sections({"status", "brand-new"})) == ["See how it is", OTHERS]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"agent"}))
def test_every_command_has_help_of_80_columns(name: str) -> None:
    assert "Options:" in help_of(name)


def test_as_a_plugin_of_kubectl_it_calls_itself_so(tmp_path: Path) -> None:
    assert called_as("/usr/local/bin/kubectl-cnichain") == "kubectl cnichain"
    assert called_as("/usr/local/bin/cnichain") == "cnichain"
    plugin = tmp_path / "kubectl-cnichain"
    plugin.write_text(f"#!{sys.executable}\nfrom cnichain.cli.main import main\nmain()\n", encoding="utf-8")
    plugin.chmod(0o755)
    done = subprocess.run([plugin, "status", "--help"], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.stdout.startswith("Usage: kubectl cnichain status [OPTIONS]"), done


def test_the_shell_completes_commands_and_their_parts() -> None:
    def completed(words: str, number: int) -> list[str]:
        done = run(COMP_WORDS=words, COMP_CWORD=str(number), _CNICHAIN_COMPLETE="bash_complete")
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("cnichain sta", 1) == ["status"]
    assert "--wait-duration" in completed("cnichain status --w", 2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_this_program(shell: str) -> None:
    done = CliRunner().invoke(root, ["completion", shell])
    assert done.exit_code == 0
    assert "_CNICHAIN_COMPLETE" in done.output


def test_the_completion_script_for_bash_works_in_bash(tmp_path: Path) -> None:
    program = tmp_path / "cnichain"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cnichain.cli.main "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    ask = 'eval "$(cnichain completion bash)"; COMP_WORDS=(cnichain roll); COMP_CWORD=1; _cnichain_completion cnichain'
    done = subprocess.run(
        ["bash", "-c", f'{ask} roll; echo "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stdout.strip() == "rollback", done


@pytest.mark.parametrize("name", ["status", "rollback"])
def test_without_a_cluster_it_says_so_in_a_line(name: str, tmp_path: Path) -> None:
    done = run(name, KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr.startswith("Error: "), done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_its_own_is_one_line_with_the_way_to_its_traceback() -> None:
    broken = (
        "import cnichain.cli.completion as module\n"
        "module.get_completion_class = None\n"
        "from cnichain.cli.main import main\n"
        "main(['completion', 'bash'])\n"
    )

    def end(**environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", broken]
        environ = {**os.environ, **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environ)

    told = end()
    assert told.returncode == 2
    assert told.stderr.startswith("Error: cnichain has failed: TypeError: ")
    assert "CNICHAIN_DEBUG=1" in told.stderr
    assert "Traceback" not in told.stderr
    assert "Traceback" in end(CNICHAIN_DEBUG="1").stderr


def test_ctrl_c_ends_it_with_130_and_no_traceback(tmp_path: Path) -> None:
    """An API server that takes connections and never answers: the command waits, until it is interrupted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        config = tmp_path / "config"
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        content = {
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        config.write_text(json.dumps(content), encoding="utf-8")
        with subprocess.Popen(
            [*MODULE, "status", f"--kubeconfig={config}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            connection, _ = server.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, said
    assert said.strip() == "Interrupted."


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    # `true` reads nothing, so that the catalogue meets a closed pipe; sleep lets it go first.
    command = f"(sleep 0.2; {' '.join(MODULE)} catalogue -o json) | true"
    started = time.monotonic()
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.stderr == ""
    assert time.monotonic() - started < SECONDS
