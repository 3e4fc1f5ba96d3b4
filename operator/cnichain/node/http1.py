"""HTTP/1.1 as far as the agent needs it: one request on a connection, an answer by length, in chunks or to the end.

Not `http.client`: that reads headers with the `email` package, and both together cost each node 1.4 MB. Source of the
rules: RFC 9112, sections 2 to 7.
"""

import socket
from collections.abc import Iterator, Mapping

_MAX_LINE = 64 * 1024
_MAX_HEADERS = 100
_MAX_INTERIM = 10
_BLOCK = 64 * 1024
_DIGITS = {10: b"0123456789", 16: b"0123456789abcdefABCDEF"}
_MAX_DIGITS = 16


class HTTPError(Exception):
    """What came is not HTTP, or ended too early; or what was to be sent cannot be a header."""


def send(
    connection: socket.socket, method: str, target: str, host: str, headers: Mapping[str, str], body: bytes
) -> None:
    """Sends one request, after which the server is to close. Raises OSError, HTTPError."""
    fields = {"Host": host, "Connection": "close", **headers}
    if body or method not in ("GET", "HEAD"):
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if not all(is_plain(line) for line in lines):
        raise HTTPError("the request has a line end or a character that is not printable ASCII")
    connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii") + body)


def is_plain(text: str) -> bool:
    """Whether it can be part of a header: printable ASCII alone, so no line end."""
    return text.isascii() and text.isprintable()


class Response:
    """An answer whose head has been read. status, reason: of its first line. headers: by lower-case name."""

    def __init__(self, connection: socket.socket) -> None:
        """Reads the head. Raises OSError, HTTPError."""
        self._stream = connection.makefile("rb")
        self._rest = b""
        try:
            self._read_head()
        except BaseException:
            self.close()
            raise
        self._parts = self._body()

    def read(self, limit: int) -> bytes:
        """The body, or as much of it as `limit` bytes. Raises OSError, HTTPError."""
        while len(self._rest) < limit and (part := next(self._parts, b"")):
            self._rest += part
        return self._take(limit)

    def readline(self, limit: int) -> bytes:
        """The next line of the body with its end, b"" after the last one. Raises OSError, HTTPError."""
        searched = 0
        while (end := self._rest.find(b"\n", searched) + 1) == 0:
            searched = len(self._rest)
            part = next(self._parts, b"")
            if not part or searched > limit:
                end = searched
                break
            self._rest += part
        if end > limit:
            raise HTTPError(f"a line of the answer has more than {limit} bytes")
        return self._take(end)

    def close(self) -> None:
        """Lets the connection go."""
        self._stream.close()

    def _read_head(self) -> None:
        for _ in range(_MAX_INTERIM):
            version, _, words = self._line().partition(b" ")
            code, _, reason = words.partition(b" ")
            if not version.startswith(b"HTTP/1.") or len(code) != 3 or not code.isdigit():
                raise HTTPError(f"the answer is not HTTP/1.1: {version[:20]!r}")
            self.status, self.reason = int(code), reason.decode("latin-1")
            self.headers = self._read_headers()
            if self.status >= 200:  # else it is an interim answer, which comes before the one that counts
                return
        raise HTTPError(f"more than {_MAX_INTERIM} interim answers and no other")

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(_MAX_HEADERS + 1):
            line = self._line()
            if not line:
                return headers
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise HTTPError(f"the answer has {line[:20]!r} where a header should be")
            headers[name.lower()] = value.strip()
        raise HTTPError(f"the answer has more than {_MAX_HEADERS} headers")

    def _body(self) -> Iterator[bytes]:
        if self.status in (204, 304):
            return
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while size := _number(self._line().partition(b";")[0], 16):
                yield from self._exactly(size)
                if self._line():
                    raise HTTPError("a chunk of the answer is longer than it said")
        elif "content-length" in self.headers:
            yield from self._exactly(_number(self.headers["content-length"].encode("latin-1"), 10))
        else:
            while part := self._stream.read1(_BLOCK):
                yield part

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            part = self._stream.read1(min(size, _BLOCK))
            if not part:
                raise HTTPError(f"the answer ended {size} bytes too early")
            size -= len(part)
            yield part

    def _take(self, size: int) -> bytes:
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _line(self) -> bytes:
        line = self._stream.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise HTTPError("the answer ended too early" if len(line) < _MAX_LINE else "a line of its head is too long")
        return line.rstrip(b"\r\n")


def _number(text: bytes, base: int) -> int:
    digits = text.strip()
    if not digits or digits.strip(_DIGITS[base]) or len(digits) > _MAX_DIGITS:
        raise HTTPError(f"the answer has {text[:20]!r} where its length should be")
    return int(digits, base)
