"""The client and the reflector against the real API server, directly and through a proxy that misbehaves."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials, CredentialsError, load_credentials
from cnichain.kube.errors import ApiError
from cnichain.kube.reflector import Reflector
from cnichain.kube.resources import CHAINS, CONFIG_MAPS, DAEMON_SETS, NODES
from faultproxy import Fault, FaultProxy, fault_proxy

pytestmark = pytest.mark.controlplane

WAIT_SECONDS = 30.0
GONE = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"},
}
BROKEN = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"}}


@pytest.fixture
def proxy(crds_installed: ControlPlane) -> Iterator[FaultProxy]:
    with fault_proxy(crds_installed) as running:
        yield running


def config_map(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"test": "reflector"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def run(credentials: Credentials, test: Callable[[KubeClient], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a client; the event loop must never be blocked, which asyncio's debug mode would tell."""

    async def inside() -> None:
        async with KubeClient(credentials) as client:
            await test(client)

    asyncio.run(inside())


async def until(check: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not check():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS:.0f} s: {what}"
        await asyncio.sleep(0.02)


def test_the_verbs(crds_installed: ControlPlane) -> None:
    async def test(client: KubeClient) -> None:
        first = await client.apply(CONFIG_MAPS, config_map("verbs", a="1"))
        again = await client.apply(CONFIG_MAPS, config_map("verbs", a="1"))
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"], (
            "an equal apply writes nothing"
        )
        found = await client.get(CONFIG_MAPS, "verbs", "default")
        assert found is not None
        assert found["data"] == {"a": "1"}
        assert await client.get(CONFIG_MAPS, "none-of-this-name", "default") is None
        assert not await client.delete(CONFIG_MAPS, "verbs", "default", uid="of-another-object"), (
            "a uid guards a delete"
        )
        assert await client.get(CONFIG_MAPS, "verbs", "default") is not None
        assert await client.delete(CONFIG_MAPS, "verbs", "default", uid=found["metadata"]["uid"])
        assert not await client.delete(CONFIG_MAPS, "verbs", "default")

    run(load_credentials(crds_installed.kubeconfig), test)


def test_a_list_of_more_than_a_page_is_whole(crds_installed: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnichain.kube.client.PAGE", 3)

    async def test(client: KubeClient) -> None:
        names = {f"page-{number}" for number in range(8)}
        for name in names:
            await client.apply(CONFIG_MAPS, config_map(name))
        items, version = await client.list(CONFIG_MAPS, namespace="default", labels="test=reflector")
        assert names <= {item["metadata"]["name"] for item in items}
        assert version
        for name in names:
            await client.delete(CONFIG_MAPS, name, "default")

    run(load_credentials(crds_installed.kubeconfig), test)


def test_discovery_knows_kinds_and_what_helm_asks_for(crds_installed: ControlPlane) -> None:
    async def test(client: KubeClient) -> None:
        found = await client.discover()
        assert found.resource("apps/v1", "DaemonSet") == DAEMON_SETS
        assert found.resource("v1", "Node") == NODES
        assert found.resource("cnichain.io/v1alpha1", "CNIChain") == CHAINS
        assert found.resource("monitoring.coreos.com/v1", "ServiceMonitor") is None
        assert {"apps/v1", "apps/v1/DaemonSet", "v1/Pod"} <= set(found.helm_api_versions())
        assert (await client.server_version()).startswith("v1.36.")

    run(load_credentials(crds_installed.kubeconfig), test)


def test_a_refusal_says_what_and_why(crds_installed: ControlPlane) -> None:
    async def test(client: KubeClient) -> None:
        with pytest.raises(ApiError) as refused:
            await client.apply(CONFIG_MAPS, config_map("Not A Name"))
        assert refused.value.status == 422
        assert not refused.value.transient
        assert "Not A Name" in refused.value.message

    run(load_credentials(crds_installed.kubeconfig), test)


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(429, headers={"Retry-After": "1"}), Fault(503), Fault(drop=True)], ids=str
)
def test_what_fails_in_passing_is_tried_again(proxy: FaultProxy, fault: Fault) -> None:
    left = [fault, fault]
    proxy.fault = lambda method, _path: left.pop() if method == "PATCH" and left else None

    async def test(client: KubeClient) -> None:
        await client.apply(CONFIG_MAPS, config_map("again", a="1"))
        assert proxy.count("PATCH") == 3
        await client.delete(CONFIG_MAPS, "again", "default")

    run(Credentials(proxy.url), test)


def test_what_fails_for_good_is_not_tried_again(proxy: FaultProxy) -> None:
    proxy.fault = lambda method, _path: Fault(403) if method == "PATCH" else None

    async def test(client: KubeClient) -> None:
        with pytest.raises(ApiError, match="403"):
            await client.apply(CONFIG_MAPS, config_map("never"))
        assert proxy.count("PATCH") == 1

    run(Credentials(proxy.url), test)


def test_an_api_server_that_stays_away_is_told_after_bounded_tries(proxy: FaultProxy) -> None:
    proxy.fault = lambda _method, _path: Fault(drop=True)

    async def test(client: KubeClient) -> None:
        with pytest.raises(ApiError) as failed:
            await client.get(NODES, "any")
        assert failed.value.transient
        assert failed.value.status == 0

    run(Credentials(proxy.url), test)


