"""Leader election by a Lease: of several operators one holds it, and only that one writes.

Own code: Kopf's peering pauses every instance on equal priority and has no lock, and the general client's election lets
the work go on when its own request fails. As in client-go, no clock of another machine counts: a lease is over when the
record has not changed for its duration by our own clock. Every write of the record carries the resourceVersion that was
read, so of two that try at once one fails.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from cnichain.api.names import LEASE_NAME
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.fence import Fence, Timing
from cnichain.kube.resources import LEASES

logger = logging.getLogger(__name__)


class Store(Protocol):
    """Where the record is. Each call takes at most `seconds` and raises ApiError, status 0 when there is no answer."""

    async def get(self, seconds: float) -> Object | None:
        """The Lease, None when there is none."""

    async def create(self, body: Object, seconds: float) -> Object:
        """Make it; 409 when somebody else has."""

    async def replace(self, body: Object, seconds: float) -> Object:
        """Replace the version that the body names; 409 when it is not the newest."""


@dataclass(frozen=True)
class LeaseStore:
    """The Lease in the cluster."""

    client: KubeClient
    namespace: str

    async def get(self, seconds: float) -> Object | None:
        """See Store."""
        try:
            return await self._request("GET", None, seconds)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, body: Object, seconds: float) -> Object:
        """See Store."""
        metadata = {**body["metadata"], "namespace": self.namespace}
        return await self._request("POST", {**body, "metadata": metadata}, seconds)

    async def replace(self, body: Object, seconds: float) -> Object:
        """See Store."""
        return await self._request("PUT", body, seconds)

    async def _request(self, method: str, body: Object | None, seconds: float) -> Object:
        path = LEASES.path(self.namespace, None if method == "POST" else LEASE_NAME)
        try:
            # Around the request's own limit: a credential plugin is not covered by that.
            async with asyncio.timeout(seconds):
                return await self.client.request(method, path, body=body, attempts=1, seconds=seconds)
        except TimeoutError as error:
            raise ApiError(0, "TimeoutError", "no answer in time", request=f"{method} {path}") from error


def holder_of(lease: Object) -> str:
    """Who holds a Lease; empty when nobody does."""
    return str(lease.get("spec", {}).get("holderIdentity") or "")


@dataclass
class Candidate:
    """The decisions of one that wants the lease, without I/O: when it may be taken, and what is written then."""

    identity: str
    """Of this process alone: another start on the same machine has another."""
    timing: Timing
    _seen: tuple[str, str] | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)

    def bid(self, found: Object | None, now: float) -> Object | None:
        """The record to write, None while the lease is another's. found: as read just now. now: by our own clock.

        A record that was there and is deleted counts as a change: whoever held it may not know yet.
        """
        if found is None and self._seen is None:
            return self._new()
        version = (found["metadata"]["uid"], found["metadata"]["resourceVersion"]) if found else ("", "")
        if version != self._seen:
            self._seen, self._since = version, now
        # Its own identity: a write of this process, whose answer was lost.
        is_free = found is not None and holder_of(found) in {"", self.identity}
        duration = float((found or {}).get("spec", {}).get("leaseDurationSeconds") or 0)
        if not is_free and now - self._since < max(duration, self.timing.lease):
            return None
        return self.record(found) if found is not None else self._new()

    def record(self, found: Object) -> Object:
        """The same Lease, held by us: taken over, or renewed."""
        spec = dict(found.get("spec") or {})
        if holder_of(found) != self.identity:
            spec |= {"acquireTime": _now(), "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self.timing.lease),
            "renewTime": _now(),
        }
        return {**found, "spec": spec}

    def _new(self) -> Object:
        metadata = {"name": LEASE_NAME}
        return self.record({"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata})


class Elector:
    """Acquires the lease, keeps it and releases it.

    outside: the record for one that does not hold it. inside: the same through the fence, so that a holder that was
    stopped sends no renewal either. fence: opened by each renewal that was accepted.
    """

    def __init__(
        self,
        identity: str,
        *,
        outside: Store,
        inside: Store,
        fence: Fence,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.holder = ""
        """Who held the lease at the last look."""
        self._outside = outside
        self._inside = inside
        self._fence = fence
        self._sleep = sleep
        self._candidate = Candidate(identity, fence.timing)
        self._held: Object | None = None
        self._looked = float("-inf")
        self._turn = asyncio.Lock()
        self._released = False

    @property
    def in_touch(self) -> bool:
        """True when the record was read or written within the last lease duration."""
        return self._fence.clock() - self._looked < self._fence.timing.lease

    async def acquire(self) -> None:
        """Wait until the lease is ours. Goes on for ever; what stands in the way is logged when it is new."""
        told = ""
        while True:
            try:
                if await self._try_to_take():
                    logger.info("%s holds the lease: it leads.", self._candidate.identity)
                    return
                words = f"{self._candidate.identity} stands by: the lease is held by {self.holder or 'nobody'}."
            except ApiError as error:
                words = str(error.as_chain_error("acquire the lease"))
            if words != told:
                logger.info("%s", words)
                told = words
            await self._sleep(self._pause())

    async def keep(self) -> None:
        """Renew until it is released. Ends the process when it is another's, or could not be renewed in time."""
        try:
            while True:
                await self._sleep(min(self._pause(), self._fence.left))
                async with self._turn:
                    if self._released:
                        return
                    await self._renew()
        except Exception as error:
            # Whatever it is: without this task the lease ends, and the work must not go on.
            logger.exception("renewing the lease failed in an unforeseen way")
            self._fence.lost(f"the lease cannot be renewed: {type(error).__name__}: {error}.")

    async def release(self) -> None:
        """Give the lease away, so that another need not wait for its end. Call it when all work has ended.

        A write whose outcome is unknown forbids it: the lease then ends by itself, after that write.
        """
        async with self._turn:  # a renewal under way is waited for, since it may change the version
            self._released = True
            self._fence.close()
            if not self._fence.settled:
                logger.info("a write had no answer: the lease is left to end by itself.")
                return
            seconds = self._fence.timing.retry
            try:
                held = self._held or await self._outside.get(seconds)
                if held is None or holder_of(held) != self._candidate.identity:
                    return
                spec = held["spec"] | {"holderIdentity": "", "renewTime": _now()}
                await self._outside.replace({**held, "spec": spec}, seconds)
            except ApiError as error:
                logger.warning("the lease was not released and ends by itself: %s", error)
                return
            logger.info("the lease is released.")

    async def _try_to_take(self) -> bool:
        found = await self._outside.get(self._fence.timing.renew / 2)
        now = self._fence.clock()
        self._looked, self.holder = now, holder_of(found) if found else ""
        body = self._candidate.bid(found, now)
        if body is None:
            return False
        write = self._outside.replace if found is not None else self._outside.create
        # Before it is sent: the others count from when they see it, which is later.
        sent = self._fence.clock()
        try:
            self._held = await write(body, self._fence.timing.renew / 2)
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        self._fence.renewed(sent)
        self.holder = self._candidate.identity
        return True

    async def _renew(self) -> None:
        left = self._fence.left
        if not left:
            self._fence.lost(f"the lease could not be renewed for {self._fence.timing.renew:g} s.")
        seconds = min(left, self._fence.timing.renew / 2)
        held, self._held = self._held, None  # until the answer is there, nobody knows which version is the newest
        sent = self._fence.clock()
        try:
            if held is None:
                held = await self._inside.get(seconds)
                if held is None or holder_of(held) != self._candidate.identity:
                    self._fence.lost(
                        f"the lease is held by {holder_of(held) or 'nobody' if held else 'nobody: it was deleted'}."
                    )
                sent = self._fence.clock()
            self._held = await self._inside.replace(self._candidate.record(held), seconds)
        except ApiError as error:
            if self._fence.left:
                words = error.as_chain_error("renew the lease")
                logger.warning("%s (%.1f s are left)", words, self._fence.left)
            return
        self._fence.renewed(sent)
        self._looked = self._fence.clock()

    def _pause(self) -> float:
        return self._fence.timing.retry * random.uniform(1.0, 1.2)  # noqa: S311 - spreads the load, not a secret


def _now() -> str:
    """Now, as a MicroTime: for people alone, nothing is decided by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
