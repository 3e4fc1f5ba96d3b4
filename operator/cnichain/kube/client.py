"""The operator's Kubernetes client: list, get, server-side apply, delete and watch over one HTTP session.

Own code, and small, because the general clients do not fit here: none of them retries a PATCH, although a server-side
apply may be repeated safely; their discovery caches outlive the cluster; and one (kr8s 0.20) opens a new session on a
403, which cuts every running watch. Every request has a timeout; what may be repeated is, with capped,
jittered backoff.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from cnichain.api.names import FIELD_MANAGER
from cnichain.api.wirejson import wire_json
from cnichain.kube.answers import VERSION_PATH, as_object, error_from_status, lines, raise_for_status
from cnichain.kube.call import REQUEST_SECONDS, Body, Call
from cnichain.kube.credentials import Credentials, CredentialsError
from cnichain.kube.errors import ApiError
from cnichain.kube.fence import Fence, FencedSocket
from cnichain.kube.resources import DISCOVERY_ACCEPT, Discovery, Resource, parse_discovery
from cnichain.kube.sockets import KnownSockets
from cnichain.kube.standing import Standing

Object = dict[str, Any]
METADATA_ACCEPT = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
METADATA_WATCH_ACCEPT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
PAGE = 100
"""Objects in one answer. Parsed, a Node or a Pod takes about 100 KB, and some lists are read at the same time: with 500
in one answer the lists of 5,000 nodes and their pods took 320 MB, with 100 they take 130 MB.
"""
ATTEMPTS = 4
BACKOFF_CAP_SECONDS = 8.0
FAILING = frozenset({429, 500, 502, 503, 504})
"""Answers that say nothing but that there is none."""
WATCH_SECONDS = 290
WATCH_GRACE_SECONDS = 30


@dataclass(frozen=True)
class WatchEvent:
    """One event of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    type: str
    object: Object


def backoff(attempt: int, *, base: float = 0.25, cap: float = BACKOFF_CAP_SECONDS) -> float:
    """Seconds to wait before try number `attempt` (1, 2...): doubled each time, capped, with jitter."""
    ceiling: float = min(cap, base * 2.0 ** min(attempt, 16))
    return random.uniform(0.5, 1.0) * ceiling  # noqa: S311 - jitter, not a secret


