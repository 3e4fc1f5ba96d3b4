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


class Keeper:
    """Keeps one CNIChain as its spec asks for, until told to stop.

    changed: set by the watches when something in the cluster is different; after a failure it waits for the backoff.
    """

    def __init__(self, reconciler: Reconciler, changed: asyncio.Event, resync_seconds: float) -> None:
        self._reconciler = reconciler
        self._resync_seconds = resync_seconds
        self._changed = changed
        self._spec_changed = asyncio.Event()
        self._busy_since: float | None = None

    def wake_at_once(self) -> None:
        """Look again now, backoff or not: the CNIChain itself has changed, perhaps to correct what failed."""
        self._spec_changed.set()

    @property
    def stuck(self) -> bool:
        """True when a pass has been running for longer than any pass can."""
        return self._busy_since is not None and time.monotonic() - self._busy_since > STUCK_SECONDS

    async def keep(self, name: str, stopped: Stopped) -> None:
        """Pass after pass. Ends only when it is told to: a task that ended by itself would never come back."""
        failures = 0
        while not stopped:
            self._changed.clear()
            self._spec_changed.clear()
            outcome = await self._pass(name)
            failures = failures + 1 if outcome.failed else 0
            if outcome.failed:
                # Not at each change in the cluster: what failed would be hammered by its own side effects.
                pause = outcome.again or backoff(failures, base=1.0, cap=FAILURE_CAP_SECONDS)
                await _first(pause, stopped.wait(), self._spec_changed.wait())
                continue
            await _first(BETWEEN_PASSES_SECONDS, stopped.wait(), self._spec_changed.wait())
            jitter = random.uniform(0.9, 1.1)  # noqa: S311 - spreads the load of many operators, not a secret
            pause = outcome.again or self._resync_seconds * jitter
            await _first(pause, stopped.wait(), self._spec_changed.wait(), self._changed.wait())

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
