"""Where the newest plan is kept: one ConfigMap in the operator's namespace, for `cnichain diff` and for approvers."""

from dataclasses import dataclass
from typing import Any

from cnichain.apply.record import Record
from cnichain.plan.model import Plan, dump, load

DATA_KEY = "plan.json"


@dataclass(frozen=True)
class PlanStore(Record):
    """The plan of one CNIChain."""

    KIND = "plan"

    async def read(self) -> tuple[Plan, dict[str, Any]] | None:
        """The plan and what was said about it (`generation`, `time`); None when there is none.

        Raises ValueError when the ConfigMap is not a plan that this release reads.
        """
        data = await self.data()
        return None if data is None else load(data.get(DATA_KEY, ""))

    async def write(self, plan: Plan, **about: Any) -> None:
        """Replace the plan."""
        await self.replace({DATA_KEY: dump(plan, **about)})
