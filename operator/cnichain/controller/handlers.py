"""Kopf's part: it watches CNIChains and wakes their loops. Nothing else is done here.

No handler that acts, and no daemon: a create or update handler would block its object's queue for as long as it runs,
and would store its progress in annotations and status; and Kopf starts no daemon for an object that is being deleted
when the operator starts, but takes its finalizer off (both measured: docs/architecture.md).
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Self

import kopf

from cnichain.api.names import GROUP, PLURAL_CHAINS, VERSION
from cnichain.controller.keeper import Keeper
from cnichain.controller.login import Login
from cnichain.kube.call import REQUEST_SECONDS
from cnichain.kube.client import WATCH_GRACE_SECONDS, WATCH_SECONDS, backoff
from cnichain.kube.credentials import Credentials
from cnichain.reconcile.cluster import Cluster

RECONNECT_SECONDS = 1.0


class Context:
    """What handlers need; Kopf hands it to them as `memo`. stop: the flag that Kopf was given as well."""

    def __init__(self, keeper: Keeper, cluster: Cluster, stop: asyncio.Event) -> None:
        self.keeper = keeper
        self.cluster = cluster
        self.stop = stop
        self.seen: dict[str, object] = {}

    def __copy__(self) -> Self:
        # Kopf copies the memo for each object; there is one context for all of them.
        return self


def build_registry(credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()
    again = Login(credentials)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await again.connection()

    @kopf.on.cleanup(registry=registry)
    async def stop(memo: Context, **_: Any) -> None:
        # Kopf would wait five seconds for tasks that are younger than itself, and then cancel them. One of them is its
        # own, which waits for the flag: a signal that Kopf has caught does not set it.
        memo.stop.set()
        await memo.keeper.stop()
        await memo.cluster.stop()

    @kopf.on.event(GROUP, VERSION, PLURAL_CHAINS, registry=registry)
    async def wake(body: kopf.Body, memo: Context, **event: Any) -> None:
        metadata = body["metadata"]
        if event["type"] == "DELETED":
            memo.seen.pop(metadata["uid"], None)
            memo.keeper.wake(metadata["name"])
            return
        now = (metadata.get("generation"), dict(metadata.get("annotations") or {}), metadata.get("deletionTimestamp"))
        if memo.seen.get(metadata["uid"]) != now:
            memo.seen[metadata["uid"]] = now
            memo.keeper.wake(metadata["name"])

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Kopf under our own names, writing nothing, and not giving up on an API server that is away."""
    settings = kopf.OperatorSettings()
    # Never ours: Kopf takes its own finalizer off every object that no handler of its needs it for.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.posting.enabled = False
    settings.networking.error_backoffs = _Backoffs()
    # Kopf's own have no end: a connection that was cut without a word would be listened to for ever.
    settings.networking.request_timeout = settings.networking.connect_timeout = REQUEST_SECONDS
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + WATCH_GRACE_SECONDS
    # It begins anew after each 410, and would ask ten times a second where that is all it gets.
    settings.watching.reconnect_backoff = RECONNECT_SECONDS
    return settings


class _Backoffs:
    """Pauses between Kopf's own requests: for ever, capped and jittered. Kopf ends the process when they run out."""

    def __iter__(self) -> Iterator[float]:
        attempt = 0
        while True:
            attempt += 1
            yield backoff(attempt, base=0.5, cap=30.0)
