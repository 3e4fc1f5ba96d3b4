"""Hubble's metrics over HTTP, from real servers: those that answer, and all the ways in which others do not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from cnichain.reconcile import drops
from cnichain.reconcile.drops import sample_drops
from cnichain.rollout.drops import DropSample

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
COUNTER = 'hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"} 7\n'
OTHERS = 'hubble_flows_processed_total{protocol="TCP",type="L3_L4"} 1\n' * 5000


@asynccontextmanager
async def hubble(address: str, port: int, handler: Handler) -> AsyncIterator[int]:
    """A node's metrics server on one of the machine's loopback addresses; its port."""
    app = web.Application()
    app.router.add_get("/metrics", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def sample(
    *handlers: Handler, address: Callable[[int], str] = lambda number: f"127.0.1.{number + 1}"
) -> list[DropSample]:
    """A sample of a node per handler, in their order."""

    async def inside() -> list[DropSample]:
        async with AsyncExitStack() as stack:
            port = 0
            for number, handler in enumerate(handlers):
                port = await stack.enter_async_context(hubble(address(number), port, handler))
            nodes = {f"n{number}": address(number) for number in range(len(handlers))}
            return list((await sample_drops(nodes, port)).values())

    return asyncio.run(inside())


def answer(text: str, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    return handler


async def silent(request: web.Request) -> web.Response:
    """Says nothing until the other side gives up."""
    await asyncio.Event().wait()
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    """One line that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


async def elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("http://169.254.169.254/latest/meta-data/")


def test_a_node_that_answers() -> None:
    (found,) = sample(answer(OTHERS + COUNTER + OTHERS))
    assert (found.total, found.why) == (7, "")
    assert found.at.tzinfo is not None


def test_a_last_line_without_an_end_is_not_taken_for_a_whole_one() -> None:
    """An answer that was cut off could end in the middle of a number."""
    (found,) = sample(answer(COUNTER + 'hubble_drop_total{reason="POLICY_DENIED"} 123'))
    assert found.total == 7


def test_a_node_without_drops_has_none() -> None:
    (found,) = sample(answer(OTHERS))
    assert found.total == 0


def test_nodes_that_do_not_answer_are_not_measured_and_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drops, "NODE_SECONDS", 0.5)
    monkeypatch.setattr(drops, "BODY_LIMIT", 1 << 20)
    handlers = (
        *(silent, endless, elsewhere, answer("not found", 404)),
        answer('hubble_drop_total{reason="POLICY_DENIED"} many\n'),
        answer(COUNTER),
    )
    *failed, good = sample(*handlers)
    assert good.total == 7
    assert [one.total for one in failed] == [None] * 5
    words = ("does not answer within", "too long", "status 302", "status 404", "cannot be read")
    for one, said in zip(failed, words, strict=True):
        assert said in one.why


def test_a_closed_port_is_told_as_such() -> None:
    async def inside() -> DropSample:
        async with hubble("127.0.1.1", 0, answer(COUNTER)) as port:
            return (await sample_drops({"closed": "127.0.1.2"}, port))["closed"]

    found = asyncio.run(inside())
    assert found.total is None
    assert "port" in found.why
    assert len(found.why) <= 200


def test_many_nodes_are_asked_a_few_at_a_time() -> None:
    busy, most = 0, 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.01)
        busy -= 1
        return web.Response(text=COUNTER)

    found = sample(*[handler] * 25)
    assert [one.total for one in found] == [7.0] * 25
    assert most <= drops.CONCURRENT_NODES


def test_a_pass_does_not_wait_for_all_that_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drops, "NODE_SECONDS", 0.2)
    monkeypatch.setattr(drops, "ALL_SECONDS", 0.1)
    found = sample(*[silent] * 25)
    assert {one.total for one in found} == {None}
    asked = [one for one in found if "does not answer" in one.why]
    assert len(asked) == drops.CONCURRENT_NODES
    assert all("not asked" in one.why for one in found if one not in asked)


def test_an_address_of_ipv6() -> None:
    if not Path("/proc/net/if_inet6").read_text(encoding="ascii").strip():
        pytest.skip("this machine has no IPv6")
    (found,) = sample(answer(COUNTER), address=lambda _: "::1")
    assert found.total == 7
