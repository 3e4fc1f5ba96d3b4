"""Which pods of some nodes got no sandbox since a time: from kubelet's Events, which are watched meanwhile.

They are not listed at each look: the API server keeps no cache of events, so that a list with a field selector reads
all events of the cluster from etcd. With 5,000 nodes that took it two to nine seconds each time.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime

from cnichain.kube.client import KubeClient
from cnichain.kube.reflector import Reflector
from cnichain.kube.resources import EVENTS
from cnichain.reconcile.cluster import Cluster
from cnichain.rollout.sandboxes import REASONS, SandboxEvent, SandboxFailures, sandbox_event, tally

FIRST_LIST_SECONDS = 20.0
"""A pass waits for the first list at most so long, once."""


class SandboxWatch:
    """Watches from the first question on until `end`."""

    def __init__(self, client: KubeClient, cluster: Cluster) -> None:
        self._client = client
        self._cluster = cluster
        self._watches: dict[str, Reflector[SandboxEvent | None]] = {}

    async def failures(self, since: Mapping[str, datetime]) -> dict[str, SandboxFailures] | None:
        """The pods of each node in `since` whose sandbox failed after its time (with a zone), worst first.

        None while the events cannot be listed; the log of the operator says why.
        """
        if not since:
            return {}
        if not self._watches:
            await self._begin()
        if not all(watch.synced.is_set() for watch in self._watches.values()):
            return None
        events = [event for watch in self._watches.values() for event in watch.records.values()]
        return tally((event for event in events if event is not None), since)

    async def end(self) -> None:
        """Nobody asks any more: watch no longer, and keep nothing."""
        for key in self._watches:
            await self._cluster.end(key)
        self._watches = {}

    async def _begin(self) -> None:
        for reason in REASONS:  # a field selector knows no "or"
            fields = f"reason={reason},involvedObject.kind=Pod"
            watch = Reflector(self._client, EVENTS, sandbox_event, fields=fields)
            self._watches[f"events with the reason {reason}"] = watch
        for key, watch in self._watches.items():
            self._cluster.run(key, watch.run())
        with contextlib.suppress(TimeoutError):  # `failures` says that they have not come
            async with asyncio.timeout(FIRST_LIST_SECONDS):
                for watch in self._watches.values():
                    await watch.synced.wait()
