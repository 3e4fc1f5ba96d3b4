"""What must be remembered for good: the minor of Cilium that was installed first in this cluster.

The charts keep the defaults of that minor when it is given as `upgradeCompatibility`; without it an upgrade would also
switch defaults that changed in between. It stands in a ConfigMap of its own: status is lost when a CNIChain is deleted
(with Retain, Cilium stays) or restored from Git, and the inventory may be deleted to repair it.
"""

from dataclasses import dataclass

from cnichain.api.names import OWNER_LABEL
from cnichain.catalogue.records import parse_minor
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CONFIG_MAPS

DATA_KEY = "firstMinor"


@dataclass(frozen=True)
class HistoryStore:
    """The history of one CNIChain."""

    client: KubeClient
    namespace: str
    chain: str

    @property
    def name(self) -> str:
        """Name of the ConfigMap."""
        return f"cnichain-history-{self.chain}"

    async def first_minor(self) -> str:
        """The minor (`1.17`) that was installed first; empty when none is recorded, or what is there is no minor."""
        found = await self.client.get(CONFIG_MAPS, self.name, self.namespace)
        return minor_of(((found or {}).get("data") or {}).get(DATA_KEY, ""))

    async def record(self, minor: str) -> None:
        """Record the minor that was installed first."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {OWNER_LABEL: self.chain}},
            "data": {DATA_KEY: minor},
        }
        await self.client.apply(CONFIG_MAPS, body)


def minor_of(version: str) -> str:
    """`1.17` of `1.17`, `1.17.3` and `v1.17.3`; empty when the text is no version."""
    minor = parse_minor(version)
    return f"{minor[0]}.{minor[1]}" if minor else ""
