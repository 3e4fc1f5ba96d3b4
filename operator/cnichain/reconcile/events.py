"""Kubernetes events about a CNIChain: only on transitions, never with a secret, and never in the way of the work."""

import logging
import uuid
from dataclasses import dataclass

from cnichain.api.names import API_VERSION, KIND_CHAIN
from cnichain.api.reasons import REASONS, Reason
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import EVENTS
from cnichain.reconcile.statuswriter import utc_now

logger = logging.getLogger(__name__)

EVENT_NAMESPACE = "default"
"""Events of cluster-scoped objects go here, as client-go's recorder does."""
MESSAGE_LIMIT = 1000
"""The API server refuses an event with a longer message (1,024)."""


@dataclass(frozen=True)
class Recorder:
    """Posts events about one CNIChain."""

    client: KubeClient
    instance: str

    async def event(self, name: str, uid: str, reason: Reason, message: str) -> None:
        """Post one event. A failure is logged and goes no further: an event is news, the condition is the truth."""
        now = utc_now()
        warning = REASONS[reason].warning
        logger.log(logging.WARNING if warning else logging.INFO, "%s: %s", reason.value, message)
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{uuid.uuid4().hex[:16]}", "namespace": EVENT_NAMESPACE},
            "involvedObject": {"apiVersion": API_VERSION, "kind": KIND_CHAIN, "name": name, "uid": uid},
            "type": "Warning" if warning else "Normal",
            "reason": reason.value,
            "message": message[:MESSAGE_LIMIT],
            "source": {"component": "cnichain-operator"},
            "reportingComponent": "cnichain-operator",
            "reportingInstance": self.instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self.client.create(EVENTS, body)
        except ApiError as error:
            logger.warning("event %s was not posted: %s", reason.value, error)
