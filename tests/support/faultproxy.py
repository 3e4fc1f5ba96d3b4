"""A proxy before the real API server that misbehaves as it is told to."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.sockets import http_session

START_SECONDS = 10
CLOSING_TURNS = 10


@dataclass(frozen=True)
class Fault:
    """What is answered in place of the API server.

    event: a watch event in a 200 stream, in place of a status. text: the body of a 200 answer, whatever it is. drop:
    the connection is cut. hang: it is not, and nothing ever comes, as from a network that swallows every packet.
    """

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    event: dict[str, Any] | None = None
    text: str | None = None
    drop: bool = False
    hang: bool = False


@dataclass(frozen=True)
class Answered:
    """A request that the API server has answered. path: with its query. body: what was sent. began: by the monotonic
    clock."""

    method: str
    path: str
    body: bytes
    status: int
    began: float


@dataclass
class FaultProxy:
    """url: where clients connect. fault: asked for each request (method, path with query); None lets it through.

    answered: called when the API server has answered and the client knows nothing of it yet; what it returns is called
    once the client has the answer. one_by_one: asked for each request; those are passed on one after the other. late:
    asked for each request, how many seconds after the API server the proxy answers.
    """

    url: str = ""
    fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
    answered: Callable[[Answered], Callable[[], None] | None] = lambda _answer: None
    one_by_one: Callable[[str, str], bool] = lambda _method, _path: False
    late: Callable[[str, str], float] = lambda _method, _path: 0.0
    seen: list[str] = field(default_factory=list)
    cut: Callable[[], None] = lambda: None
    """Cuts every connection that is open, so that watches begin anew."""

    def kubeconfig(self, control_plane: ControlPlane, folder: Path) -> Path:
        """A kubeconfig that goes through the proxy, in a folder."""
        config = json.loads(control_plane.kubeconfig.read_text(encoding="utf-8"))
        config["clusters"][0]["cluster"] = {"server": self.url}
        config["users"][0]["user"] = {}
        path = folder / "proxy.kubeconfig"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def count(self, text: str) -> int:
        """How many requests so far have had a text in their method and path."""
        return sum(text in line for line in self.seen)


@contextmanager
def fault_proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    """A proxy in a thread of its own, on plain HTTP; it adds the administrator's token."""
    proxy, ready, stop = FaultProxy(), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(proxy, control_plane, ready, stop)))
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise RuntimeError("the fault proxy did not start")
        yield proxy
    finally:
        stop.set()
        thread.join()


async def _serve(proxy: FaultProxy, control_plane: ControlPlane, ready: threading.Event, stop: threading.Event) -> None:
    context = ssl.create_default_context(cafile=str(control_plane.ca_file))
    async with http_session(auto_decompress=False) as session:
        turn = asyncio.Lock()
        loop, connections = asyncio.get_running_loop(), set[asyncio.Transport]()

        def cut() -> None:
            for transport in connections:
                transport.abort()

        proxy.cut = partial(_soon, loop, cut)

        async def handle(request: web.Request) -> web.StreamResponse:
            began = time.monotonic()
            proxy.seen.append(f"{request.method} {request.path_qs}")
            if isinstance(request.transport, asyncio.Transport):
                connections.add(request.transport)
            if not proxy.one_by_one(request.method, request.path_qs):
                return await pass_on(request, began)
            async with turn:
                await _some_turns()  # in which it shows that the client has ended meanwhile
                return await pass_on(request, began)

        async def pass_on(request: web.Request, began: float) -> web.StreamResponse:
            fault = proxy.fault(request.method, request.path_qs)
            if fault is not None:
                return await _misbehave(request, fault)
            headers = {key: request.headers[key] for key in ("Accept", "Content-Type") if key in request.headers}
            headers["Authorization"] = f"Bearer {control_plane.token}"
            headers["Accept-Encoding"] = "identity"  # what is passed on says nothing of an encoding
            sent = await request.read()
            upstream = session.request(
                request.method,
                control_plane.server + request.path_qs,
                # None: an empty body would get a Content-Type, which the discovery endpoints refuse (415).
                data=sent or None,
                headers=headers,
                ssl=context,
                timeout=aiohttp.ClientTimeout(total=600),
            )
            async with upstream as answer:
                await asyncio.sleep(proxy.late(request.method, request.path_qs))
                afterwards = proxy.answered(Answered(request.method, request.path_qs, sent, answer.status, began))
                response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await _while_hanging(proxy, request)
                    await response.write(chunk)
                if afterwards is not None:
                    await response.write_eof()
                    afterwards()
                return response

        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await asyncio.to_thread(stop.wait)
        await _some_turns()  # asyncio (3.11) loses a connection that it is about to take when the server is closed
        await runner.cleanup()
    await _some_turns()  # transports of requests that were cut off close in later turns of the loop


async def _some_turns() -> None:
    for _ in range(CLOSING_TURNS):
        await asyncio.sleep(0)


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(work)


async def _while_hanging(proxy: FaultProxy, request: web.Request) -> None:
    """A watch that is open falls silent as well; until the client gives up, which cancels this."""
    fault = proxy.fault(request.method, request.path_qs)
    if fault is not None and fault.hang:
        await asyncio.Event().wait()


async def _misbehave(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.drop:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    if fault.hang:
        await asyncio.Event().wait()  # until the client gives up, which cancels this
    if fault.text is not None:
        return web.Response(text=fault.text, content_type="application/json")
    if fault.event is not None:
        return web.Response(text=json.dumps(fault.event) + "\n", content_type="application/json")
    status = {"kind": "Status", "status": "Failure", "reason": "Injected", "message": "injected", "code": fault.status}
    return web.json_response(status, status=fault.status, headers=fault.headers)
