"""A record that the operator keeps of one CNIChain: a ConfigMap in its own namespace, replaced as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cnichain.api.names import OWNER_LABEL
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CONFIG_MAPS


@dataclass(frozen=True)
class Record:
    """Where one kind of record is kept. KIND: what it is, in the ConfigMap's name."""

    KIND: ClassVar[str]

    client: KubeClient
    namespace: str
    chain: str

    @property
    def name(self) -> str:
        """Name of the ConfigMap."""
        return f"cnichain-{self.KIND}-{self.chain}"

    async def data(self) -> dict[str, str] | None:
        """What is recorded; None when there is no record."""
        found = await self.client.get(CONFIG_MAPS, self.name, self.namespace)
        return None if found is None else found.get("data") or {}

    async def replace(self, data: Mapping[str, str]) -> None:
        """Record this, and nothing else."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {OWNER_LABEL: self.chain}},
            "data": dict(data),
        }
        await self.client.apply(CONFIG_MAPS, body)
