"""The sockets of an HTTP client, known until they are closed.

aiohttp's session waits for the connections that it holds, not for those that it has let go: one that was cut off in the
middle of an answer (a watch that ends) says good-bye by TLS first, and stays open for up to 30 s when the server does
not answer that. An event loop that ends before leaves the socket to the garbage collector.
"""

import asyncio
import logging
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Factory = Callable[[Any], socket.socket]
"""What aiohttp's connector takes as `socket_factory`: an entry of getaddrinfo in, a socket out."""

CLOSE_SECONDS = 2.0
LOOK_SECONDS = 0.005

logger = logging.getLogger(__name__)


def plain_socket(address: Any) -> socket.socket:
    """A socket for an entry of getaddrinfo."""
    family, kind, protocol, *_ = address
    return socket.socket(family, kind, protocol)


class KnownSockets:
    """Makes sockets and remembers those that are open."""

    def __init__(self, factory: Factory = plain_socket) -> None:
        self._factory = factory
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: Any) -> socket.socket:
        """A new socket, for aiohttp's `socket_factory`."""
        made = self._factory(address)
        self._made.add(made)
        return made

    @property
    def open(self) -> list[socket.socket]:
        """Those that are not closed yet."""
        return [made for made in self._made if made.fileno() >= 0]

    async def end(self, within: float = CLOSE_SECONDS) -> None:
        """Cut what is still open, after the session was closed, and wait until the event loop has closed it."""
        for left in self.open:
            try:
                left.shutdown(socket.SHUT_RDWR)
            except OSError as error:  # it never was connected, or the other side has ended it
                logger.debug("a connection was ended already: %s", error)
        end = asyncio.get_running_loop().time() + within
        while self.open and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - a socket tells nobody
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def http_session(
    *, limit: int = 100, force_close: bool = False, **options: Any
) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP session that leaves no socket open behind it.

    limit: connections at a time. force_close: each is used once. options: those of aiohttp's ClientSession.
    """
    sockets = KnownSockets()
    connector = aiohttp.TCPConnector(limit=limit, force_close=force_close, socket_factory=sockets.make)
    try:
        async with aiohttp.ClientSession(connector=connector, **options) as session:
            yield session
    finally:
        await sockets.end()
