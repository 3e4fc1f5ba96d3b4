"""Where the inventory is kept: one ConfigMap in the operator's namespace, written before and after each change."""

from dataclasses import dataclass

from cnichain.api.errors import ChainError
from cnichain.api.names import OWNER_LABEL
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import Reason
from cnichain.apply.record import Record
from cnichain.kube.resources import CONFIG_MAPS
from cnichain.plan.inventory import Entry, Inventory, dump, load

DATA_KEY = "objects.jsonl"


@dataclass(frozen=True)
class InventoryStore(Record):
    """The inventory of one CNIChain.

    It is saved before objects are applied (so that a crash leaves no object unlisted) and after (with their digests).
    """

    KIND = "inventory"

    async def read(self) -> dict[ObjectKey, Entry]:
        """The inventory; empty when there is none yet.

        Raises ChainError(InternalError) when the ConfigMap was damaged: guessing would prune wrongly.
        """
        data = await self.data()
        if data is None:
            return {}
        try:
            return load(data.get(DATA_KEY, ""))
        except ValueError as error:
            raise ChainError(
                Reason.INVENTORY_UNREADABLE,
                f"ConfigMap {self.namespace}/{self.name}: {error}. Nothing is applied or pruned until it is right.",
            ) from error

    async def delete_all(self) -> None:
        """Delete every ConfigMap that is kept about this CNIChain, the inventory last."""
        kept, _ = await self.client.list(
            CONFIG_MAPS, namespace=self.namespace, labels=f"{OWNER_LABEL}={self.chain}", metadata_only=True
        )
        names = sorted((item["metadata"]["name"] for item in kept), key=lambda name: (name == self.name, name))
        for name in names:
            await self.client.delete(CONFIG_MAPS, name, self.namespace)

    async def write(self, inventory: Inventory) -> None:
        """Replace the inventory."""
        await self.replace({DATA_KEY: dump(inventory)})
