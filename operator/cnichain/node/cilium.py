"""Whether the node's cilium-agent answers its health check: asked by a thread of its own, told without flapping.

Source: Cilium's agent health endpoint, `GET /healthz` on 127.0.0.1:9879 with the header `brief: true`, which is also
what the kubelet's probes of the Cilium pod ask.
"""

import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cnichain.node.ciliumhealth import Health, Track
from cnichain.node.files import system_error
from cnichain.node.log import log

TIMEOUT = 1.0
"""Seconds for one question in all; an answer that comes later is none."""
INTERVAL = 2.0
"""Seconds between two questions."""
GRACE = 30.0
"""Seconds without a good answer after which Cilium counts as down: longer than a restart of its agent takes."""


class CiliumHealthError(ValueError):
    """The address of the health check is not usable; the message says what to change."""


class CiliumWatcher(threading.Thread):
    """Asks every INTERVAL seconds, or three times in a shorter grace time."""

    def __init__(self, url: str, grace: float, wake: Callable[[], None]) -> None:
        """url: http alone; empty to ask nothing. wake: called at each new verdict. Raises CiliumHealthError."""
        super().__init__(name="cilium", daemon=True)
        self._address = _address(url) if url else None
        self._track, self._wake = Track(grace), wake
        self._interval = min(INTERVAL, grace / 3)
        self._stopping = threading.Event()
        self.verdict = Health.UNKNOWN if url else Health.OFF
        """The newest verdict."""

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()

    def run(self) -> None:
        """Asks until `stop`."""
        while self._address is not None and not self._stopping.is_set():
            problem = _ask(self._address)
            verdict = self._track.answered(time.monotonic(), is_good=not problem)
            if verdict is not self.verdict:
                say = log.warning if verdict is Health.DOWN else log.info
                say("Cilium's health", health=verdict.value, **({"error": problem} if problem else {}))
                self.verdict = verdict
                self._wake()
            self._stopping.wait(self._interval)


def _ask(address: tuple[str, int, str]) -> str:
    """One question; empty for a good answer, else what was wrong. Bounded by TIMEOUT however slow the other side is."""
    host, port, path = address
    deadline = time.monotonic() + TIMEOUT
    answer = b""
    try:
        # As bytes: a host that is a str loads the IDNA tables, a megabyte.
        where: tuple[str, int] = (host.encode("ascii"), port)  # type: ignore[assignment]  # bytes work too
        with socket.create_connection(where, TIMEOUT) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nbrief: true\r\n\r\n".encode("ascii"))
            while b"\n" not in answer and len(answer) < 1024:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                part = connection.recv(1024)
                if not part:
                    break
                answer += part
    except TimeoutError:
        return f"{host}:{port} does not answer within {TIMEOUT:g} s"
    except OSError as error:
        return f"{host}:{port} does not answer: {system_error(error)}"
    words = answer.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return f"{host}:{port} does not answer in HTTP"
    status = words[1].decode("ascii", "replace")
    return "" if status.startswith("2") else f"{host}:{port} answers with status {status}"


def _address(url: str) -> tuple[str, int, str]:
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError as error:
        raise CiliumHealthError(f"--cilium-health-url {url!a} is not a URL: {error}") from error
    if parts.scheme != "http" or not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise CiliumHealthError(f"--cilium-health-url {url!a} is not one like http://127.0.0.1:9879/healthz")
    return parts.hostname, port or 80, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
