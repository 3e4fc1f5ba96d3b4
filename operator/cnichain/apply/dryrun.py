"""What applying the changes would do, asked of the API server itself: a dry run of each server-side apply."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cnichain.api.objects import ObjectKey
from cnichain.apply.engine import CONCURRENT_REQUESTS, FULL_KINDS, Change, Live
from cnichain.apply.writer import refused
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import Discovery, Resource
from cnichain.plan.forecast import item_of_change, pods_of, roll_of
from cnichain.plan.immutable import Recreate, field_of, is_immutable, recreate_policy
from cnichain.plan.leftover import comparable, takeover
from cnichain.plan.model import Action, Field, Item, Roll
from cnichain.render.manifests import Manifest

NO_DRY_RUN = "does not support dry run"
Outcome = tuple[Item, Roll | None]


@dataclass(frozen=True)
class Forecaster:
    """Forecasts changes. It reads, and sends dry runs; nothing is written."""

    client: KubeClient
    discovery: Discovery

    async def forecast(
        self, changes: Sequence[Change], gone: Iterable[ObjectKey], live: Live
    ) -> tuple[tuple[Item, ...], tuple[Roll, ...]]:
        """Items in order of application, what is pruned last, and the workloads that restart.

        An object that is not there yet is not asked for: all of it is new. Raises ChainError when the API server
        refuses an object, so that nothing of the plan is applied.
        """
        limit = asyncio.Semaphore(CONCURRENT_REQUESTS)
        unsettled = {
            item.manifest.body["spec"]["names"]["kind"]
            for item in changes
            if item.manifest.kind == "CustomResourceDefinition"
        }

        async def one(manifest: Manifest) -> Outcome:
            async with limit:
                return await self._one(manifest, live.objects.get(manifest.key), unsettled)

        outcomes = await asyncio.gather(*(one(change.manifest) for change in changes))
        pruned = [Item(Action.PRUNE, key) for key in gone]
        rolls = [roll for _, roll in outcomes if roll is not None]
        return (*(item for item, _ in outcomes), *pruned), tuple(rolls)

    async def _one(self, manifest: Manifest, live: Object | None, unsettled: set[str]) -> Outcome:
        key = manifest.key
        resource = self.discovery.resource(manifest.api_version, manifest.kind)
        if resource is None:
            return Item(Action.CREATE, key, note="the API server does not serve its kind yet"), None
        if live is not None and manifest.kind not in FULL_KINDS:
            live = await self._full(manifest, resource)
        if live is None:
            return Item(Action.CREATE, key), None
        if manifest.kind in unsettled:
            return Item(Action.CHANGE, key, note="not compared: the definition of its kind changes as well"), None
        stuck = takeover(manifest.body, live) is not None
        try:
            body = comparable(manifest.body, live) if stuck else manifest.body
            planned = await self.client.apply(resource, body, dry_run=True)
        except ApiError as error:
            if NO_DRY_RUN in error.message:
                return Item(Action.CHANGE, key, note="not compared: an admission webhook takes no dry run"), None
            return self._replaced(manifest, live, error)
        item = item_of_change(key, live, planned)
        if stuck:
            before, after = (one["spec"]["strategy"].get("type") for one in (live, manifest.body))
            field = Field("spec.strategy.type", before, after)
            item = Item(item.action, key, (*item.fields, field))
        return item, roll_of(key, live, planned)

    async def _full(self, manifest: Manifest, resource: Resource) -> Object | None:
        try:
            return await self.client.get(resource, manifest.name, manifest.namespace)
        except ApiError as error:
            raise error.as_chain_error(f"look at {manifest.key}") from error

    def _replaced(self, manifest: Manifest, live: Object, error: ApiError) -> Outcome:
        """An object that is replaced because it can never change so. Raises ChainError when it is refused otherwise."""
        policy = recreate_policy(manifest.kind, live, manifest.body)
        if policy is None or not is_immutable(error.status, error.message):
            raise refused(manifest, error, "dry run of") from error
        field = field_of(error.message) or "a field"
        how = "deleted without its pods and made anew" if policy is Recreate.ORPHAN else "deleted and made anew"
        item = Item(Action.RECREATE, manifest.key, note=f"{field} can never change, so it is {how}")
        has_pods = manifest.kind in FULL_KINDS - {"Namespace"}
        roll = Roll(manifest.key, pods_of(live), (), "it is made anew") if has_pods else None
        return item, roll
