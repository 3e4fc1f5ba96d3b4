"""Status of a CNIChain in the cluster: built from a report, written by server-side apply, and only when it differs."""

from dataclasses import dataclass
from typing import Any

from cnichain.api.chain import HubbleSpec
from cnichain.api.chainnode import Condition, to_wire
from cnichain.api.chainstatus import CNIChainStatus
from cnichain.api.names import API_VERSION, KIND_CHAIN, STATUS_FIELD_MANAGER
from cnichain.api.times import utc_now
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import CHAINS
from cnichain.reconcile.conditions import conditions, starting
from cnichain.reconcile.report import Report


def read_conditions(status: Object) -> list[Condition]:
    """The conditions of a status as the API serves it."""
    return [
        Condition(
            type=item["type"],
            status=item["status"],
            reason=item["reason"],
            message=item["message"],
            last_transition_time=item["lastTransitionTime"],
            observed_generation=item.get("observedGeneration", 0),
        )
        for item in status.get("conditions") or []
    ]


def hubble_word(hubble: HubbleSpec, ready: bool | None) -> str:
    """Hubble for kubectl's table: what is switched on, and whether it is there."""
    if not hubble.relay.enabled and not hubble.ui.enabled:
        return "Agents only"
    return {True: "Ready", False: "Waiting", None: "Unknown"}[ready]


@dataclass
class StatusWriter:
    """Remembers the status as it stands in the cluster, so that an unchanged one is not sent again."""

    client: KubeClient
    name: str
    current: Object

    async def start(self, generation: int) -> bool:
        """The first patch for a generation, before any work. False when this generation has been seen before."""
        if self.current.get("observedGeneration", 0) == generation and self.current.get("conditions"):
            return False
        first = starting(generation, read_conditions(self.current), utc_now())
        await self._write({**self.current, "observedGeneration": generation, "conditions": to_wire(first)})
        return True

    async def write(self, report: Report, status: CNIChainStatus) -> list[Condition]:
        """Write the conditions of a report and the rest of the status; the conditions as they are now."""
        now = conditions(report, read_conditions(self.current), utc_now())
        rest = status.model_dump(by_alias=True, exclude={"conditions", "observed_generation"}, exclude_none=True)
        await self._write({**rest, "observedGeneration": report.generation, "conditions": to_wire(now)})
        return now

    async def _write(self, wanted: dict[str, Any]) -> None:
        if _comparable(wanted) == _comparable(self.current):
            return
        body = {"apiVersion": API_VERSION, "kind": KIND_CHAIN, "metadata": {"name": self.name}, "status": wanted}
        answer = await self.client.apply(CHAINS, body, manager=STATUS_FIELD_MANAGER, subresource="status")
        self.current = answer.get("status") or {}


def transitions(before: list[Condition], after: list[Condition]) -> list[Condition]:
    """Conditions whose status or reason is new: what an event is worth."""
    known = {item.type: (item.status, item.reason) for item in before}
    return [item for item in after if known.get(item.type) != (item.status, item.reason)]


def _comparable(status: Object) -> Object:
    """The status with its conditions in one order: the server may merge them into another than we sent."""
    return {**status, "conditions": sorted(status.get("conditions") or [], key=lambda item: str(item["type"]))}
