"""Asks the container runtime which CNI configuration it has loaded: CRI's Version and Status over its unix socket.

gRPC is HTTP/2 with a five-byte prefix; `h2` does the HTTP/2, which costs the agent about a megabyte where grpcio would
cost thirty. Sources: the CRI API (runtime.v1), gRPC's PROTOCOL-HTTP2, containerd's pkg/cri status.go.
"""

import json
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from cnichain.node.files import system_error
from cnichain.node.protobuf import ProtobufError, fields, inner, text

_SERVICE = "/runtime.v1.RuntimeService"
_MAX_ANSWER = 4 << 20
_VERBOSE = b"\x08\x01"  # StatusRequest.verbose = true


class CRIError(Exception):
    """The runtime gave no answer that can be used; the message says why."""


@dataclass(frozen=True)
class Condition:
    """One of the runtime's conditions (RuntimeReady, NetworkReady). message: the runtime's own words."""

    ready: bool
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """What the runtime says of itself.

    name, version: as it calls itself (`containerd`, `cri-o`). conditions: by type. info: the verbose part, which each
    runtime fills as it likes; values are text, mostly JSON.
    """

    name: str
    version: str
    conditions: dict[str, Condition] = field(default_factory=dict)
    info: dict[str, str] = field(default_factory=dict)


def ask(path: Path, timeout: float) -> Answer:
    """Version and Status of the runtime behind a unix socket, within `timeout` seconds in all. Raises CRIError."""
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as raw:
            raw.settimeout(timeout)
            raw.connect(str(path))
            session = _Session(raw, deadline)
            name, version = _version(session.call("Version", b""))
            conditions, info = _status(session.call("Status", _VERBOSE))
    except TimeoutError as error:
        raise CRIError(f"{path} does not answer within {timeout:g} s") from error
    except OSError as error:
        raise CRIError(f"{path} cannot be asked: {system_error(error)}") from error
    except (H2Error, ProtobufError) as error:
        raise CRIError(f"{path} gives an answer that is not CRI: {error}") from error
    return Answer(name, version, conditions, info)


def networks(answer: Answer) -> tuple[Any, ...] | None:
    """The network lists that containerd has loaded, as it shows them (go-cni's ConfigResult), without the loopback's.

    None when the runtime does not tell (CRI-O). Raises CRIError for what is not containerd's form.
    """
    if "cniconfig" not in answer.info:
        return None
    try:
        config = json.loads(answer.info["cniconfig"])
        found = [item["Config"] for item in (config or {}).get("Networks") or []]
        return tuple(item for item in found if item["Name"] != "cni-loopback")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CRIError(f"{answer.name} shows its CNI configuration in an unknown form: {error!r}") from error


class _Session:
    """One HTTP/2 connection, one call after the other."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self._raw, self._deadline = raw, deadline
        self._http = H2Connection()
        self._http.initiate_connection()

    def call(self, method: str, request: bytes) -> bytes:
        """One unary call. Raises CRIError when the runtime refuses it, OSError, H2Error."""
        stream = self._http.get_next_available_stream_id()
        self._http.send_headers(stream, _headers(method, self._left()))
        self._http.send_data(stream, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)
        headers: dict[str, str] = {}
        body = bytearray()
        for event in self._events(stream):
            if isinstance(event, ResponseReceived | TrailersReceived):
                headers.update(_readable(event.headers or ()))
            elif isinstance(event, DataReceived):
                body += event.data or b""
                self._http.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                if len(body) > _MAX_ANSWER:
                    raise CRIError(f"the answer to {method} has more than {_MAX_ANSWER} bytes")
        return _message(method, headers, bytes(body))

    def _events(self, stream: int) -> Iterator[Event]:
        """What comes in until the stream ends."""
        while True:
            self._raw.settimeout(self._left())
            self._raw.sendall(self._http.data_to_send())
            self._raw.settimeout(self._left())
            data = self._raw.recv(65536)
            if not data:
                raise CRIError("the connection was closed before the answer")
            for event in self._http.receive_data(data):
                if isinstance(event, StreamReset | ConnectionTerminated):
                    raise CRIError(f"the call was cut off: {type(event).__name__} {event.error_code}")
                if isinstance(event, StreamEnded) and event.stream_id == stream:
                    return
                yield event

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _headers(method: str, seconds: float) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"{_SERVICE}/{method}"),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "cnichain-agent"),
        ("grpc-timeout", f"{max(1, int(seconds * 1000))}m"),
    ]


def _readable(headers: Sequence[tuple[bytes | str, bytes | str]]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in headers}


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _message(method: str, headers: dict[str, str], body: bytes) -> bytes:
    """The one message of an answer. Raises CRIError for a refusal, in the runtime's own words."""
    if headers.get(":status") != "200":
        raise CRIError(f"{method} was answered with HTTP status {headers.get(':status')}")
    code = headers.get("grpc-status", "")
    if code != "0":
        raise CRIError(f"{method} was refused: gRPC code {code}: {unquote(headers.get('grpc-message', ''))[:300]}")
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise CRIError(f"the answer to {method} is not one plain message")
    return body[5:]


def _version(message: bytes) -> tuple[str, str]:
    found = {number: text(value) for number, value in fields(message)}
    return found.get(2, ""), found.get(3, "")


def _status(message: bytes) -> tuple[dict[str, Condition], dict[str, str]]:
    conditions: dict[str, Condition] = {}
    info: dict[str, str] = {}
    for number, value in fields(message):
        if number == 1:
            for _, item in inner(value):
                found = dict(inner(item))
                said = ": ".join(part for part in (text(found.get(3, b"")), text(found.get(4, b""))) if part)
                conditions[text(found.get(1, b""))] = Condition(found.get(2) == 1, said)
        elif number == 2:
            pair = dict(inner(value))
            info[text(pair.get(1, b""))] = text(pair.get(2, b""))
    return conditions, info
