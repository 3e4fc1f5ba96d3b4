"""What was restarted, in a ConfigMap: a restart of the operator must not start the count of failures anew."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.apply.record import Record
from cnichain.plan.pods import Workload
from cnichain.plan.restarts import History

logger = logging.getLogger(__name__)

DATA_KEY = "restarts.json"


@dataclass(frozen=True)
class Restarts:
    """total: pods evicted so far. workloads: those that were touched and are not done."""

    total: int
    workloads: Mapping[Workload, History]


@dataclass(frozen=True)
class RestartStore(Record):
    """The record of one CNIChain's restarts. It stays small: plan/restarts.py bounds how many workloads are in it."""

    KIND = "restarts"

    async def read(self) -> Restarts:
        """What is recorded; nothing when there is none, or when it is of a form that cannot be read."""
        text = (await self.data() or {}).get(DATA_KEY, "")
        if not text:
            return Restarts(0, {})
        try:
            raw = json.loads(text)
            return Restarts(int(raw["total"]), dict(_entry(item) for item in raw["workloads"]))
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("ConfigMap %s/%s: %r; counting anew", self.namespace, self.name, error)
            return Restarts(0, {})

    async def write(self, restarts: Restarts) -> None:
        """Replace the record."""
        workloads = [
            {
                "namespace": workload.namespace,
                "kind": workload.kind,
                "name": workload.name,
                "generation": history.generation,
                "since": history.since,
                "restarts": history.restarts,
                "failed": list(history.failed),
            }
            for workload, history in sorted(restarts.workloads.items())
        ]
        await self.replace({DATA_KEY: json.dumps({"total": restarts.total, "workloads": workloads})})


def _entry(item: Mapping[str, Any]) -> tuple[Workload, History]:
    history = History(
        generation=int(item["generation"]),
        since=int(item["since"]),
        restarts=int(item["restarts"]),
        failed=tuple(map(str, item["failed"])),
    )
    return Workload(str(item["namespace"]), str(item["kind"]), str(item["name"])), history
