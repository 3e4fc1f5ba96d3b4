"""Keep what is applied as it was applied: correct drift, back off from a fight, renew certificates in time.

It goes on while a plan is held, and across all stages at once: a drift does not wait for the stages before it.
"""

import time
from collections.abc import Sequence
from datetime import timedelta

from cnichain.api import clock
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import Reason
from cnichain.api.times import rfc3339, utc_now
from cnichain.apply.engine import Change, Engine, Live
from cnichain.apply.values import ValueWatch
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import Discovery
from cnichain.plan.fight import CAP_SECONDS, Fights
from cnichain.plan.model import in_words
from cnichain.plan.tampering import tampering
from cnichain.reconcile.metrics import DRIFT_CORRECTED
from cnichain.reconcile.report import Report
from cnichain.render.manifests import Manifest

Event = tuple[Reason, str]


def is_renewal(change: Change, live: Live) -> bool:
    """Whether a change is a certificate that is renewed: it is due on its day, whatever plan is held."""
    entry = live.inventory.get(change.manifest.key)
    return change.manifest.kind == "Secret" and not change.tampered and entry is not None and bool(entry.owned)


class Care:
    """Remembers, for one process, how often each object was corrected, and what was compared."""

    def __init__(self, client: KubeClient) -> None:
        self._values = ValueWatch(client)
        self._fights = Fights()
        self._stories: dict[ObjectKey, str] = {}
        self._mutated_since: dict[ObjectKey, float] = {}
        self._told: set[str] = set()

    async def put_back(
        self, engine: Engine, manifests: Sequence[Manifest], live: Live, discovery: Discovery, report: Report
    ) -> list[Event]:
        """Correct what others changed; what happened, for events. The report says what is left alone.

        Raises ChainError for an object that the API server refuses.
        """
        changes = engine.changes(manifests, live)
        changing = {change.manifest.key for change in changes}
        same = [item for item in manifests if item.key not in changing]
        now = time.monotonic()
        by_admission = await self._values.changes(same, live, discovery)
        tampered = [*(change for change in changes if change.tampered), *by_admission]
        told = {
            change.manifest.key: tampering(
                change.manifest.key, change.manifest.body, live.objects.get(change.manifest.key), change.why
            )
            for change in tampered
        }
        due = [change for change in tampered if self._fights.may_correct(change.manifest.key, now)]
        renewals = [change for change in changes if is_renewal(change, live)]
        await self._apply(engine, [*due, *renewals, *self._mutated(same, tampered, live, now)], live, discovery)
        events: list[Event] = []
        for change in due:
            events += self._corrected(change.manifest.key, told[change.manifest.key], now)
        if due:
            shown = in_words([told[change.manifest.key] for change in due])
            report.drift = f"Put back at {utc_now()}: {shown}."
            events.insert(0, (Reason.DRIFT_CORRECTED, report.drift))
        fought = self._fights.fought_over(now)
        report.fight = "; ".join(self._stories[key] for key in fought[:3])
        report.look_again = self._fights.next_try(now)
        return events

    def mutated(self, live: Live, report: Report) -> list[Event]:
        """Say what admission made of the applied objects; an event for what is new."""
        found = [f"{key}: {in_words(entry.mutated)}" for key, entry in sorted(live.inventory.items()) if entry.mutated]
        report.mutated = in_words(found)
        fresh = [one for one in found if one not in self._told]
        self._told = set(found)
        return [(Reason.MUTATED_BY_ADMISSION, f"Changed by admission: {in_words(fresh)}.")] if fresh else []

    async def _apply(self, engine: Engine, changes: Sequence[Change], live: Live, discovery: Discovery) -> None:
        stages = {change.manifest.key: live.inventory[change.manifest.key].stage for change in changes}
        for stage in dict.fromkeys(stages.values()):
            mine = [change for change in changes if stages[change.manifest.key] == stage]
            await engine.apply(stage, mine, live, discovery)

    def _corrected(self, key: ObjectKey, what: str, now: float) -> list[Event]:
        """Count a correction; the event when it begins a pause."""
        self._fights.corrected(key, now)
        DRIFT_CORRECTED.labels(key.kind).inc()
        if self._fights.may_correct(key, now):
            return []
        pause = self._fights.pause(key)
        until = rfc3339(clock.now() + timedelta(seconds=pause))
        self._stories[key] = f"{what}, time and again; it is not corrected before {until}"
        return [(Reason.DRIFT_FIGHT, f"{self._stories[key]}.")]

    def _mutated(
        self, manifests: Sequence[Manifest], tampered: Sequence[Change], live: Live, now: float
    ) -> list[Change]:
        """Objects that admission changed and that are worth another try: the webhook may be gone."""
        changing = {change.manifest.key for change in tampered}
        result = []
        for item in manifests:
            entry = live.inventory.get(item.key)
            if entry is None or not entry.mutated or item.key in changing:
                self._mutated_since.pop(item.key, None)
                continue
            if now - self._mutated_since.setdefault(item.key, now) >= CAP_SECONDS:
                self._mutated_since[item.key] = now
                result.append(Change(item, f"{item.key} was changed by admission", tampered=False))
        return result
