"""Which pods of some nodes got no sandbox since a time: read from kubelet's Events."""

import logging
from collections.abc import Mapping
from datetime import datetime

from cnichain.kube.client import PAGE, KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import EVENTS
from cnichain.rollout.sandboxes import REASONS, SandboxEvent, SandboxFailures, is_newer, sandbox_event, tally

logger = logging.getLogger(__name__)

PAGES = 100
"""Of PAGE events each. More of this one kind within an hour, which is how long events live, are not looked through."""


async def sandbox_failures(client: KubeClient, since: Mapping[str, datetime]) -> dict[str, SandboxFailures]:
    """The pods of each node in `since` whose sandbox failed after its time (with a zone), worst first.

    Raises ChainError when events cannot be listed.
    """
    if not since:
        return {}
    events: list[SandboxEvent] = []
    for reason in REASONS:  # a field selector knows no "or"
        try:
            events += await _newer(client, reason, since)
        except ApiError as error:
            raise error.as_chain_error(f"list events with the reason {reason}") from error
    return tally(events, since)


async def _newer(client: KubeClient, reason: str, since: Mapping[str, datetime]) -> list[SandboxEvent]:
    """The events that count, picked by the API server in all namespaces, page by page: what is older is not kept."""
    found: list[SandboxEvent] = []
    params = {"fieldSelector": f"reason={reason},involvedObject.kind=Pod", "limit": str(PAGE)}
    for _ in range(PAGES):
        page = await client.request("GET", EVENTS.path(), params=params)
        events = (sandbox_event(item) for item in page.get("items") or [])
        found += [event for event in events if event is not None and is_newer(event, since)]
        if not page["metadata"].get("continue"):
            return found
        params["continue"] = page["metadata"]["continue"]
    logger.warning("more than %d events with the reason %s: the rest is left out", PAGES * PAGE, reason)
    return found
