"""Charts: from a folder or from a real HTTP server that misbehaves; only what has the pinned digest is kept."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import CiliumRelease, KubernetesRange
from cnichain.render.charts import SIZE_LIMIT, ChartStore

CONTENT = b"a chart, as far as this module cares" * 5000


def release(content: bytes = CONTENT) -> CiliumRelease:
    return CiliumRelease(
        version="1.2.3",
        source="stand-in",
        chart_sha256=hashlib.sha256(content).hexdigest(),
        kubernetes=KubernetesRange(min="1.29", max="1.36"),
        kernel="5.4",
    )


def fetch(store: ChartStore, wanted: CiliumRelease | None = None) -> Path:
    return asyncio.run(store.fetch(wanted or release()))


def failure(store: ChartStore, reason: Reason, cache: Path) -> str:
    with pytest.raises(ChainError) as caught:
        fetch(store)
    assert caught.value.reason is reason, caught.value
    left = [path for path in cache.rglob("*") if path.is_file()] if cache.exists() else []
    assert left == [], "something was left in the cache"
    return caught.value.message


Answer = Callable[[BaseHTTPRequestHandler], None]


class Repository:
    """A Helm repository on this machine; `answers` are given in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[str] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = len(repository.requests)
                repository.requests.append(self.path)
                repository.answers[min(number, len(repository.answers) - 1)](self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/charts"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def repository() -> Iterator[Repository]:
    """A Helm repository on this machine."""
    server = Repository()
    try:
        yield server
    finally:
        server.close()


def body(content: bytes, *, length: int | None = None, encoding: str = "") -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        if encoding:
            handler.send_header("Content-Encoding", encoding)
        handler.end_headers()
        try:
            handler.wfile.write(content)
        except ConnectionError:
            return  # the client had enough

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def store(repository: Repository, cache: Path, total_seconds: float = 20.0) -> ChartStore:
    return ChartStore(cache, None, repository.url, total_seconds=total_seconds, first_delay_seconds=0.01)


def test_an_archive_is_fetched_once_and_checked_each_time(repository: Repository, tmp_path: Path) -> None:
    repository.answers = [body(CONTENT)]
    charts = store(repository, tmp_path)
    path = fetch(charts)
    assert path == tmp_path / release().chart_sha256 / "cilium-1.2.3.tgz"
    assert path.read_bytes() == CONTENT
    assert fetch(charts) == path
    assert repository.requests == ["/charts/cilium-1.2.3.tgz"]
    path.write_bytes(b"damaged")
    assert fetch(charts).read_bytes() == CONTENT
    assert len(repository.requests) == 2
    assert [item.name for item in path.parent.iterdir()] == ["cilium-1.2.3.tgz"], "a temporary file was left"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_repositorys_path_is_kept(repository: Repository, tmp_path: Path, slash: str) -> None:
    repository.answers = [body(CONTENT)]
    fetch(ChartStore(tmp_path, None, repository.url + slash))
    assert repository.requests == ["/charts/cilium-1.2.3.tgz"]


@pytest.mark.parametrize(
    "trouble", [status(500), status(503), status(429), hang_up, body(CONTENT[:999], length=len(CONTENT))]
)
def test_a_passing_trouble_is_tried_again(repository: Repository, tmp_path: Path, trouble: Answer) -> None:
    repository.answers = [trouble, trouble, body(CONTENT)]
    assert fetch(store(repository, tmp_path)).read_bytes() == CONTENT
    assert len(repository.requests) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_lasting_refusal_is_reported_at_once(repository: Repository, tmp_path: Path, code: int) -> None:
    repository.answers = [status(code)]
    message = failure(store(repository, tmp_path), Reason.CHART_UNREACHABLE, tmp_path)
    assert repository.url in message
    assert str(code) in message
    assert len(repository.requests) == 1


@pytest.mark.parametrize(
    ("trouble", "said"), [(status(500), "500"), (body(CONTENT[:999], length=len(CONTENT)), "cilium-1.2.3.tgz")]
)
def test_retries_end(repository: Repository, tmp_path: Path, trouble: Answer, said: str) -> None:
    repository.answers = [trouble]
    message = failure(store(repository, tmp_path, total_seconds=1.0), Reason.CHART_UNREACHABLE, tmp_path)
    assert said in message
    assert 1 < len(repository.requests) < 50


def test_a_repository_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    url = repository.url
    repository.close()
    charts = ChartStore(tmp_path, None, url, total_seconds=0.2, first_delay_seconds=0.01)
    assert url in failure(charts, Reason.CHART_UNREACHABLE, tmp_path)


def test_a_repository_that_does_not_answer(repository: Repository, tmp_path: Path) -> None:
    answered = threading.Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        answered.wait(10)

    repository.answers = [silent]
    try:
        message = failure(store(repository, tmp_path, total_seconds=0.2), Reason.CHART_UNREACHABLE, tmp_path)
    finally:
        answered.set()
    assert "0.2 s" in message


@pytest.mark.parametrize("url", ["not a url", "ftp://example.com", ""])
def test_a_repository_that_is_no_url(tmp_path: Path, url: str) -> None:
    assert "not a URL" in failure(ChartStore(tmp_path, None, url), Reason.CHART_UNREACHABLE, tmp_path)


def test_a_body_that_is_too_large_is_cut_off(repository: Repository, tmp_path: Path) -> None:
    repository.answers = [body(b"x" * (SIZE_LIMIT + 1))]
    assert "20 MiB" in failure(store(repository, tmp_path), Reason.CHART_UNREACHABLE, tmp_path)


def test_an_archive_sent_as_compressed_page_stays_an_archive(repository: Repository, tmp_path: Path) -> None:
    repository.answers = [body(CONTENT, encoding="gzip")]
    assert fetch(store(repository, tmp_path)).read_bytes() == CONTENT


def test_another_archive_is_refused_with_both_digests(repository: Repository, tmp_path: Path) -> None:
    repository.answers = [body(b"other")]
    message = failure(store(repository, tmp_path), Reason.CHART_DIGEST_MISMATCH, tmp_path)
    assert hashlib.sha256(b"other").hexdigest() in message
    assert release().chart_sha256 in message
    assert len(repository.requests) == 1


def test_a_chart_folder_is_used_and_no_request_is_made(repository: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "charts"
    folder.mkdir()
    (folder / "cilium-1.2.3.tgz").write_bytes(CONTENT)
    path = fetch(ChartStore(tmp_path / "cache", folder, repository.url))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache"), "helm would read a file that may change after the check"
    assert repository.requests == []


def test_an_archive_that_is_not_in_the_folder_is_named(tmp_path: Path) -> None:
    message = failure(ChartStore(tmp_path / "cache", tmp_path, "http://x"), Reason.CHART_NOT_FOUND, tmp_path / "cache")
    assert "cilium-1.2.3.tgz is missing" in message
    assert str(tmp_path) in message


def test_another_archive_in_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cilium-1.2.3.tgz").write_bytes(b"other")
    charts = ChartStore(tmp_path / "cache", tmp_path, "http://x")
    message = failure(charts, Reason.CHART_DIGEST_MISMATCH, tmp_path / "cache")
    assert hashlib.sha256(b"other").hexdigest() in message
    assert str(tmp_path / "cilium-1.2.3.tgz") in message


def test_a_file_in_the_folder_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "cilium-1.2.3.tgz").open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    charts = ChartStore(tmp_path / "cache", tmp_path, "http://x")
    assert "20 MiB" in failure(charts, Reason.CHART_NOT_FOUND, tmp_path / "cache")


def test_a_folder_in_the_archives_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "cilium-1.2.3.tgz").mkdir()
    charts = ChartStore(tmp_path / "cache", tmp_path, "http://x")
    assert "cannot be read" in failure(charts, Reason.CHART_NOT_FOUND, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cilium-1.2.3.tgz").write_bytes(CONTENT)
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ChainError) as caught:
        fetch(ChartStore(tmp_path / "cache", tmp_path, "http://x"))
    assert str(tmp_path / "cache") in caught.value.message


def test_two_fetches_at_once_do_not_disturb_each_other(repository: Repository, tmp_path: Path) -> None:
    repository.answers = [body(CONTENT)]

    async def both() -> set[Path]:
        charts = store(repository, tmp_path)
        return set(await asyncio.gather(*(charts.fetch(release()) for _ in range(5))))

    (path,) = asyncio.run(both())
    assert path.read_bytes() == CONTENT
    assert [item.name for item in path.parent.iterdir()] == ["cilium-1.2.3.tgz"]
