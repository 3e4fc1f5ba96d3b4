"""Small pages over HTTP: `/healthz` and `/readyz` for the kubelet's probes, `/metrics` for Prometheus.

A socket and forty lines: the standard library's HTTP server would cost more memory than the rest of the agent's code.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
EVERYWHERE = ""
"""All addresses of the machine, of both families where it has them."""
_PATIENCE = 2.0
"""Seconds that a client has to send its request and take the answer."""


class Page(NamedTuple):
    """An answer. status: code and words of HTTP."""

    body: str
    status: str = "200 OK"
    content_type: str = "text/plain"


class PageServer(threading.Thread):
    """Answers GET with a page, one client after the other."""

    def __init__(self, name: str, host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        """name: of the thread. pages: by path.

        Raises OSError when the port is taken.
        """
        super().__init__(name=name, daemon=True)
        self._pages = pages
        self._socket = _listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        """The port that is listened on."""

    def run(self) -> None:
        """Answers until `close`."""
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return  # closed
            with client, suppress(OSError):  # a client that went away needs no answer
                client.settimeout(_PATIENCE)
                client.sendall(self._answer(client.recv(2048)))

    def close(self) -> None:
        """Stops listening."""
        with suppress(OSError):  # not listening any more
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _answer(self, request: bytes) -> bytes:
        words = request.split(None, 2)
        page = self._pages.get(words[1].decode("ascii", "replace").split("?")[0]) if len(words) > 1 else None
        if page is None:
            return _response(Page(f"known: {', '.join(self._pages)}\n", "404 Not Found"))
        return _response(page())


def health_page(check: Callable[[], str]) -> Callable[[], Page]:
    """A page that says 200, or 503 and why. check: gives an empty string for "fine", else what is wrong."""

    def page() -> Page:
        problem = check()
        return Page(f"{problem}\n", "503 Service Unavailable") if problem else Page("ok\n")

    return page


def _listening(host: str, port: int) -> socket.socket:
    if host == EVERYWHERE and socket.has_dualstack_ipv6():
        return socket.create_server((host, port), family=socket.AF_INET6, backlog=16, dualstack_ipv6=True)
    return socket.create_server((host, port), backlog=16)


def _response(page: Page) -> bytes:
    body = page.body.encode()
    head = f"HTTP/1.1 {page.status}\r\nContent-Type: {page.content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
