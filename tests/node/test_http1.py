"""The agent's HTTP client against answers as servers, proxies and broken ones give them, over real sockets."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cnichain.node.api_client import Access, ApiClient, ApiError, ApiUnreachableError
from cnichain.node.http1 import HTTPError, Response, send

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def _answer(data: bytes) -> Iterator[Response]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        answer = Response(ours)
        try:
            yield answer
        finally:
            answer.close()


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 11\r\n\r\nhello\nworldbehind",
        OK + b"transfer-encoding: Chunked\r\n\r\n3\r\nhel\r\n8;x=y\r\nlo\nworld\r\n0\r\n\r\n",
        OK + b"\r\nhello\nworld",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length:11\r\n\r\nhello\nworld",
        b"HTTP/1.0 200 OK\nContent-Length: 11\n\nhello\nworld",
    ],
    ids=["by length", "in chunks", "to the end", "after an interim answer", "with bare line feeds"],
)
def test_the_body_is_read_in_each_framing(data: bytes) -> None:
    with _answer(data) as answer:
        assert (answer.status, answer.reason) == (200, "OK")
        assert answer.readline(100) == b"hello\n"
        assert answer.read(100) == b"world"
        assert answer.read(100) == b""
        assert answer.readline(100) == b""


def test_no_more_than_asked_for_is_given() -> None:
    with _answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello") as answer:
        assert (answer.status, answer.headers["retry-after"]) == (503, "7")
        assert (answer.read(2), answer.read(9)) == (b"he", b"llo")


@pytest.mark.parametrize("data", [b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 200\r\n\r\n"])
def test_an_answer_may_have_no_body(data: bytes) -> None:
    with _answer(data) as answer:
        assert answer.read(100) == b""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too early"),
        (b"SSH-2.0-x\r\n", "not HTTP"),
        (b"HTTP/2 200 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2OO OK\r\n\r\n", "not HTTP"),
        (OK, "too early"),
        (OK + b"no colon\r\n\r\n", "where a header should be"),
        (OK + b"A: " + b"x" * 70000 + b"\r\n\r\n", "too long"),
        (OK + b"A: x\r\n" * 200 + b"\r\n", "more than 100 headers"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "interim"),
        (OK + b"Content-Length: 9\r\n\r\nhello", "4 bytes too early"),
        (OK + b"Content-Length: -1\r\n\r\n", "length"),
        (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "length"),
        (CHUNKED + b"xyz\r\n", "length"),
        (CHUNKED + b"0x5\r\nhello\r\n", "length"),
        (CHUNKED + b"5\r\nhel", "2 bytes too early"),
        (CHUNKED + b"5\r\nhello\r\n", "too early"),
        (CHUNKED + b"2\r\nhello\r\n0\r\n\r\n", "longer than it said"),
    ],
)
def test_what_is_not_http_or_ends_too_early_is_said(data: bytes, words: str) -> None:
    with pytest.raises(HTTPError, match=words), _answer(data) as answer:
        answer.read(100)


def test_a_line_without_end_is_not_gathered_for_ever() -> None:
    with _answer(OK + b"\r\n" + b"x" * 1000) as answer, pytest.raises(HTTPError, match="more than 100 bytes"):
        answer.readline(100)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "\ufffd"])
def test_a_header_cannot_become_another_one(value: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(HTTPError, match="line end"):
            send(ours, "GET", "/", "x", {"Authorization": value}, b"")
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(100) == b"", "a part of the request was sent"


@contextmanager
def _server(*parts: bytes, stays_open: bool = False) -> Iterator[str]:
    """URL of a server that takes one request, sends these parts, and then hangs up, or does so at the end."""
    listening = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        client, _ = listening.accept()
        with client:
            client.settimeout(10)
            client.recv(65536)
            for part in parts:
                client.sendall(part)
                time.sleep(0.01)  # so that the parts come apart; they may as well come together
            if stays_open:
                done.wait(10)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        done.set()
        thread.join(10)
        listening.close()


def _client(server: str, tls: ssl.SSLContext | None = None, token: str | None = None) -> ApiClient:
    return ApiClient(Access(server, lambda: token, tls), "node-1")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x15\x03\x01\x00\x02\x02", OK + b"Content-Length: 9\r\n\r\n{}", OK + b"\r\n[]", OK + b"\r\n<html>"],
    ids=["hangs up", "speaks TLS", "ends early", "no object", "no JSON"],
)
def test_an_answer_that_is_none_counts_as_unreachable(data: bytes) -> None:
    with _server(data) as url, pytest.raises(ApiUnreachableError):
        _client(url).fetch()


def test_a_refusal_has_the_servers_words_and_its_wish_to_wait() -> None:
    status = json.dumps({"kind": "Status", "message": "too many requests"}).encode()
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: %d\r\n\r\n" % len(status)
    with _server(head, status) as url, pytest.raises(ApiError, match="429: too many requests") as error:
        _client(url).fetch()
    assert error.value.retry_after == 3


def test_an_event_of_a_watch_is_given_while_the_watch_stays_open() -> None:
    """Both events come before the server ends anything, however they are cut into chunks."""
    text = b"".join(
        json.dumps({"type": kind, "object": {"metadata": {"resourceVersion": version}}}).encode() + b"\n"
        for kind, version in (("ADDED", "7"), ("MODIFIED", "8"))
    )
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (text[:20], text[20:75], text[75:])]
    with _server(CHUNKED, *chunks, stays_open=True) as url:
        client = _client(url)
        events = client.watch("6", 300)
        assert [(event.kind, event.version) for event in (next(events), next(events))] == [
            ("ADDED", "7"),
            ("MODIFIED", "8"),
        ]
        client.close()
        with pytest.raises(ApiUnreachableError, match="too early"):
            next(events)


@pytest.mark.parametrize("token", ["two\nlines", "a\r\nX: y", "t\u00f6ken"])
def test_a_token_that_cannot_be_a_header_is_named_and_nothing_is_sent(token: str) -> None:
    with _server() as url:
        client = _client(url.replace("http", "https"), ssl.create_default_context(), token)
        with pytest.raises(ApiUnreachableError, match="bearer token has a line end") as error:
            client.fetch()
        assert token not in str(error.value), "a secret went into the log"
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()  # the server waits for one
