"""The loop around the passes: one task per CNIChain, woken by watches, bounded by a resync, backed off on failure."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable

from cnichain.kube.client import backoff
from cnichain.kube.errors import ApiError
from cnichain.reconcile.loop import Reconciler
from cnichain.reconcile.outcome import Outcome

logger = logging.getLogger(__name__)

BETWEEN_PASSES_SECONDS = 0.5
"""The first wake-up is acted on at once; those that follow are taken together for at most this time."""
CALM_SECONDS = 0.05
"""As soon as nothing has come for so long, the next pass begins: what a pass itself has set going (its own writes, the
controllers' answers to them) is over, and nobody waits for the rest of the time above."""
REST = 19.0
"""Between two passes, so many times the CPU time that the last one took, so that they take a twentieth of a core at
most. With thousands of nodes, each of which reports while a change goes over them, the operator would else look at all
of them for each few reports."""
MOST_BETWEEN_PASSES_SECONDS = 5.0
CHEAP_SECONDS = 0.25
"""CPU time of a pass that may be followed early, as soon as the cluster is calm."""
EARLY_PASSES = 8
EARLY_AGAIN_SECONDS = 2.0
"""So many may be followed early in a row, as a small installation needs; one more every two seconds. Where changes go
on and on, passes are half a second apart."""
FAILURE_CAP_SECONDS = 60.0
STOP_SECONDS = 5.0
"""For a pass under way when the operator is told to stop. One that takes longer is cut off, as it may be anywhere: a
chart that cannot be fetched is tried for half a minute."""
STUCK_SECONDS = 600.0
"""A pass that takes longer than this is stuck: every request in it has a timeout of its own."""


class Allowance:
    """How many passes may still begin early."""

    def __init__(self, now: float) -> None:
        self._left, self._at = float(EARLY_PASSES), now

    def take(self, now: float) -> bool:
        """Whether the next one may, which is then counted. now: monotonic seconds."""
        self._left = min(EARLY_PASSES, self._left + (now - self._at) / EARLY_AGAIN_SECONDS)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Wakeups:
    """What wakes the loops: one pair of events for each CNIChain, so that no loop takes another's wake-up away."""

    def __init__(self) -> None:
        self._cluster: dict[str, asyncio.Event] = {}
        self._spec: dict[str, asyncio.Event] = {}

    def of(self, name: str) -> tuple[asyncio.Event, asyncio.Event]:
        """(something in the cluster has changed, the CNIChain itself has changed) for the loop of one CNIChain."""
        return self._cluster.setdefault(name, asyncio.Event()), self._spec.setdefault(name, asyncio.Event())

    def forget(self, name: str) -> None:
        """Nobody waits for this name any more."""
        self._cluster.pop(name, None)
        self._spec.pop(name, None)

    def cluster_changed(self) -> None:
        """Wake all loops. A loop that has just failed finishes its backoff first."""
        for event in self._cluster.values():
            event.set()

    def spec_changed(self, name: str) -> None:
        """Wake one loop at once, backoff or not: the change may correct what failed."""
        self.of(name)[1].set()


class Keeper:
    """Keeps CNIChains as their specs ask for: one loop for each name, from the first event about it until it is gone.

    Loops of our own, not Kopf's daemons: Kopf starts none for an object that is being deleted when the operator starts.
    """

    def __init__(self, reconciler: Reconciler, wakeups: Wakeups, resync_seconds: float) -> None:
        self._reconciler = reconciler
        self._resync_seconds = resync_seconds
        self._wakeups = wakeups
        self._busy_since: dict[str, float] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._stopped = asyncio.Event()

    @property
    def stuck(self) -> bool:
        """True when a pass has been running for longer than any pass can."""
        return any(time.monotonic() - since > STUCK_SECONDS for since in self._busy_since.values())

    @property
    def broken(self) -> str:
        """The name of a CNIChain whose loop has ended by an error, which none ever should; empty when all is well."""
        return next((name for name, loop in self._loops.items() if loop.done()), "")

    def wake(self, name: str) -> None:
        """Something has happened to a CNIChain: its loop makes a pass, and is started when there is none."""
        self._wakeups.spec_changed(name)
        if name not in self._loops and not self._stopped.is_set():
            self._loops[name] = asyncio.create_task(self._keep(name), name=f"keep {name}")

    async def stop(self) -> None:
        """End all loops: a pass that has begun is finished when it can be in time, and cancelled otherwise."""
        self._stopped.set()
        loops = list(self._loops.values())
        if not loops:
            return
        _, late = await asyncio.wait(loops, timeout=STOP_SECONDS)
        for loop in late:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    async def _keep(self, name: str) -> None:
        """Pass after pass, until told to stop or the CNIChain is gone."""
        changed, spec_changed = self._wakeups.of(name)
        failures, allowance = 0, Allowance(time.monotonic())
        while not self._stopped.is_set():
            changed.clear()
            spec_changed.clear()
            begun = time.thread_time()
            outcome = await self._pass(name)
            worked = time.thread_time() - begun
            if outcome.gone and not spec_changed.is_set():
                # No await between this look and the end of the loop: an event that comes now starts a new one.
                self._wakeups.forget(name)
                del self._loops[name]
                return
            failures = failures + 1 if outcome.failed else 0
            if outcome.failed:
                # Not at each change in the cluster: what failed would be hammered by its own side effects.
                # At least as long as the API server asks for, but not for a day.
                asked = min(outcome.again or 0.0, FAILURE_CAP_SECONDS)
                pause = max(asked, backoff(failures, base=1.0, cap=FAILURE_CAP_SECONDS))
                await _first(pause, self._stopped.wait(), spec_changed.wait())
                continue
            early = worked <= CHEAP_SECONDS and allowance.take(time.monotonic())
            await self._calm(rest(worked, early=early), changed, spec_changed)
            jitter = random.uniform(0.9, 1.1)  # noqa: S311 - spreads the load of many operators, not a secret
            pause = outcome.again or self._resync_seconds * jitter
            await _first(pause, self._stopped.wait(), spec_changed.wait(), changed.wait())

    async def _calm(self, least: float, changed: asyncio.Event, spec_changed: asyncio.Event) -> None:
        """Until the cluster is calm; `changed` is set afterwards when it was before, or was meanwhile.

        least: seconds that are waited in any case (`rest`).
        """
        end = time.monotonic() + max(BETWEEN_PASSES_SECONDS, least)
        woken, pause = changed.is_set(), least
        while (left := end - time.monotonic()) > 0:
            changed.clear()
            await _first(min(pause, left), self._stopped.wait(), spec_changed.wait())
            woken, pause = woken or changed.is_set(), CALM_SECONDS
            if not changed.is_set() or spec_changed.is_set() or self._stopped.is_set():
                break
        if woken:
            changed.set()

    async def _pass(self, name: str) -> Outcome:
        self._busy_since[name] = time.monotonic()
        try:
            return await self._reconciler.run(name)
        except ApiError as error:
            logger.warning("%s", error.as_chain_error(f"read CNIChain {name}, or write its status"))
            return Outcome(ready=False, failed=True)
        finally:
            del self._busy_since[name]


def rest(worked: float, *, early: bool) -> float:
    """The least seconds between a pass of so many seconds of CPU time and the next one. early: it may begin early."""
    if early:
        return CALM_SECONDS
    return max(BETWEEN_PASSES_SECONDS, min(REST * worked, MOST_BETWEEN_PASSES_SECONDS))


async def _first(seconds: float, *waits: Awaitable[object]) -> None:
    """Until the first of the waits is over, or the time is."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
