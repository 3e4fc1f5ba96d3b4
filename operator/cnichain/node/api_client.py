"""A very small Kubernetes client: one kind of object, get-by-list, watch, and a status by server-side apply.

The standard library alone: the full client would triple the memory of an agent that runs on every node. Every request
has a timeout, and the kernel's keepalive finds a server that is gone within about half a minute.
"""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cnichain.api.names import AGENT_FIELD_MANAGER, API_VERSION, GROUP, KIND_NODE, PLURAL_NODES, VERSION
from cnichain.api.wirejson import wire_json
from cnichain.node import http1

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection."""
REQUEST_TIMEOUT = 30.0
"""Seconds for a request other than a watch. The API server lets one wait in its queues for 15 s (API Priority and
Fairness, a quarter of its --request-timeout): who gives up sooner gives up his place and asks anew."""
_MAX_ANSWER = 4 << 20
"""Bytes of an answer, or of one event of a watch; one object has some thousand."""
_COLLECTION = f"/apis/{GROUP}/{VERSION}/{PLURAL_NODES}"


class ApiConfigError(Exception):
    """The way to the API server is not given or not usable; the message says what to change."""


class ApiError(Exception):
    """The server answered with an error. status: HTTP code. retry_after: seconds it asks to wait, or 0."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.retry_after = status, retry_after


class ApiUnreachableError(Exception):
    """There was no answer: no connection, a timeout, or an answer that is not HTTP or JSON."""


@dataclass(frozen=True)
class Access:
    """How to reach the API server.

    server: URL. token: gives the bearer token anew for each request (a pod's token is rotated), None without one.
    tls: None for plain http, which is taken for this machine alone. server_name: to check the certificate against.
    """

    server: str
    token: Callable[[], str | None]
    tls: ssl.SSLContext | None
    server_name: str | None = None


@dataclass(frozen=True)
class Event:
    """One line of a watch. kind: ADDED, MODIFIED, DELETED, BOOKMARK. item: the object."""

    kind: str
    item: dict[str, Any]

    @property
    def version(self) -> str:
        """resourceVersion to go on from."""
        return str(self.item.get("metadata", {}).get("resourceVersion", ""))


