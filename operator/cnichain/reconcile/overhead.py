"""What the chain costs, for status: measured in a pass that is made anyway, seldom, and written only when it matters.

A pass comes every ten minutes at least, and a measurement is made in the first one that is ten minutes after the last.
CPU goes up and down all day: status has the average of the newest measurements.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence

from cnichain.api.overheadstatus import OverheadStatus
from cnichain.api.times import utc_now
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import POD_METRICS
from cnichain.plan.coverage import Key
from cnichain.plan.overhead import (
    CALICO_NAMESPACES,
    NAMESPACES,
    PodUsage,
    averaged,
    is_notable,
    overhead,
    pod_usage,
    starts,
    with_memory,
)
from cnichain.reconcile.coverage import CoverageKeeper
from cnichain.reconcile.describe import Pass

logger = logging.getLogger(__name__)

EARLY = 0.95
"""Of the interval: a resync comes with some jitter, and is not to be missed by a second."""
SECONDS = 5.0
"""For an answer of the metrics API; a pass waits for it."""
AVERAGED = 6
"""Measurements that are averaged: about the last hour's."""


class OverheadKeeper:
    """Measures for the one CNIChain that is acted on. Remembers the newest measurements in memory alone."""

    def __init__(self, client: KubeClient, coverage: CoverageKeeper, seconds: float) -> None:
        """seconds: between two measurements."""
        self._client = client
        self._coverage = coverage
        self._between = seconds * EARLY
        self._measured: float | None = None
        self._newest: deque[OverheadStatus] = deque(maxlen=AVERAGED)
        self._said = ""

    async def measure(self, this: Pass) -> None:
        """Measure when it is time, and keep in status what is worth it. What cannot be read holds up nothing."""
        now = time.monotonic()
        if self._measured is not None and now - self._measured < self._between:
            return
        view = await self._coverage.view()
        if view is None:
            return  # pods are not counted yet: the next pass comes when they are
        self._measured = now
        usage = await self._usage(with_calico=bool(this.report.calico))
        # On copies, in a thread, as the count of pods is made.
        records, endpoints = dict(view.pods), dict(view.endpoints)
        pods = await asyncio.to_thread(starts, records, endpoints, view.nodes)
        node_of: dict[Key, str] = {key: pod.node for key, pod in records.items()}
        found = overhead(usage, node_of, pods, utc_now())
        if found.cpu_millicores is not None:
            self._newest.append(found)
            found = averaged(self._newest)
        found = with_memory(found, this.status.overhead)
        if is_notable(this.status.overhead, found):
            this.update(overhead=found)

    async def _usage(self, *, with_calico: bool) -> list[PodUsage] | None:
        """What the parts use now; None where the metrics API does not answer."""
        namespaces = (*NAMESPACES, *CALICO_NAMESPACES) if with_calico else NAMESPACES
        try:
            found = await asyncio.gather(*(read_usage(self._client, namespace) for namespace in namespaces))
        except ApiError as error:
            self._say(f"usage is not measured: {error}")
            return None
        except (KeyError, ValueError) as error:
            self._say(f"usage is not measured: the metrics API answers what cannot be read: {error!r}")
            return None
        self._say("usage is measured")
        return [pod for pods in found for pod in pods]

    def _say(self, words: str) -> None:
        """Log what has changed, once."""
        if words != self._said:
            self._said = words
            logger.info("overhead: %s", words)


async def read_usage(client: KubeClient, namespace: str) -> Sequence[PodUsage]:
    """What pods of the chain use in a namespace. One try: it is seldom urgent, and metrics-server may be away for long.

    Raises ApiError, and KeyError or ValueError for an answer that is no list of PodMetrics.
    """
    answer = await client.request("GET", POD_METRICS.path(namespace), attempts=1, seconds=SECONDS)
    found: Iterable[PodUsage | None] = map(pod_usage, answer.get("items") or ())
    return [pod for pod in found if pod is not None]
