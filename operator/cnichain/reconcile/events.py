"""Kubernetes events about a CNIChain: only on transitions, never with a secret, and never in the way of the work."""

import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass, field

from cnichain.api.names import API_VERSION, KIND_CHAIN
from cnichain.api.reasons import REASONS, Reason
from cnichain.api.times import utc_now
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import EVENTS

logger = logging.getLogger(__name__)

EVENT_NAMESPACE = "default"
"""Events of cluster-scoped objects go here, as client-go's recorder does."""
MESSAGE_LIMIT = 1000
"""The API server refuses an event with a longer message (1,024)."""


REPEATED_SECONDS = 600.0
"""An event that comes again within this time is counted on the one that is there."""
COUNT_SECONDS = 60.0
"""The count is brought up to date this often at most."""
REMEMBERED = 64


@dataclass
class _Posted:
    """An event that was posted. count: how often it happened. first, told: when it was posted and last counted."""

    name: str
    first: float
    told: float
    count: int = 1


@dataclass
class Recorder:
    """Posts events about CNIChains. What repeats itself raises a count, at most once a minute."""

    client: KubeClient
    instance: str
    _posted: OrderedDict[tuple[str, str, str], _Posted] = field(default_factory=OrderedDict)

    async def about(self, reference: Object, reason: Reason, message: str) -> None:
        """Post one event about any namespaced object, in its namespace. Each is posted, so the caller sees to it that
        they are few; a failure is logged and goes no further."""
        name = f"{reference['name']}.{uuid.uuid4().hex[:16]}"
        await self._send(self.client.create(EVENTS, self._body(name, reference, reason, message, utc_now())))

    async def event(self, name: str, uid: str, reason: Reason, message: str) -> None:
        """Post one event. A failure is logged and goes no further: an event is news, the condition is the truth."""
        now, clock = utc_now(), time.monotonic()
        warning = REASONS[reason].warning
        logger.log(logging.WARNING if warning else logging.INFO, "%s: %s", reason.value, message)
        key = (uid, reason.value, message)
        posted = self._posted.get(key)
        if posted is not None and clock - posted.first < REPEATED_SECONDS:
            posted.count += 1
            if clock - posted.told >= COUNT_SECONDS:
                posted.told = clock
                await self._send(self._count(posted.name, posted.count, now))
            return
        event_name = f"{name}.{uuid.uuid4().hex[:16]}"
        self._posted[key] = _Posted(event_name, clock, clock)
        while len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)
        reference: Object = {"apiVersion": API_VERSION, "kind": KIND_CHAIN, "name": name, "uid": uid}
        await self._send(self.client.create(EVENTS, self._body(event_name, reference, reason, message, now)))

    def _body(self, name: str, reference: Object, reason: Reason, message: str, now: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": reference.get("namespace", EVENT_NAMESPACE)},
            "involvedObject": reference,
            "type": "Warning" if REASONS[reason].warning else "Normal",
            "reason": reason.value,
            "message": message[:MESSAGE_LIMIT],
            "source": {"component": "cnichain-operator"},
            "reportingComponent": "cnichain-operator",
            "reportingInstance": self.instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    async def _count(self, event_name: str, count: int, now: str) -> None:
        patch: list[dict[str, object]] = [
            {"op": "replace", "path": "/count", "value": count},
            {"op": "replace", "path": "/lastTimestamp", "value": now},
        ]
        await self.client.json_patch(EVENTS, event_name, patch, EVENT_NAMESPACE)

    @staticmethod
    async def _send(request: Awaitable[object]) -> None:
        try:
            await request
        except ApiError as error:
            logger.warning("an event was not posted: %s", error)
