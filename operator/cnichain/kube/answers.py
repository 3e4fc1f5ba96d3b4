"""What an API server answers, read with care: objects, errors, and the lines of a watch."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from cnichain.kube.errors import ApiError

VERSION_PATH = "/version"
"""The one answer that is needed and has no kind."""


def as_object(answer: Any, path: str, request: str) -> dict[str, Any]:
    """The answer, if it is one of an API server's: a login page or an empty object must not be taken for an empty list.

    Raises ApiError, as for no answer at all.
    """
    if isinstance(answer, dict) and (isinstance(answer.get("kind"), str) or path == VERSION_PATH):
        return answer
    raise ApiError(0, "Malformed", "what was answered is not of the Kubernetes API", request=request)


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of a stream, however long (aiohttp's own readline refuses lines over 64 KiB)."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if line.strip():
                yield line


async def raise_for_status(response: aiohttp.ClientResponse, request: str) -> None:
    """Raises ApiError for an answer that is an error."""
    if response.status < 400:
        return
    text = await response.text()
    try:
        status = json.loads(text)
    except json.JSONDecodeError:
        status = {"reason": response.reason or "", "message": text[:500]}
    retry_after = response.headers.get("Retry-After", "")
    raise error_from_status(
        status, response.status, request, retry_after=float(retry_after) if retry_after.isdigit() else 0.0
    )


def error_from_status(status: Mapping[str, Any], code: int, request: str, *, retry_after: float = 0.0) -> ApiError:
    """The error that a Status object tells of."""
    reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    return ApiError(code, reason, message, request=request, retry_after=retry_after)
