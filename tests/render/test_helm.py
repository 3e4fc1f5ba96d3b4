"""helm as a program that may be missing, fail, hang, flood or leave children: each is reported, and nothing stays."""

import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.render.helm import redact, template

Script = Callable[[str], Path]
CHART = Path("cilium-1.17.3.tgz")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes an executable shell script that stands in helm's place."""

    def make(text: str) -> Path:
        path = tmp_path / "helm"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def run(helm: Path | str, *, values: dict[str, object] | None = None, limit_seconds: float = 20.0) -> str:
    return asyncio.run(
        template(helm, CHART, values or {}, kube_version="v1.36.1", api_versions=["v1"], limit_seconds=limit_seconds)
    )


def failure(helm: Path | str, reason: Reason, *, limit_seconds: float = 20.0) -> str:
    with pytest.raises(ChainError) as caught:
        run(helm, limit_seconds=limit_seconds)
    assert caught.value.reason is reason, caught.value
    return caught.value.message


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until_gone(pids: Path) -> None:
    """Wait for the end of the processes whose ids stand in a file."""
    for pid in map(int, pids.read_text().split()):
        end = time.monotonic() + 10
        while is_running(pid):
            assert time.monotonic() < end, f"process {pid} is still running"
            time.sleep(0.01)


@pytest.mark.parametrize("name", ["no-such-program-anywhere", "/no/such/folder/helm", "./helm"])
def test_a_missing_helm_is_named(name: str) -> None:
    assert name.removeprefix("./") in failure(name, Reason.HELM_NOT_FOUND)


def test_a_helm_that_cannot_be_executed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "helm"
    path.write_text("not a program")
    assert "Permission denied" in failure(path, Reason.HELM_NOT_FOUND)
    path.chmod(0o755)
    assert str(path) in failure(path, Reason.HELM_NOT_FOUND)


def test_helms_words_are_carried_over(script: Script) -> None:
    helm = script("echo 'level=INFO msg=noise' >&2; echo 'Error: the disk is on fire' >&2; exit 1")
    message = failure(helm, Reason.HELM_FAILED)
    assert message == "helm template of cilium-1.17.3.tgz failed: the disk is on fire"


def test_a_helm_that_says_nothing(script: Script) -> None:
    assert "exit status 7" in failure(script("exit 7"), Reason.HELM_FAILED)
    assert "ended by SIGKILL" in failure(script("kill -9 $$"), Reason.HELM_FAILED)


@pytest.mark.parametrize(
    "words",
    [
        "Error: execution error at (cilium/templates/validate.yaml:48:7): Hubble UI requires relay",
        "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nc:\n- at x: bad",
        "Error: template: cilium/templates/x.yaml:1:2: executing at <.Values.x>: wrong type",
        "Error: YAML parse error on cilium/templates/x.yaml: error converting YAML to JSON",
    ],
)
def test_the_charts_own_refusal_is_about_the_values(script: Script, words: str) -> None:
    helm = script(f"cat >&2 <<'END'\n{words}\nEND\nexit 1")
    message = failure(helm, Reason.CHART_INVALID_VALUES)
    assert words.splitlines()[-1].removeprefix("Error: ") in message


def test_a_helm_that_hangs_is_killed_with_its_children(script: Script, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    helm = script(f"echo 'almost there' >&2; sleep 300 & echo $$ $! > {pids}; wait")
    message = failure(helm, Reason.HELM_FAILED, limit_seconds=3.0)
    assert "did not end within 3 s" in message
    assert "almost there" in message
    wait_until_gone(pids)


def test_a_child_that_keeps_the_output_open_does_not_hold_us_up(script: Script, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    helm = script(f"sleep 300 & echo $! > {pids}")
    failure(helm, Reason.HELM_FAILED, limit_seconds=3.0)
    wait_until_gone(pids)


def test_when_the_caller_is_cancelled_helm_is_killed_with_its_children(script: Script, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    helm = script(f"sleep 300 & echo $$ $! > {pids}.part; mv {pids}.part {pids}; wait")

    async def cancel() -> None:
        task = asyncio.create_task(template(helm, CHART, {}, kube_version="v1.36.1", api_versions=[]))
        while not pids.exists():
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    wait_until_gone(pids)


def test_a_flood_is_cut_off(script: Script) -> None:
    assert "more than 32 MiB" in failure(script("exec cat /dev/zero"), Reason.HELM_FAILED)


def test_a_flood_of_errors_is_trimmed(script: Script) -> None:
    message = failure(script("yes 'no good' | head -c 5000000 >&2; exit 1"), Reason.HELM_FAILED)
    assert len(message) < 2000


def test_helm_sees_nothing_of_our_environment(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "HELM_NAMESPACE", "HELM_PLUGINS", "HELM_KUBETOKEN", "A_SECRET"):
        monkeypatch.setenv(name, "from outside")
    text = run(script('env; echo "here=$(pwd)"'))
    seen = dict(line.split("=", 1) for line in text.splitlines())
    assert "from outside" not in text
    assert seen["HOME"] == seen["here"]
    assert seen["KUBECONFIG"] == os.devnull
    assert not Path(seen["HOME"]).exists(), "helm's folders were left behind"


def test_values_go_in_by_the_standard_input(script: Script) -> None:
    helm = script('echo "$@" >&2; cat')
    assert run(helm, values={"b": [1, None, True], "a": "é😀\x7f\u2028"}) == (
        '{"a": "é😀\\u007f\\u2028", "b": [1, null, true]}'
    )


def test_a_helm_that_does_not_read_its_input(script: Script) -> None:
    assert run(script("exec 0<&-; echo done"), values={"a": "x" * 1_000_000}) == "done\n"


def test_thousands_of_served_kinds_fit_into_the_arguments(script: Script) -> None:
    versions = [f"group-{number}.example.com/v1beta1/SomeRatherLongKindOfThing" for number in range(5000)]
    helm = script('for argument in "$@"; do echo "$argument"; done')
    text = asyncio.run(template(helm, CHART, {}, kube_version="v1.36.1", api_versions=versions))
    given = [line.partition("=")[2] for line in text.splitlines() if line.startswith("--api-versions=")]
    assert ",".join(given).split(",") == versions


def test_a_file_that_is_no_chart(tmp_path: Path, helm: str) -> None:
    chart = tmp_path / "cilium-1.17.3.tgz"
    chart.write_text("no archive")
    with pytest.raises(ChainError) as caught:
        asyncio.run(template(helm, chart, {}, kube_version="v1.36.1", api_versions=[]))
    assert caught.value.reason is Reason.HELM_FAILED


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("bad -----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nIabc\n-----END EC PRIVATE KEY----- value", "MHcCAQEE"),
        ("bad -----BEGIN PRIVATE KEY-----\nMHcCAQEE", "MHcCAQEE"),
        (f"got {'QUJD' * 40}== want int", "QUJDQUJD"),
        ("at password: hunter2 in", "hunter2"),
        ('{"etcdToken":"hunter2"}', "hunter2"),
        ("--client-secret=hunter2", "hunter2"),
    ],
)
def test_secrets_do_not_get_into_messages(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)
    assert "(redacted)" in redact(text)
