"""What a client leaves behind, before a server that does not answer its good-bye."""

import asyncio
import gc
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnichain.dev.pki import create
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials
from cnichain.kube.resources import CONFIG_MAPS
from cnichain.kube.sockets import http_session

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'{"type": "ADDED", "object": {}}\n'
FIRST_EVENT = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
TIME_LIMIT = 10.0
"""A third of what asyncio waits for the answer to TLS's good-bye (ssl_shutdown_timeout)."""


class SilentServer:
    """Accepts, takes one request, sends what it is given, then reads and closes no more."""

    def __init__(self, answer: bytes, context: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(TIME_LIMIT)
        self._held: list[socket.socket] = []
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        accepted, _ = self._listening.accept()
        accepted.settimeout(TIME_LIMIT)
        connection = self._context.wrap_socket(accepted, server_side=True) if self._context else accepted
        self._held.append(connection)
        connection.recv(65536)
        connection.sendall(self._answer)

    def end(self) -> None:
        self._thread.join()
        for left in (*self._held, self._listening):
            left.close()


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[SilentServer, Credentials]]:
    pki = create(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.serving_cert, pki.serving_key)
    server = SilentServer(HEAD + FIRST_EVENT, context)
    trusted = ssl.create_default_context(cafile=str(pki.ca_cert))
    try:
        yield server, Credentials(f"https://127.0.0.1:{server.port}", trusted)
    finally:
        server.end()


def leaves_nothing(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(TIME_LIMIT):
            await work()

    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(in_time())
        gc.collect()
    left = [str(one.message) for one in told if issubclass(one.category, ResourceWarning)]
    assert not left, f"left to the garbage collector: {left}"


def test_a_watch_that_is_cut_off(tls_server: tuple[SilentServer, Credentials]) -> None:
    """The server has told one event and answers nothing more, not even TLS's good-bye."""

    async def watch() -> None:
        async with KubeClient(tls_server[1]) as client:
            events = client.watch(CONFIG_MAPS, "1")
            event = await anext(events)
            assert event.type == "ADDED", f"the watch's only event is another: {event}"
            assert isinstance(events, AsyncGenerator)
            await events.aclose()

    leaves_nothing(watch)


def test_a_body_that_is_cut_off() -> None:
    server = SilentServer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    async def read() -> None:
        async with http_session() as session:
            answer = await session.get(f"http://127.0.0.1:{server.port}/")
            assert await answer.content.read(4) == b"half"
            answer.close()

    try:
        leaves_nothing(read)
    finally:
        server.end()