def test_an_answer_that_does_not_come_is_asked_for_again(proxy: FaultProxy) -> None:
    left = [Fault(hang=True)]
    proxy.fault = lambda _method, path: left.pop() if "/configmaps/" in path and left else None

    async def test(client: KubeClient) -> None:
        found = await client.request("GET", CONFIG_MAPS.path("kube-system", "kube-root-ca.crt"), seconds=2.0)
        assert found["kind"] == "ConfigMap"
        assert proxy.count("/configmaps/") == 2

    run(Credentials(proxy.url), test)


def test_without_a_token_it_is_said_why(crds_installed: ControlPlane, tmp_path: Path) -> None:
    """The file of a token is away for a moment, or an exec plugin gives none."""

    async def test(client: KubeClient) -> None:
        with pytest.raises(ApiError, match=r"401 NoToken: no token can be had: .*no-such-token"):
            await client.get(NODES, "any")

    run(Credentials(crds_installed.server, _token_file=tmp_path / "no-such-token"), test)


def test_an_error_never_shows_the_token(crds_installed: ControlPlane) -> None:
    credentials = load_credentials(crds_installed.kubeconfig)
    token = credentials.token()
    assert token
    assert token not in repr(credentials)


async def reflecting(client: KubeClient, test: Callable[[Reflector[str]], Awaitable[None]]) -> None:
    """Run a test beside a reflector of the labelled ConfigMaps' data."""
    reflector = Reflector(
        client, CONFIG_MAPS, lambda item: json.dumps(item.get("data")), lambda: None, labels="test=reflector"
    )
    task = asyncio.create_task(reflector.run())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await reflector.synced.wait()
        await test(reflector)
        assert not task.done(), "a reflector never ends by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("error", [GONE, BROKEN], ids=["410", "500"])
def test_what_was_deleted_while_the_watch_was_away_is_forgotten(
    proxy: FaultProxy, crds_installed: ControlPlane, error: dict[str, Any]
) -> None:
    """The fault that Kopf's index has: after a 410 it keeps what was deleted meanwhile."""

    async def test(client: KubeClient) -> None:
        direct = KubeClient(load_credentials(crds_installed.kubeconfig))
        async with direct:
            for name in ("stays", "goes"):
                await direct.apply(CONFIG_MAPS, config_map(name, a="1"))

            async def inside(reflector: Reflector[str]) -> None:
                await until(lambda: len(reflector.records) == 2, "both are seen")
                cut = asyncio.Event()
                # From now on each watch ends with an error at once, and lists fail: the gap.
                proxy.fault = lambda _method, path: (
                    Fault(event=error) if "watch=1" in path else None if cut.is_set() else Fault(503)
                )
                await direct.apply(CONFIG_MAPS, config_map("stays", a="2"))
                await direct.delete(CONFIG_MAPS, "goes", "default")
                proxy.fault = lambda _method, _path: None
                await until(lambda: list(reflector.records) == [("default", "stays")], "the deletion is noticed")
                await until(lambda: reflector.records.get(("default", "stays")) == '{"a": "2"}', "the change is")

            await reflecting(client, inside)
            await direct.delete(CONFIG_MAPS, "stays", "default")

    run(Credentials(proxy.url), test)


@pytest.mark.parametrize("status", [500, 403, 429])
def test_a_list_that_fails_at_the_start_is_tried_until_it_works(
    proxy: FaultProxy, crds_installed: ControlPlane, status: int
) -> None:
    """Kopf ends the operator on a LIST that keeps answering 500 or 403; a reflector goes on."""
    proxy.fault = lambda _method, _path: Fault(status)

    async def test(client: KubeClient) -> None:
        reflector = Reflector(client, CONFIG_MAPS, lambda _: "", labels="test=reflector")
        task = asyncio.create_task(reflector.run())
        try:
            await until(lambda: proxy.count("GET") >= 3, "it tries again")
            assert not task.done()
            proxy.fault = lambda _method, _path: None
            async with asyncio.timeout(WAIT_SECONDS):
                await reflector.synced.wait()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(Credentials(proxy.url), test)


def test_410_on_each_watch_is_not_answered_by_a_list_without_a_pause(proxy: FaultProxy) -> None:
    proxy.fault = lambda _method, path: Fault(event=GONE) if "watch=1" in path else None

    async def test(client: KubeClient) -> None:
        async def inside(_reflector: Reflector[str]) -> None:
            await until(lambda: proxy.count("watch=1") >= 2, "it watches again")
            before = proxy.count("GET")
            await asyncio.sleep(1.0)  # the length of the sample, not a wait for something
            assert proxy.count("GET") - before < 12, "lists and watches must be spaced out"

        await reflecting(client, inside)

    run(Credentials(proxy.url), test)


def test_watches_that_end_at_once_are_not_asked_without_a_pause(proxy: FaultProxy) -> None:
    empty = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "1"}}}
    proxy.fault = lambda _method, path: Fault(event=empty) if "watch=1" in path else None

    async def test(client: KubeClient) -> None:
        async def inside(_reflector: Reflector[str]) -> None:
            await until(lambda: proxy.count("watch=1") >= 2, "it watches again")
            before = proxy.count("watch=1")
            await asyncio.sleep(1.0)  # the length of the sample, not a wait for something
            assert proxy.count("watch=1") - before < 10, "watches that end at once must be spaced out"

        await reflecting(client, inside)

    run(Credentials(proxy.url), test)


def test_a_kubeconfig_that_cannot_be_used_is_told_by_name(tmp_path: Any) -> None:
    path = tmp_path / "config"
    path.write_text("{}")
    with pytest.raises(CredentialsError, match=str(path)):
        load_credentials(path)
