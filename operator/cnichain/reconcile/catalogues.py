"""The catalogue that is in force: what the operator was started with, and a ConfigMap on top that needs no restart."""

import asyncio

from cnichain.catalogue.load import CONFIG_MAP, InForce, with_config_map
from cnichain.catalogue.model import Catalogue
from cnichain.kube.remembered import Remembered
from cnichain.kube.resources import CONFIG_MAPS
from cnichain.reconcile.cluster import named


class CatalogueSource:
    """Reads the ConfigMap in every pass, and parses it only when it has changed."""

    def __init__(self, reads: Remembered, namespace: str, base: Catalogue) -> None:
        self._reads = reads
        self._namespace = namespace
        self._base = base
        self._last: tuple[tuple[str, str], InForce] | None = None

    async def current(self) -> InForce:
        """The catalogue in force."""
        found = await self._reads.one(named(CONFIG_MAPS, self._namespace, CONFIG_MAP), CONFIG_MAP)
        if found is None:
            return InForce(self._base, "the operator's own")
        version = found["metadata"]["uid"], found["metadata"]["resourceVersion"]
        if self._last is None or self._last[0] != version:
            # A large text takes longer to parse than the event loop may stand still.
            read = await asyncio.to_thread(with_config_map, self._base, self._namespace, found.get("data"))
            self._last = version, read
        return self._last[1]