class ApiClient:
    """Reads one CNIChainNode and writes its status. Each method may be used from its own thread."""

    def __init__(self, access: Access, node: str) -> None:
        """node: name of the node and of its CNIChainNode. Raises ApiConfigError."""
        try:
            parts, port = urlsplit(access.server), urlsplit(access.server).port
        except ValueError as error:
            raise ApiConfigError(f"{access.server!a} is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.hostname.isascii():
            raise ApiConfigError(f"{access.server!a} is not the URL of an API server, such as https://10.0.0.1:6443")
        if not http1.is_plain(parts.path) or " " in parts.path:
            raise ApiConfigError(f"{access.server!a} has a path with characters that have to be percent-encoded")
        if not http1.is_plain(access.server_name or ""):
            raise ApiConfigError(f"{access.server_name!a} (tls-server-name) is not ASCII, as a certificate has names")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ApiConfigError(f"{access.server} is plain http on another machine; use https")
        self._access, self._node = access, node
        if parts.scheme == "https" and access.tls is None:
            raise ApiConfigError(f"{access.server} is https, but nothing is given to check its certificate against")
        self._host, self._port = parts.hostname, port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._authority = f"{host}:{self._port}"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def fetch(self) -> tuple[dict[str, Any] | None, str]:
        """The object, or None if there is none yet, and the resourceVersion to watch from.

        Raises ApiError, ApiUnreachableError.
        """
        answer = self._list()
        items = answer.get("items") or []
        return (items[0] if items else None), str(answer.get("metadata", {}).get("resourceVersion", ""))

    def watch(self, version: str, seconds: int) -> Iterator[Event]:
        """Changes after `version`, until the server ends the watch, which it is asked to do after `seconds`.

        Raises ApiError (410: the version is too old, fetch again) and ApiUnreachableError.
        """
        query = {
            "watch": "1",
            **self._selection,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        path = f"{_COLLECTION}?{urlencode(query)}"
        with self._exchange("GET", path, None, {}, timeout=seconds + REQUEST_TIMEOUT) as response:
            while line := response.readline(_MAX_ANSWER):
                event = _json(line)
                item = event.get("object") or {}
                if event.get("type") == "ERROR":
                    raise ApiError(int(item.get("code") or 500), str(item.get("message") or "the watch failed"))
                yield Event(str(event.get("type")), item)

    def apply_status(self, status: Mapping[str, Any], uid: str) -> None:
        """Server-side apply of the whole status. uid: of the object it is meant for; another one is a conflict (409).

        Raises ApiError (404: the object is gone), ApiUnreachableError.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND_NODE,
            "metadata": {"name": self._node, "uid": uid},
            "status": status,
        }
        query = urlencode({"fieldManager": AGENT_FIELD_MANAGER, "force": "true"})
        path = f"{_COLLECTION}/{quote(self._node)}/status?{query}"
        self._request("PATCH", path, wire_json(body), {"Content-Type": "application/apply-patch+yaml"})

    def close(self) -> None:
        """Ends every request that is under way, so that the threads in them return."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def _selection(self) -> Mapping[str, str]:
        """What of the collection is read, as a query."""
        return {"fieldSelector": f"metadata.name={self._node}"}

    def _list(self, more: Mapping[str, str] | None = None) -> dict[str, Any]:
        """more: of the query."""
        return self._request("GET", f"{_COLLECTION}?{urlencode({**self._selection, **(more or {})})}")

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        with self._exchange(method, path, body, headers or {}, timeout=REQUEST_TIMEOUT) as response:
            return _json(response.read(_MAX_ANSWER))

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
    ) -> Iterator[http1.Response]:
        """One request on a connection of its own; an idle connection would be one more thing that can be dead."""
        target, fields = self._prefix + path, {**self._headers(), **headers}
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._connect())
                stack.callback(self._forget, connection)
                with self._lock:
                    self._open.add(connection)
                connection.settimeout(timeout)
                http1.send(connection, method, target, self._authority, fields, body or b"")
                response = http1.Response(connection)
                stack.callback(response.close)
                if response.status >= 300:
                    raise _error(response)
                yield response
            except (OSError, http1.HTTPError) as error:
                where = f"{self._host}:{self._port}"
                raise ApiUnreachableError(f"{where} does not answer: {str(error) or type(error).__name__}") from error

    def _connect(self) -> socket.socket:
        """With or without TLS. Names are given as bytes, since a str loads the IDNA tables, a megabyte."""
        address = (self._host.encode("ascii"), self._port)
        plain = socket.create_connection(address, CONNECT_TIMEOUT)  # type: ignore[arg-type]  # bytes work too
        try:
            _keep_alive(plain)
            if self._access.tls is None:
                return plain
            name = (self._access.server_name or self._host).encode("ascii")
            return self._access.tls.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": AGENT_FIELD_MANAGER}
        try:
            token = self._access.token() if self._access.tls else None
        except OSError as error:
            raise ApiUnreachableError(f"the bearer token cannot be read: {error}") from error
        if not token:
            return headers
        if not http1.is_plain(token):
            raise ApiUnreachableError(
                "the bearer token has a line end or a character that is not ASCII: it is not sent"
            )
        return {**headers, "Authorization": f"Bearer {token}"}


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _error(response: http1.Response) -> ApiError:
    text = response.read(_MAX_ANSWER)
    try:
        message = str(json.loads(text).get("message"))
    except (ValueError, AttributeError):
        message = text[:200].decode("utf-8", "replace") or response.reason
    after = response.headers.get("retry-after", "")
    return ApiError(response.status, message, float(after) if after.isdigit() else 0.0)


def _json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ApiUnreachableError(f"the answer is not JSON: {text[:100]!r}") from error
    if not isinstance(value, dict):
        raise ApiUnreachableError(f"the answer is not an object: {text[:100]!r}")
    return value


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")
