"""Files that the catalogue pins (chart archives, Calico's manifests), always checked against its sha256 before use.

A file comes from a folder (air gap) or from a repository. What was checked is kept in the cache under its digest, and
only that copy is read: nobody can swap the file between the check and the render.
"""

import asyncio
import hashlib
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import CiliumRelease
from cnichain.kube.sockets import http_session

SIZE_LIMIT = 20 * 1024 * 1024
"""Bytes; Cilium's charts have a fifth of a megabyte."""
REQUEST_SECONDS = 15.0
TOTAL_SECONDS = 30.0
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 8.0
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class PinnedFile:
    """A file of a release. of: whose it is, for messages. paths: where it may be under a folder, in order of trial;
    the last part of the first names it in the cache. url: where it is without a folder.
    """

    of: str
    sha256: str
    paths: tuple[str, ...]
    url: str


class _PassingError(Exception):
    """A download failed in a way that may pass by itself."""


class ChartStore:
    """Fetches pinned files and keeps the checked ones.

    cache_dir: made when it is missing. chart_dir: folder of archives named cilium-VERSION.tgz, and of Calico's
    manifests; with it no request is ever made. repository: URL of a Helm repository. total_seconds: limit for one
    download with all its retries.
    """

    def __init__(
        self,
        cache_dir: Path,
        chart_dir: Path | None,
        repository: str,
        *,
        total_seconds: float = TOTAL_SECONDS,
        first_delay_seconds: float = FIRST_DELAY_SECONDS,
    ) -> None:
        self._cache_dir = cache_dir
        self._chart_dir = chart_dir
        self._repository = repository
        self._total_seconds = total_seconds
        self._first_delay_seconds = first_delay_seconds

    async def fetch(self, release: CiliumRelease) -> Path:
        """The checked archive of a release, in the cache. Errors as of `fetch_file`."""
        url = urljoin(self._repository.rstrip("/") + "/", release.archive)
        return await self.fetch_file(
            PinnedFile(f"Cilium {release.version}", release.chart_sha256, (release.archive,), url)
        )

    async def fetch_file(self, wanted: PinnedFile) -> Path:
        """The checked file, in the cache.

        Raises ChainError: ChartNotFound (folder), ChartUnreachable (repository), ChartDigestMismatch; nothing is left
        in the cache then. FolderNotWritable when the cache cannot be written.
        """
        kept = self._cache_dir / wanted.sha256 / Path(wanted.paths[0]).name
        if await asyncio.to_thread(_is_intact, kept, wanted.sha256):
            return kept
        if self._chart_dir is not None:
            content, source = await asyncio.to_thread(_read, self._chart_dir, wanted)
        else:
            content, source = await self._download(wanted.url), wanted.url
        _check(content, wanted, source)
        await asyncio.to_thread(_keep, kept, content)
        return kept

    async def _download(self, url: str) -> bytes:
        """The body of a URL; tries again with a growing, jittered delay until the total time is over."""
        end = time.monotonic() + self._total_seconds
        delay = self._first_delay_seconds
        # trust_env: clusters without a direct way out have a proxy in HTTPS_PROXY. No decompression: some servers take
        # the archive for a compressed page, and the digest is that of the archive.
        async with http_session(
            trust_env=True, auto_decompress=False, headers={"Accept-Encoding": "identity"}
        ) as session:
            while True:
                left = end - time.monotonic()
                try:
                    return await _get(session, url, min(REQUEST_SECONDS, max(left, 0.1)))
                except _PassingError as error:
                    pause = delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
                    if time.monotonic() + pause >= end:
                        raise ChainError(
                            Reason.CHART_UNREACHABLE,
                            f"{url} could not be read within {self._total_seconds:g} s; last: {error}.",
                        ) from error
                    await asyncio.sleep(pause)
                    delay = min(delay * 2, LONGEST_DELAY_SECONDS)


async def _get(session: aiohttp.ClientSession, url: str, limit_seconds: float) -> bytes:
    """One request. Raises _PassingError when another may succeed, else ChainError(ChartUnreachable)."""
    content = bytearray()
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=limit_seconds)) as response:
            if response.status in RETRIED_STATUS:
                raise _PassingError(f"the repository answered {response.status}")
            if response.status != 200:
                raise ChainError(Reason.CHART_UNREACHABLE, f"{url}: the repository answered {response.status}.")
            async for chunk in response.content.iter_chunked(64 * 1024):
                content += chunk
                if len(content) > SIZE_LIMIT:
                    limit = SIZE_LIMIT // 1024 // 1024
                    raise ChainError(Reason.CHART_UNREACHABLE, f"{url} has more than {limit} MiB: not a chart.")
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise ChainError(Reason.CHART_UNREACHABLE, f"{url} is not a URL that can be fetched.") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _PassingError(str(error) or f"no answer within {limit_seconds:.0f} s") from error
    return bytes(content)


def _check(content: bytes, wanted: PinnedFile, source: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != wanted.sha256:
        raise ChainError(
            Reason.CHART_DIGEST_MISMATCH,
            f"{source} has sha256 {found}, the catalogue pins {wanted.sha256} for {wanted.of}.",
        )


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ChainError(Reason.CHART_NOT_FOUND, f"the chart cache cannot be read: {error}.") from error


def _read(folder: Path, wanted: PinnedFile) -> tuple[bytes, str]:
    """Content and path of the first of the file's paths that is in the folder."""
    path = next((folder / item for item in wanted.paths if (folder / item).exists()), folder / wanted.paths[0])
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        detail = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        names = " (or ".join(wanted.paths) + ")" * (len(wanted.paths) - 1)
        raise ChainError(Reason.CHART_NOT_FOUND, f"{names} {detail} in the chart folder {folder}.") from error
    if len(content) > SIZE_LIMIT:
        limit = SIZE_LIMIT // 1024 // 1024
        raise ChainError(Reason.CHART_NOT_FOUND, f"{path} has more than {limit} MiB: not what it should be.")
    return content, str(path)


def _keep(path: Path, content: bytes) -> None:
    """Write the file whole or not at all; two writers of the same content do not disturb each other."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        detail = error.strerror or str(error)
        raise ChainError(
            Reason.FOLDER_NOT_WRITABLE, f"the chart cannot be kept in the cache {path.parent}: {detail}."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
