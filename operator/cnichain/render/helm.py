"""`helm template` of the official helm program, walled off: a clean environment, a time limit, a limit on its output.

helm never talks to the cluster here. What it would ask (Kubernetes version, served APIs) is given to it, so that a
render is a function of its arguments.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.api.reasons import Reason

OUTPUT_LIMIT = 32 * 1024 * 1024
ERROR_LIMIT = 64 * 1024
MESSAGE_LIMIT = 1500
LIMIT_SECONDS = 60.0
KILL_SECONDS = 5.0
API_VERSIONS_PER_ARGUMENT = 500
"""Linux takes at most 128 KiB in one argument, and a cluster may serve thousands of kinds."""

VALUES_AT_FAULT = (
    "execution error at (",  # the chart's own `fail` and `required`
    "values don't meet the specifications of the schema",
    "template: ",  # a value of a type that a template cannot use
    "YAML parse error on ",  # a value that breaks the text of a template
)
"""Beginnings of helm's words for what can only come from values, as the chart is pinned by its digest."""

NO_ROOM = "no space left on device"
"""Go's words for a full disk."""
NOISE = ("WARNING:", "level=", "Use --debug flag")
UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|$)", re.DOTALL)
BLOB = re.compile(r"[A-Za-z0-9+/_-]{60,}={0,2}")
CREDENTIAL = re.compile(
    r"(?i)\b(\w*(?:password|passwd|secret|token|api[-_]?key|private[-_]?key))(\\?[\"']?\s*[:=]\s*)\S+"
)


async def template(
    helm: Path | str,
    chart: Path,
    values: Mapping[str, Any],
    *,
    release_name: str = "cilium",
    namespace: str = CILIUM_NAMESPACE,
    kube_version: str,
    api_versions: Sequence[str],
    limit_seconds: float = LIMIT_SECONDS,
) -> str:
    """The text that `helm template` writes: a stream of YAML documents, hooks among them.

    Raises ChainError: HelmNotFound when the program cannot be started, FolderNotWritable when there is no room for its
    folder, ChartInvalidValues when the chart refuses the values (with its words), HelmFailed for everything else, among
    it the time limit and the output limit.
    When the caller is cancelled, helm and whatever it started are killed first.
    """
    home = await asyncio.to_thread(_home)
    try:
        arguments = [
            *("template", release_name, str(chart), "--namespace", namespace, "--include-crds"),
            *("--kube-version", kube_version, "--values", "-"),
            *_api_version_arguments(api_versions),
        ]
        status, output, errors = await _run(_program(helm), arguments, _stdin(values), home, limit_seconds)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, home, ignore_errors=True))
    if status != 0:
        raise _failure(status, errors, chart)
    return output


def _home() -> str:
    """A folder of its own for one run."""
    try:
        return tempfile.mkdtemp(prefix="cnichain-helm-")
    except OSError as error:
        # Without any folder that can be written, tempfile gives up before it has a name to tell.
        where = Path(error.filename).parent if error.filename else os.environ.get("TMPDIR", "/tmp")  # noqa: S108
        raise ChainError(
            Reason.FOLDER_NOT_WRITABLE, f"helm gets no temporary folder in {where}: {error.strerror or error}."
        ) from error


def _stdin(values: Mapping[str, Any]) -> bytes:
    # JSON is YAML, and leaves no doubt about the type of a scalar. What YAML does not take as it is, is escaped; not so
    # everything beyond ASCII, since YAML does not know JSON's pairs of surrogates.
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def _api_version_arguments(api_versions: Sequence[str]) -> list[str]:
    chunks = range(0, len(api_versions), API_VERSIONS_PER_ARGUMENT)
    return [f"--api-versions={','.join(api_versions[at : at + API_VERSIONS_PER_ARGUMENT])}" for at in chunks]


def _program(helm: Path | str) -> str:
    """The name to start: one with a folder in it made absolute, as helm runs in a folder of its own."""
    return str(Path(helm).absolute()) if os.sep in str(helm) else str(helm)