class KubeClient:
    """One session to one API server. Use it as an async context manager.

    fence: asked before each write, and by each of its sockets; None for one who writes without a lease. observe: is
    told of each try (method or WATCH, status or 0 without an answer, seconds until the answer began). standing: keeps
    account of how the API server answers; None where nobody would read it.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        user_agent: str = "cnichain",
        fence: Fence | None = None,
        observe: Callable[[str, int, float], None] | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.standing = standing
        self._credentials = credentials
        self._observe = observe or _unobserved
        self._user_agent = user_agent
        self._fence = fence
        self._session: aiohttp.ClientSession | None = None
        self._told: list[Callable[[str], None]] = []
        self._sockets = KnownSockets(FencedSocket.factory(fence)) if fence else KnownSockets()

    def tell_of_writes(self, told: Callable[[str], None]) -> None:
        """Call this with the path of each write but dry runs, before it is sent and after its answer."""
        self._told.append(told)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=self._credentials.ssl_context or True, limit=64, socket_factory=self._sockets.make
        )
        self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": self._user_agent})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            await self._sockets.end()

    async def server_version(self) -> str:
        """The API server's gitVersion, such as v1.36.1."""
        return str((await self.request("GET", VERSION_PATH))["gitVersion"])

    async def discover(self) -> Discovery:
        """What the server serves now."""
        documents = [await self.request("GET", path, accept=DISCOVERY_ACCEPT) for path in ("/api", "/apis")]
        return parse_discovery(documents)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """One object, None when there is none of that name."""
        try:
            return await self.request("GET", resource.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def pages(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[list[Object], str]]:
        """Objects page by page, each with the resourceVersion: for those who need not hold them all at once."""
        params = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        params |= {"fieldSelector": fields} if fields else {}
        while True:
            page = await self.request(
                "GET",
                resource.path(namespace),
                params=params,
                accept=METADATA_ACCEPT if metadata_only else "application/json",
            )
            yield page.get("items") or [], page["metadata"].get("resourceVersion", "")
            if not page["metadata"].get("continue"):
                return
            params["continue"] = page["metadata"]["continue"]

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> tuple[list[Object], str]:
        """All objects, page by page, and the resourceVersion to watch from. A kind that is not served has none."""
        items: list[Object] = []
        version = ""
        async for page, version in self.pages(  # noqa: B007 - the last version counts
            resource, namespace=namespace, labels=labels, fields=fields, metadata_only=metadata_only
        ):
            items += page
        return items, version

    async def apply(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        manager: str = FIELD_MANAGER,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply of one object; conflicts are taken over (`force`), since the fields are ours by design."""
        metadata = body["metadata"]
        params = {"fieldManager": manager, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        return await self.request(
            "PATCH",
            resource.path(metadata.get("namespace"), metadata["name"], subresource),
            params=params,
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def json_patch(
        self,
        resource: Resource,
        name: str,
        patch: Sequence[Mapping[str, Any]],
        namespace: str | None = None,
        *,
        manager: str = "",
    ) -> Object:
        """A JSON patch of one object; a patch that tests what it was made for may be repeated safely.

        manager: the field manager, where it is not to be the user agent.
        """
        return await self.request(
            "PATCH",
            resource.path(namespace, name),
            params={"fieldManager": manager} if manager else None,
            body=patch,
            content_type="application/json-patch+json",
        )

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> Object:
        """POST of a new object; not repeated, since it is not idempotent."""
        namespace = body["metadata"].get("namespace")
        return await self.request("POST", resource.path(namespace), body=body, attempts=1)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Delete one object. `uid` makes sure that it is the one that was looked at.

        propagation: `Background` takes what it owns with it, `Orphan` leaves it.

        Returns False when it is gone already, or when another object has taken its name.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self.request("DELETE", resource.path(namespace, name), body=body)
        except ApiError as error:
            if error.status == 404 or (uid and error.status == 409):
                return False
            raise
        return True

    async def watch(
        self,
        resource: Resource,
        version: str,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[WatchEvent]:
        """Events after `version`, until the server ends the watch (about every five minutes).

        Raises ApiError: 410 when the version is too old, others as they come; asyncio.TimeoutError never escapes, a
        silent connection is an ApiError of status 0.
        """
        params = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        params |= {"resourceVersion": version} if version else {}
        params |= {"labelSelector": labels} if labels else {}
        params |= {"fieldSelector": fields} if fields else {}
        accept = METADATA_WATCH_ACCEPT if metadata_only else "application/json"
        call = Call("GET", resource.path(namespace), params, accept=accept, seconds=WATCH_SECONDS + WATCH_GRACE_SECONDS)
        request = f"WATCH {resource.path(namespace)}"
        try:
            async with await self._send(call) as response:
                await raise_for_status(response, request)
                async for line in lines(response):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise error_from_status(event["object"], int(event["object"].get("code", 0)), request)
                    yield WatchEvent(event["type"], event["object"])
        except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
            raise ApiError(0, type(error).__name__, str(error) or "connection lost", request=request) from error

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
        attempts: int = ATTEMPTS,
        seconds: float = REQUEST_SECONDS,
    ) -> Object:
        """One request, repeated while it fails in passing; each try takes at most `seconds`. Raises ApiError."""
        call = Call(method, path, params, body, accept, content_type, seconds)
        if not call.may_change:
            return await self._tried(call, attempts)
        self._tell(path)
        try:
            return await self._tried(call, attempts)
        finally:
            self._tell(path)  # also of a write whose answer did not come

    def _tell(self, path: str) -> None:
        for told in self._told:
            told(path)

    async def _tried(self, call: Call, attempts: int) -> Object:
        for attempt in range(1, attempts + 1):
            try:
                async with await self._send(call) as response:
                    await raise_for_status(response, str(call))
                    return as_object(await response.json(content_type=None), call.path, str(call))
            except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
                failure = ApiError(0, type(error).__name__, str(error) or "no answer in time", request=str(call))
                failure.__cause__ = error
            except ApiError as error:
                failure = error
            if failure.transient and self.standing:
                self.standing.failed(str(failure))
            if not failure.transient or attempt == attempts:
                raise failure
            await asyncio.sleep(max(backoff(attempt), min(failure.retry_after, BACKOFF_CAP_SECONDS)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        """The response of one try; on a 401 the credentials are read anew, once."""
        if self._session is None:
            raise RuntimeError("KubeClient is used outside of its `async with`")
        data = wire_json(call.body) if call.body is not None else None
        refused = False
        while True:
            headers = {"Accept": call.accept} | ({"Content-Type": call.content_type} if data is not None else {})
            token = await self._token(call, refresh=refused)
            if token:
                headers["Authorization"] = f"Bearer {token}"
            call = call.within(self._fence) if self._fence else call
            begun, status = time.monotonic(), 0
            try:
                response = await self._session.request(
                    call.method,
                    self._credentials.server + call.path,
                    params=call.params,
                    data=data,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=call.seconds, sock_connect=REQUEST_SECONDS),
                )
            except BaseException:
                if self._fence and call.is_write:
                    self._fence.unanswered(call.seconds)
                raise
            else:
                status = response.status
            finally:
                self._observe(call.verb, status, time.monotonic() - begun)
            if self.standing and status not in FAILING:
                self.standing.answered(str(call), time.monotonic() - begun, response.headers.get("Date", ""))
            if response.status != 401 or refused:
                return response
            response.release()
            refused = True

    async def _token(self, call: Call, *, refresh: bool) -> str | None:
        if self._credentials.token_is_fresh and not refresh:
            return self._credentials.token()
        try:
            return await asyncio.to_thread(self._credentials.token, refresh=refresh)
        except (OSError, CredentialsError) as error:
            raise ApiError(401, "NoToken", f"no token can be had: {error}", request=str(call)) from error


def _unobserved(method: str, status: int, seconds: float) -> None:
    """Nobody wants to know."""
