"""The loop around the passes: one task per CNIChain, woken by watches, bounded by a resync, backed off on failure."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable
from typing import Protocol

from cnichain.kube.client import backoff
from cnichain.kube.errors import ApiError
from cnichain.reconcile.loop import Outcome, Reconciler

logger = logging.getLogger(__name__)

BETWEEN_PASSES_SECONDS = 0.5
"""The first wake-up is acted on at once; those that follow within this time are taken together."""
FAILURE_CAP_SECONDS = 60.0
STUCK_SECONDS = 600.0
"""A pass that takes longer than this is stuck: every request in it has a timeout of its own."""


class Stopped(Protocol):
    """Kopf's flag that tells a daemon to end."""

    def __bool__(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> Awaitable[object]:
        """Wait until the flag is set, or the timeout is over."""
        ...


class Wakeups:
    """What wakes the loops: one pair of events for each CNIChain, so that no loop takes another's wake-up away."""

    def __init__(self) -> None:
        self._cluster: dict[str, asyncio.Event] = {}
        self._spec: dict[str, asyncio.Event] = {}

    def of(self, name: str) -> tuple[asyncio.Event, asyncio.Event]:
        """(something in the cluster has changed, the CNIChain itself has changed) for the loop of one CNIChain."""
        return self._cluster.setdefault(name, asyncio.Event()), self._spec.setdefault(name, asyncio.Event())

    def cluster_changed(self) -> None:
        """Wake all loops. A loop that has just failed finishes its backoff first."""
        for event in self._cluster.values():
            event.set()

    def spec_changed(self, name: str) -> None:
        """Wake one loop at once, backoff or not: the change may correct what failed."""
        self.of(name)[1].set()


class Keeper:
    """Keeps CNIChains as their specs ask for, each until told to stop."""

    def __init__(self, reconciler: Reconciler, wakeups: Wakeups, resync_seconds: float) -> None:
        self._reconciler = reconciler
        self._resync_seconds = resync_seconds
        self._wakeups = wakeups
        self._busy_since: float | None = None

    @property
    def stuck(self) -> bool:
        """True when a pass has been running for longer than any pass can."""
        return self._busy_since is not None and time.monotonic() - self._busy_since > STUCK_SECONDS

    async def keep(self, name: str, stopped: Stopped) -> None:
        """Pass after pass. Ends only when it is told to: a task that ended by itself would never come back."""
        changed, spec_changed = self._wakeups.of(name)
        failures = 0
        while not stopped:
            changed.clear()
            spec_changed.clear()
            outcome = await self._pass(name)
            failures = failures + 1 if outcome.failed else 0
            if outcome.failed:
                # Not at each change in the cluster: what failed would be hammered by its own side effects.
                pause = outcome.again or backoff(failures, base=1.0, cap=FAILURE_CAP_SECONDS)
                await _first(pause, stopped.wait(), spec_changed.wait())
                continue
            await _first(BETWEEN_PASSES_SECONDS, stopped.wait(), spec_changed.wait())
            jitter = random.uniform(0.9, 1.1)  # noqa: S311 - spreads the load of many operators, not a secret
            pause = outcome.again or self._resync_seconds * jitter
            await _first(pause, stopped.wait(), spec_changed.wait(), changed.wait())

    async def _pass(self, name: str) -> Outcome:
        self._busy_since = time.monotonic()
        try:
            return await self._reconciler.run(name)
        except ApiError as error:
            logger.warning("the API server cannot take the status of CNIChain %s: %s", name, error)
            return Outcome(ready=False, failed=True)
        finally:
            self._busy_since = None


async def _first(seconds: float, *waits: Awaitable[object]) -> None:
    """Until the first of the waits is over, or the time is."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
