"""Look at the applied objects, apply those that differ, prune those that are not wanted any more."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from cnichain.api.errors import ChainError
from cnichain.api.names import OWNER_LABEL
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import Reason
from cnichain.apply.store import InventoryStore
from cnichain.apply.writer import Writer
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.remembered import Query, Remembered
from cnichain.kube.resources import Discovery, Resource
from cnichain.plan.inventory import Entry, applied, drift, is_tampering, leftovers
from cnichain.render.manifests import Manifest, is_hook, kind_rank

logger = logging.getLogger(__name__)

CONCURRENT_REQUESTS = 8
FULL_KINDS = {"DaemonSet", "Deployment", "Namespace"}
"""Kinds whose status matters to a gate; of all others the metadata is enough."""
SHARED_KINDS = {"Namespace", "CustomResourceDefinition"}
"""Kinds that may be there already without belonging to another installation: a removed one leaves them on purpose."""


@dataclass
class Live:
    """What is in the cluster now: the labelled objects by key, and the inventory."""

    objects: dict[ObjectKey, Object]
    inventory: dict[ObjectKey, Entry]


@dataclass(frozen=True)
class Change:
    """One object that has to be applied, and why."""

    manifest: Manifest
    why: str
    tampered: bool


class Engine:
    """Applies manifests for one CNIChain. Everything it writes carries the owner label and our field manager.

    reads: where the live objects are read; None: from the API server, each time.
    """

    def __init__(self, client: KubeClient, store: InventoryStore, owner: str, reads: Remembered | None = None) -> None:
        self._client = client
        self._reads = reads or Remembered(client, lambda _: None)
        self._store = store
        self._owner = owner
        self._writer = Writer(client)
        self._limit = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def observe(self, desired: Iterable[ObjectKey], discovery: Discovery) -> Live:
        """The live objects of every kind that is desired or listed in the inventory."""
        inventory = await self._store.read()
        found = await asyncio.gather(*(self._list(*place) for place in places({*desired, *inventory}, discovery)))
        return Live({key: item for part in found for key, item in part.items()}, inventory)

    async def _list(self, resource: Resource, namespace: str, name: str) -> dict[ObjectKey, Object]:
        try:
            async with self._limit:
                query = owned(resource, namespace, name, self._owner)
                items = await self._reads.objects(query, metadata_only=resource.kind not in FULL_KINDS)
        except ApiError as error:
            if not error.not_served:
                raise
            # Its CustomResourceDefinition has gone since discovery.
            return {}
        result = {}
        for item in items:
            metadata = item["metadata"]
            key = ObjectKey(resource.api_version, resource.kind, metadata.get("namespace", ""), metadata["name"])
            result[key] = item | {"apiVersion": resource.api_version, "kind": resource.kind}
        return result

    def changes(self, manifests: Iterable[Manifest], live: Live) -> list[Change]:
        """Which of the manifests must be applied, and why. Reads memory only."""
        result = []
        for item in manifests:
            entry = live.inventory.get(item.key)
            why = drift(item.key, entry, item.digest, live.objects.get(item.key))
            if why:
                result.append(Change(item, why, tampered=is_tampering(entry, item.digest)))
        return result

    async def apply(self, stage: str, changes: Sequence[Change], live: Live, discovery: Discovery) -> None:
        """Apply changes in order of kind; objects of one kind go together.

        What was applied before an error stays applied and listed; the next pass goes on from there.
        Raises ChainError for the first object that failed.
        """
        for change in changes:
            key = change.manifest.key
            live.inventory[key] = Entry(stage=stage, desired=change.manifest.digest, uid="", owned="")
        await self._store.write(live.inventory)
        try:
            for _, group in groupby(changes, key=lambda change: kind_rank(change.manifest.kind)):
                results = await asyncio.gather(
                    *(self._apply_one(change, live, discovery) for change in group), return_exceptions=True
                )
                for result in results:
                    if result is not None:
                        raise result
        finally:
            # Shielded and kept even when the pass is cancelled: it is the record of what stands in the cluster.
            await asyncio.shield(self._store.write(live.inventory))

    async def _apply_one(self, change: Change, live: Live, discovery: Discovery) -> None:
        manifest = change.manifest
        if is_hook(manifest.body):
            # Rendering drops or refuses hooks; this is the last place before the cluster.
            raise ChainError(Reason.HOOK_REFUSED, f"apply {manifest.key}: it is a Helm hook.")
        resource = discovery.resource(manifest.api_version, manifest.kind)
        if resource is None:
            raise ChainError(
                Reason.KIND_NOT_SERVED,
                f"apply {manifest.key}: the API server has no {manifest.api_version} {manifest.kind} (yet).",
            )
        async with self._limit:
            result = await self._writer.write(resource, manifest, live.objects.get(manifest.key))
        live.objects[manifest.key] = result
        entry = applied(live.inventory[manifest.key], manifest.body, result)
        live.inventory[manifest.key] = entry
        mutated = f"; admission changed {', '.join(entry.mutated)}" if entry.mutated else ""
        logger.info("applied %s: %s%s", manifest.key, change.why, mutated)

    async def prune(self, desired: Iterable[ObjectKey], live: Live, discovery: Discovery) -> list[ObjectKey]:
        """Delete objects that were applied once and are not wanted any more; the keys that are gone.

        An object whose kind is not served now (an aggregated API that is down) stays listed until it can be deleted.
        """
        unwanted = leftovers(live.inventory, desired)
        gone = [key for key in unwanted if discovery.resource(key.api_version, key.kind) is not None]
        for key in gone:
            await self._prune_one(key, live, discovery)
            del live.inventory[key]
        if gone:
            await self._store.write(live.inventory)
        return gone

    async def _prune_one(self, key: ObjectKey, live: Live, discovery: Discovery) -> None:
        resource, found = discovery.resource(key.api_version, key.kind), live.objects.get(key)
        if resource is None or found is None:
            return
        uid: str = found["metadata"]["uid"]
        try:
            await self._client.delete(resource, key.name, key.namespace or None, uid=uid)
        except ApiError as error:
            raise error.as_chain_error(f"prune {key}") from error
        logger.info("pruned %s", key)


class Place(NamedTuple):
    """Where to look for objects: a kind, its namespace ("" for cluster-scoped ones), and a name or "" for all."""

    resource: Resource
    namespace: str
    name: str


def owned(resource: Resource, namespace: str, name: str, owner: str) -> Query:
    """The objects of a place that carry the owner label of a CNIChain."""
    return Query(resource, namespace, f"{OWNER_LABEL}={owner}", f"metadata.name={name}" if name else "")


def places(keys: Iterable[ObjectKey], discovery: Discovery) -> set[Place]:
    """Where objects are. Kinds that are not served are left out.

    Secrets are looked for by name, so that the operator needs no permission to read any but its own.
    """
    found = ((discovery.resource(key.api_version, key.kind), key) for key in keys)
    return {
        Place(resource, key.namespace, key.name if key.kind == "Secret" else "")
        for resource, key in found
        if resource is not None
    }