def _environment(home: str) -> dict[str, str]:
    """helm's environment: nothing of ours but the search path, and folders that are empty and private."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": home,
        "TMPDIR": home,
        "HELM_CACHE_HOME": f"{home}/cache",
        "HELM_CONFIG_HOME": f"{home}/config",
        "HELM_DATA_HOME": f"{home}/data",
        "KUBECONFIG": os.devnull,
    }


class _Output(asyncio.SubprocessProtocol):
    """Gathers what a process writes. `ended` is done when it has ended and both its pipes are closed."""

    def __init__(self) -> None:
        self.out, self.err = bytearray(), bytearray()
        self.too_much = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        buffer, limit = (self.out, OUTPUT_LIMIT) if fd == 1 else (self.err, ERROR_LIMIT)
        buffer += data[: max(0, limit - len(buffer))]
        if fd == 1 and len(self.out) >= OUTPUT_LIMIT:
            self.too_much.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.ended.done():
            self.ended.set_result(None)


async def _run(
    program: str, arguments: list[str], stdin: bytes, home: str, limit_seconds: float
) -> tuple[int, str, str]:
    """Exit status, output and errors of one run."""
    loop = asyncio.get_running_loop()
    try:
        transport, output = await loop.subprocess_exec(
            _Output, program, *arguments, env=_environment(home), cwd=home, start_new_session=True
        )
    except OSError as error:
        detail = error.strerror or type(error).__name__
        raise ChainError(Reason.HELM_NOT_FOUND, f"helm cannot be started as {program!r}: {detail}.") from error
    try:
        pipe = transport.get_pipe_transport(0)
        if isinstance(pipe, asyncio.WriteTransport):
            pipe.write(stdin)
            pipe.close()
        await _wait(output, limit_seconds)
    finally:
        await _end(transport, output)
    status = transport.get_returncode()
    return (-1 if status is None else status), output.out.decode(errors="replace"), output.err.decode(errors="replace")


async def _wait(output: _Output, limit_seconds: float) -> None:
    too_much = asyncio.ensure_future(output.too_much.wait())
    try:
        done, _ = await asyncio.wait(
            {output.ended, too_much}, timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        too_much.cancel()
    if output.too_much.is_set():
        raise ChainError(Reason.HELM_FAILED, f"helm wrote more than {OUTPUT_LIMIT // 1024 // 1024} MiB; killed.")
    if not done:
        said = redact(output.err.decode(errors="replace"))
        raise ChainError(
            Reason.HELM_FAILED,
            f"helm did not end within {limit_seconds:g} s and was killed." + (f" It said: {said}" if said else ""),
        )


async def _end(transport: asyncio.SubprocessTransport, output: _Output) -> None:
    """Kill what still runs of helm's process group, and wait until it is gone. Does nothing after an orderly end."""
    if output.ended.done():
        transport.close()
        return
    with contextlib.suppress(ProcessLookupError):  # it may have ended since the look
        os.killpg(transport.get_pid(), signal.SIGKILL)
    transport.close()
    await asyncio.shield(asyncio.wait({output.ended}, timeout=KILL_SECONDS))


def _failure(status: int, errors: str, chart: Path) -> ChainError:
    said = redact(errors) or _end_in_words(status)
    at_fault = any(sign in errors for sign in VALUES_AT_FAULT)
    if at_fault:
        return ChainError(Reason.CHART_INVALID_VALUES, f"the chart {chart.name} refuses the values: {said}")
    if NO_ROOM in errors:
        return ChainError(Reason.FOLDER_NOT_WRITABLE, f"helm template of {chart.name} failed: {said}")
    return ChainError(Reason.HELM_FAILED, f"helm template of {chart.name} failed: {said}")


def _end_in_words(status: int) -> str:
    if status >= 0:
        return f"no message, exit status {status}"
    name = signal.Signals(-status).name
    why = " (as when a memory limit is reached)" if name == "SIGKILL" else ""
    return f"it was ended by {name}{why}"


def redact(text: str) -> str:
    """Words of helm for people: on one line, no longer than MESSAGE_LIMIT, without what looks like a secret."""
    text = PEM.sub("(redacted)", text)
    text = CREDENTIAL.sub(r"\1\2(redacted)", text)
    text = BLOB.sub("(redacted)", text)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(NOISE)]
    joined = " ".join(lines).removeprefix("Error: ")
    return joined if len(joined) <= MESSAGE_LIMIT else joined[: MESSAGE_LIMIT - 1] + "…"
