"""The write fence on the way of real requests: nothing leaves a process whose lease may be another's."""

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

import auditlog
from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials, load_credentials
from cnichain.kube.errors import ApiError
from cnichain.kube.fence import Fence, Timing, boot_clock
from cnichain.kube.resources import CONFIG_MAPS
from faultproxy import FaultProxy, fault_proxy

pytestmark = pytest.mark.controlplane

TIMING = Timing(lease=4, renew=2, retry=1)


class Ended(BaseException):
    """The process would have ended here."""


def end(words: str) -> NoReturn:
    raise Ended(words)


@pytest.fixture
def proxy(crds_installed: ControlPlane) -> Iterator[FaultProxy]:
    with fault_proxy(crds_installed) as running:
        yield running


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


def run(credentials: Credentials, fence: Fence, test: Callable[[KubeClient], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        async with KubeClient(credentials, fence=fence) as client:
            await test(client)

    asyncio.run(inside())


def test_a_write_goes_through_while_the_lease_is_held_and_carries_its_limit(proxy: FaultProxy) -> None:
    fence = Fence(TIMING, end, lambda: 0.5)
    fence.renewed(0.0)

    async def test(client: KubeClient) -> None:
        await client.apply(CONFIG_MAPS, config_map("fenced"))
        assert await client.get(CONFIG_MAPS, "fenced", "default") is not None
        await client.delete(CONFIG_MAPS, "fenced", "default")

    run(Credentials(proxy.url), fence, test)
    assert [("timeout=2500ms" in line, line.split()[0]) for line in proxy.seen] == [
        (True, "PATCH"),
        (False, "GET"),
        (True, "DELETE"),
    ]
    assert fence.settled


def test_no_write_is_sent_once_the_lease_is_over(proxy: FaultProxy) -> None:
    times = [0.0]
    fence = Fence(TIMING, end, lambda: times[0])
    fence.renewed(0.0)

    async def test(client: KubeClient) -> None:
        times[0] = 2.0
        with pytest.raises(Ended, match=r"PATCH .*/fenced was about to be sent 2.0 s after the last renewal"):
            await client.apply(CONFIG_MAPS, config_map("fenced"))

    run(Credentials(proxy.url), fence, test)
    assert proxy.seen == []


@pytest.mark.parametrize("is_connected", [False, True], ids=["new connection", "kept connection"])
def test_nothing_is_sent_when_the_process_was_stopped_after_the_check(proxy: FaultProxy, is_connected: bool) -> None:
    """The clock jumps between the check and the kernel's `send`, as it does for a process that is stopped there."""
    jump = [False]
    looks = [0]

    def clock() -> float:
        looks[0] += 1
        return 100.0 if jump[0] and looks[0] > 1 else 0.0

    fence = Fence(TIMING, end, clock)
    fence.renewed(0.0)

    async def test(client: KubeClient) -> None:
        if is_connected:
            await client.get(CONFIG_MAPS, "none", "default")
        jump[0], looks[0] = True, 0
        with pytest.raises(ApiError, match="nothing more is sent"):
            await client.request("PATCH", "/fenced", body={}, attempts=1)
        assert looks[0] > 1
        with pytest.raises(Ended):
            await client.apply(CONFIG_MAPS, config_map("fenced"))

    run(Credentials(proxy.url), fence, test)
    assert [line for line in proxy.seen if not line.startswith("GET")] == []
    assert not fence.settled


PROGRAM = Path(__file__).with_name("writer.py")
LEASE_SECONDS, EXIT_FENCED = 20, 75
"""As they stand in the program."""
STOPPED = 8
"""Fenced writers, each stopped at another moment; beside them one without a fence."""


def test_a_process_that_is_stopped_while_it_writes_sends_nothing_after_its_lease(
    crds_installed: ControlPlane, tmp_path: Path
) -> None:
    """Real processes, SIGSTOP and SIGCONT, and the API server's audit log. The one without a fence does write when it
    goes on, so there is something to be sent at that moment."""
    names = [f"writer-{number}" for number in range(STOPPED)] + ["writer-free"]
    with ExitStack() as stack:
        writers = {name: stack.enter_context(writer(crds_installed, name, tmp_path)) for name in names}
        for process in writers.values():
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
        for process in writers.values():
            process.send_signal(signal.SIGSTOP)
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - the moment is the point: each is elsewhere
        time.sleep(LEASE_SECONDS)  # nothing but time ends a lease
        over = datetime.now(UTC).isoformat()
        for process in writers.values():
            process.send_signal(signal.SIGCONT)
        codes = {name: process.wait(timeout=60) for name, process in writers.items() if name != "writer-free"}
        assert set(codes.values()) == {EXIT_FENCED}
        late = until_someone_writes(crds_installed.audit_log, "writer-free", over)
    assert {item["userAgent"] for item in late} == {"writer-free"}
    left = [f"{name}-{number}" for name in names for number in range(3)]
    crds_installed.run_kubectl("delete", "configmap", *left, "--ignore-not-found")


@contextmanager
def writer(control_plane: ControlPlane, name: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that writes; killed in the end, since without a fence it never ends."""
    mode = "free" if name == "writer-free" else "fenced"
    command = [sys.executable, str(PROGRAM), str(control_plane.kubeconfig), name, mode]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        with process:
            try:
                yield process
            finally:
                process.kill()


def until_someone_writes(audit_log: Path, name: str, since: str) -> list[dict[str, Any]]:
    """The writers' requests that the API server has received since a time, as soon as one of `name` is among them."""
    deadline = time.monotonic() + 60
    while True:
        late = [
            item
            for item in auditlog.entries(audit_log)
            if item.get("userAgent", "").startswith("writer-") and item["requestReceivedTimestamp"] > since[:26] + "Z"
        ]
        if any(item["userAgent"] == name for item in late):
            return late
        assert time.monotonic() < deadline, f"{name} writes nothing"
        time.sleep(0.2)


@contextmanager
def silence() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:  # closed
                    return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in held:
                one.close()


def test_the_api_server_gives_up_what_it_has_not_carried_out_in_time(crds_installed: ControlPlane) -> None:
    """A write that waits there, here for a webhook, is not carried out after the limit that came with it. The same
    write without a limit is, which shows that it is the limit that stops it."""
    kubectl = crds_installed.run_kubectl
    with silence() as port:
        webhook = {
            "name": "slow.cnichain.test",
            "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
            ],
            "failurePolicy": "Ignore",
            "timeoutSeconds": 4,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "matchConditions": [{"name": "one", "expression": "object.metadata.name.startsWith('slow-')"}],
        }
        kind = "ValidatingWebhookConfiguration"
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "slow"}}
        kubectl("apply", "--filename=-", stdin=json.dumps(body | {"webhooks": [webhook]}))
        fence = Fence(TIMING, end)
        credentials = load_credentials(crds_installed.kubeconfig)

        async def limited(client: KubeClient) -> None:
            fence.renewed(boot_clock())
            with pytest.raises(ApiError) as failed:
                await client.create(CONFIG_MAPS, config_map("slow-limited"))
            assert failed.value.transient

        async def both(client: KubeClient) -> None:
            async with KubeClient(credentials) as free:
                # The one without a limit starts first and ends last, so the other has had the time as well.
                await asyncio.gather(free.create(CONFIG_MAPS, config_map("slow-free")), limited(client))
                assert await free.get(CONFIG_MAPS, "slow-free", "default") is not None
                assert await free.get(CONFIG_MAPS, "slow-limited", "default") is None

        try:
            run(credentials, fence, both)
        finally:
            kubectl("delete", "validatingwebhookconfiguration", "slow")
            kubectl("delete", "configmap", "slow-free", "slow-limited", "--ignore-not-found")
