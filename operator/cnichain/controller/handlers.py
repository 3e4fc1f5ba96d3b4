"""Kopf's part: it watches CNIChains, holds the finalizer, and starts and stops the loop. Nothing else is done here.

One daemon per CNIChain and no other handler that acts: a create or update handler would block its object's queue for as
long as it runs, and would store its progress in annotations and status (measured: docs/architecture.md).
"""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any, Self

import kopf

from cnichain.api.names import FINALIZER, GROUP, PLURAL_CHAINS, VERSION
from cnichain.api.reasons import Reason
from cnichain.controller.keeper import Keeper, Wakeups
from cnichain.kube.client import backoff
from cnichain.kube.credentials import Credentials
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.events import Recorder


class Context:
    """What handlers need; Kopf hands it to them as `memo`."""

    def __init__(self, keeper: Keeper, wakeups: Wakeups, cluster: Cluster, recorder: Recorder) -> None:
        self.keeper = keeper
        self.wakeups = wakeups
        self.cluster = cluster
        self.recorder = recorder
        self.seen: dict[str, object] = {}

    def __copy__(self) -> Self:
        # Kopf copies the memo for each object; there is one context for all of them.
        return self


def build_registry(credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await asyncio.to_thread(_connection, credentials)

    @kopf.on.probe(registry=registry, id="loop", errors=kopf.ErrorsMode.PERMANENT)
    async def loop_is_alive(memo: Context, **_: Any) -> str:
        if memo.keeper.stuck:
            raise kopf.PermanentError("a pass has been running for longer than any pass can")
        if broken := memo.cluster.broken():
            raise kopf.PermanentError(f"the watch of {broken} has ended")
        return "ok"

    @kopf.on.cleanup(registry=registry)
    async def stop_watches(memo: Context, **_: Any) -> None:
        # Kopf would wait five seconds for tasks that are younger than itself, and then cancel them.
        await memo.cluster.stop()

    @kopf.on.event(GROUP, VERSION, PLURAL_CHAINS, registry=registry)
    async def wake(body: kopf.Body, memo: Context, **_: Any) -> None:
        metadata = body["metadata"]
        now = (metadata.get("generation"), dict(metadata.get("annotations") or {}), metadata.get("deletionTimestamp"))
        if memo.seen.get(metadata["uid"]) != now:
            memo.seen[metadata["uid"]] = now
            memo.wakeups.spec_changed(metadata["name"])

    @kopf.daemon(GROUP, VERSION, PLURAL_CHAINS, registry=registry, cancellation_polling=1.0)
    async def keep(name: str, uid: str, body: kopf.Body, stopped: kopf.DaemonStopped, memo: Context, **_: Any) -> None:
        await memo.keeper.keep(name, stopped)
        deleted = stopped.reason is not None and kopf.DaemonStoppingReason.RESOURCE_DELETED in stopped.reason
        if deleted and body.get("status", {}).get("inventory", {}).get("objects"):
            said = "Deleted with deletionPolicy Retain: Cilium, Hubble and the chain on every node keep running."
            await memo.recorder.event(name, uid, Reason.RETAINED, said)

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Kopf under our own names, writing nothing but the finalizer, and not giving up on an API server that is away."""
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.posting.enabled = False
    settings.networking.error_backoffs = _Backoffs()
    return settings


class _Backoffs:
    """Pauses between Kopf's own requests: for ever, capped and jittered. Kopf ends the process when they run out."""

    def __iter__(self) -> Iterator[float]:
        attempt = 0
        while True:
            attempt += 1
            yield backoff(attempt, base=0.5, cap=30.0)


def _connection(credentials: Credentials) -> kopf.ConnectionInfo:
    def encoded(pem: bytes | None) -> str | None:
        return base64.b64encode(pem).decode() if pem else None

    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_data=encoded(credentials.ca_pem),
        token=credentials.token(refresh=True),
        certificate_data=encoded(credentials.client_cert_pem),
        private_key_data=encoded(credentials.client_key_pem),
    )
