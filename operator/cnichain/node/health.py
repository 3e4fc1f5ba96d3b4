"""`/healthz` and `/readyz` for the kubelet's probes, on this machine's loopback alone.

A socket and forty lines: the standard library's HTTP server would cost more memory than the rest of the agent's code.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_PATIENCE = 2.0
"""Seconds that a client has to send its request and take the answer."""


class HealthServer(threading.Thread):
    """Answers GET with 200 or 503 and one line that says why."""

    def __init__(self, port: int, checks: dict[str, Callable[[], str]]) -> None:
        """checks: path to a function that gives an empty string for "fine", else what is wrong.

        Raises OSError when the port is taken.
        """
        super().__init__(name="health", daemon=True)
        self._checks = checks
        self._socket = socket.create_server(("127.0.0.1", port), backlog=16)
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
        check = self._checks.get(words[1].decode("ascii", "replace").split("?")[0]) if len(words) > 1 else None
        if check is None:
            return _response("404 Not Found", "known: " + ", ".join(self._checks))
        problem = check()
        return _response("503 Service Unavailable", problem) if problem else _response("200 OK", "ok")


def _response(status: str, text: str) -> bytes:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
