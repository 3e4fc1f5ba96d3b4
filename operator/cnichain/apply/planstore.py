"""Where the newest plan is kept: one ConfigMap in the operator's namespace, for `cnichain diff` and for approvers."""

from dataclasses import dataclass
from typing import Any

from cnichain.api.names import OWNER_LABEL
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CONFIG_MAPS
from cnichain.plan.model import Plan, dump, load

DATA_KEY = "plan.json"


def plan_name(chain: str) -> str:
    """Name of the ConfigMap of a CNIChain's plan."""
    return f"cnichain-plan-{chain}"


@dataclass(frozen=True)
class PlanStore:
    """The plan of one CNIChain."""

    client: KubeClient
    namespace: str
    chain: str

    async def read(self) -> tuple[Plan, dict[str, Any]] | None:
        """The plan and what was said about it (`generation`, `time`); None when there is none.

        Raises ValueError when the ConfigMap is not a plan that this release reads.
        """
        found = await self.client.get(CONFIG_MAPS, plan_name(self.chain), self.namespace)
        return load((found.get("data") or {}).get(DATA_KEY, "")) if found else None

    async def write(self, plan: Plan, **about: Any) -> None:
        """Replace the plan."""
        name = plan_name(self.chain)
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {OWNER_LABEL: self.chain}},
            "data": {DATA_KEY: dump(plan, **about)},
        }
        await self.client.apply(CONFIG_MAPS, body)
