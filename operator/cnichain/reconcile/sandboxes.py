"""Which pods of some nodes got no sandbox since a time: read from kubelet's Events."""

import logging
from collections.abc import Mapping
from datetime import datetime

from cnichain.kube.client import PAGE, KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import EVENTS
from cnichain.rollout.sandboxes import REASON, SandboxEvent, SandboxFailures, is_newer, sandbox_event, tally

logger = logging.getLogger(__name__)

SELECTOR = f"reason={REASON},involvedObject.kind=Pod"
"""The API server sends these events alone, in all namespaces."""
PAGES = 20
"""Of PAGE events each. More of this one kind within an hour, which is how long events live, are not looked through."""


async def sandbox_failures(client: KubeClient, since: Mapping[str, datetime]) -> dict[str, SandboxFailures]:
    """The pods of each node in `since` whose sandbox failed after its time (with a zone), worst first.

    Raises ChainError when events cannot be listed.
    """
    if not since:
        return {}
    try:
        events = await _newer(client, since)
    except ApiError as error:
        raise error.as_chain_error(f"list events with the reason {REASON}") from error
    return tally(events, since)


async def _newer(client: KubeClient, since: Mapping[str, datetime]) -> list[SandboxEvent]:
    """The events that count, page by page: of what is not newer nothing is kept."""
    found: list[SandboxEvent] = []
    params = {"fieldSelector": SELECTOR, "limit": str(PAGE)}
    for _ in range(PAGES):
        page = await client.request("GET", EVENTS.path(), params=params)
        events = (sandbox_event(item) for item in page.get("items") or [])
        found += [event for event in events if event is not None and is_newer(event, since)]
        if not page["metadata"].get("continue"):
            return found
        params["continue"] = page["metadata"]["continue"]
    logger.warning("more than %d events with the reason %s: the rest is left out", PAGES * PAGE, REASON)
    return found
