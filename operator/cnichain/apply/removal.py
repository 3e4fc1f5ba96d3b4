"""Deletes what the inventory lists, one batch at a time, and looks whether it has gone."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from cnichain.api.names import OWNER_LABEL
from cnichain.api.objects import ObjectKey
from cnichain.apply.engine import CONCURRENT_REQUESTS
from cnichain.apply.store import InventoryStore
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import Discovery
from cnichain.plan.inventory import Entry

logger = logging.getLogger(__name__)


@dataclass
class Remover:
    """Removes applied objects of one CNIChain. foreign: objects that have taken a listed name and were left alone."""

    client: KubeClient
    store: InventoryStore
    owner: str
    discovery: Discovery
    foreign: list[ObjectKey] = field(default_factory=list)

    async def remove(self, keys: Iterable[ObjectKey], inventory: dict[ObjectKey, Entry]) -> list[ObjectKey]:
        """Delete these objects; the keys that are not gone yet. Those that are leave the inventory.

        An object counts as gone only in the look after the one that deleted it, when the API server has none of that
        name. Raises ChainError for the first that could not be deleted.
        """
        wanted = list(keys)
        limit = asyncio.Semaphore(CONCURRENT_REQUESTS)

        async def one(key: ObjectKey) -> bool:
            async with limit:
                return await self._remove_one(key, inventory[key])

        results = await asyncio.gather(*(one(key) for key in wanted), return_exceptions=True)
        gone = [key for key, result in zip(wanted, results, strict=True) if result is True]
        for key in gone:
            del inventory[key]
        if gone:
            await self.store.write(inventory)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [key for key in wanted if key in inventory]

    async def _remove_one(self, key: ObjectKey, entry: Entry) -> bool:
        """True when the object is gone."""
        resource = self.discovery.resource(key.api_version, key.kind)
        if resource is None:
            logger.warning("%s: the API server does not serve its kind any more, so it is gone", key)
            return True
        try:
            found = await self.client.get(resource, key.name, key.namespace or None)
            if found is None:
                return True
            if not self._is_ours(found, entry):
                logger.warning("%s was made anew by someone else and is left alone", key)
                self.foreign.append(key)
                return True
            if not found["metadata"].get("deletionTimestamp"):
                await self.client.delete(resource, key.name, key.namespace or None, uid=found["metadata"]["uid"])
                logger.info("deleted %s", key)
        except ApiError as error:
            raise error.as_chain_error(f"delete {key}") from error
        return False

    def _is_ours(self, found: Object, entry: Entry) -> bool:
        metadata = found["metadata"]
        labelled = (metadata.get("labels") or {}).get(OWNER_LABEL) == self.owner
        return labelled or (bool(entry.uid) and metadata["uid"] == entry.uid)
