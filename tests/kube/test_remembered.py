"""Reads that a watch saves, against the real API server: never an old answer after a write, of ours or of others."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cnichain.dev.controlplane import ControlPlane
from cnichain.kube import remembered
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.kube.reflector import Reflector
from cnichain.kube.remembered import Query, Remembered
from cnichain.kube.resources import CONFIG_MAPS

pytestmark = pytest.mark.controlplane

WAIT_SECONDS = 30.0
LABELS = "test=remembered"
QUERY = Query(CONFIG_MAPS, "default", LABELS)


def config_map(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"test": "remembered"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class Rig:
    """The reads under test, the client that they are made by, another client, and how many requests were made."""

    def __init__(self, ours: KubeClient, others: KubeClient, reflector: Reflector[str], asked: list[str]) -> None:
        self.ours, self.others, self.reflector, self.asked = ours, others, reflector, asked
        self.reads = Remembered(ours, lambda _: reflector.records if reflector.is_current else None)

    async def data(self) -> dict[str, Any]:
        """The data of all ConfigMaps by name."""
        return {item["metadata"]["name"]: item.get("data") for item in await self.reads.objects(QUERY)}

    async def seen(self, **objects: dict[str, Any] | None) -> None:
        """Wait until the watch has seen these objects as they were written, or their end."""
        deadline = time.monotonic() + WAIT_SECONDS
        for name, item in objects.items():
            version = item and item["metadata"]["resourceVersion"]
            while self.reflector.records.get(("default", name)) != version:
                assert time.monotonic() < deadline, f"the watch has not seen {name}: {self.reflector.records}"
                await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Read once with the watch up to date, so that the answer may be used again."""
        await self.data()
        before = len(self.asked)
        await self.data()
        assert len(self.asked) == before, "nothing has changed, and yet there was a request"


def run(control_plane: ControlPlane, test: Callable[[Rig], Awaitable[None]]) -> None:
    """Run a test with a ConfigMap `there`; what it leaves is removed."""

    async def inside() -> None:
        credentials, asked = load_credentials(control_plane.kubeconfig), list[str]()

        def observe(verb: str, _status: int, _seconds: float) -> None:
            if verb == "GET":
                asked.append(verb)

        async with KubeClient(credentials, observe=observe) as ours, KubeClient(credentials) as others:
            reflector = Reflector(
                others, CONFIG_MAPS, lambda item: str(item["metadata"]["resourceVersion"]), lambda: None, labels=LABELS
            )
            there = await others.apply(CONFIG_MAPS, config_map("there", a="1"))
            watch = asyncio.create_task(reflector.run())
            rig = Rig(ours, others, reflector, asked)
            try:
                await rig.seen(there=there)
                await test(rig)
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                for name in ("there", "new"):
                    await others.delete(CONFIG_MAPS, name, "default")

    asyncio.run(inside())


def test_what_has_not_changed_is_asked_for_once(crds_installed: ControlPlane) -> None:
    async def test(rig: Rig) -> None:
        await rig.settled()
        assert await rig.data() == {"there": {"a": "1"}}
        first = await rig.reads.one(QUERY, "there")
        none = await rig.reads.one(QUERY, "nowhere")
        before = len(rig.asked)
        assert first is not None
        assert await rig.reads.one(QUERY, "there") == first
        assert none is None
        assert await rig.reads.one(QUERY, "nowhere") is None
        assert len(rig.asked) == before

    run(crds_installed, test)


def test_an_own_write_is_read_at_once_whether_the_watch_has_seen_it_or_not(crds_installed: ControlPlane) -> None:
    async def test(rig: Rig) -> None:
        for number in range(20):
            await rig.settled()
            there = await rig.ours.apply(CONFIG_MAPS, config_map("there", a=str(number)))
            new = await rig.ours.apply(CONFIG_MAPS, config_map("new", a=str(number)))
            assert await rig.data() == {"there": {"a": str(number)}, "new": {"a": str(number)}}
            one = await rig.reads.one(QUERY, "there")
            assert one is not None
            assert one["data"] == {"a": str(number)}
            await rig.ours.delete(CONFIG_MAPS, "new", "default")
            assert await rig.data() == {"there": {"a": str(number)}}
            assert new["metadata"]["name"] == "new"
            await rig.seen(there=there, new=None)

    run(crds_installed, test)


def test_what_others_write_is_read_once_the_watch_has_seen_it(crds_installed: ControlPlane) -> None:
    async def test(rig: Rig) -> None:
        await rig.settled()
        changed = await rig.others.apply(CONFIG_MAPS, config_map("there", a="2"))
        await rig.seen(there=changed)
        assert await rig.data() == {"there": {"a": "2"}}
        await rig.settled()
        new = await rig.others.apply(CONFIG_MAPS, config_map("new"))
        await rig.seen(new=new)
        assert set(await rig.data()) == {"there", "new"}
        await rig.settled()
        await rig.others.delete(CONFIG_MAPS, "new", "default")
        await rig.seen(new=None)
        assert set(await rig.data()) == {"there"}

    run(crds_installed, test)


def test_a_write_that_comes_while_the_answer_is_on_its_way_keeps_it_from_being_used_again(
    crds_installed: ControlPlane,
) -> None:
    async def test(rig: Rig) -> None:
        for number in range(20):
            reading = asyncio.create_task(rig.data())
            there = await rig.ours.apply(CONFIG_MAPS, config_map("there", a=f"during {number}"))
            await reading
            assert await rig.data() == {"there": {"a": f"during {number}"}}
            await rig.seen(there=there)

    run(crds_installed, test)


def test_a_dry_run_changes_nothing(crds_installed: ControlPlane) -> None:
    async def test(rig: Rig) -> None:
        await rig.settled()
        before = len(rig.asked)
        await rig.ours.apply(CONFIG_MAPS, config_map("there", a="2"), dry_run=True)
        assert await rig.data() == {"there": {"a": "1"}}
        assert len(rig.asked) == before

    run(crds_installed, test)


def test_without_a_watch_that_is_up_to_date_everything_is_asked_for(crds_installed: ControlPlane) -> None:
    async def test(rig: Rig) -> None:
        await rig.settled()
        rig.reflector.is_current = False
        before = len(rig.asked)
        await rig.data()
        await rig.data()
        assert len(rig.asked) == before + 2

    run(crds_installed, test)


def test_it_is_asked_again_after_a_while_in_any_case(
    crds_installed: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(rig: Rig) -> None:
        await rig.settled()
        before = len(rig.asked)
        monkeypatch.setattr(remembered, "REMEMBERED_SECONDS", 0.0)
        await rig.data()
        assert len(rig.asked) == before + 1

    run(crds_installed, test)
