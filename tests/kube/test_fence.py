"""The write fence on the way of real requests: nothing leaves a process whose lease may be another's."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

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
