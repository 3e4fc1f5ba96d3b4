"""What must be remembered for good: the minor of Cilium that was installed first, the last good revision, and a change
that failed.

The charts keep the defaults of the first minor when it is given as `upgradeCompatibility`; without it an upgrade would
also switch defaults that changed in between. It all stands in a ConfigMap of its own: status is lost when a CNIChain is
deleted (with Retain, Cilium stays) or restored from Git, and the inventory may be deleted to repair it.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from cnichain.api.rolloutstatus import RejectedStatus
from cnichain.apply.record import Record
from cnichain.catalogue.records import parse_minor
from cnichain.plan.history import Good, History

logger = logging.getLogger(__name__)

FIRST_MINOR_KEY = "firstMinor"
GOOD_KEY = "good.json"
REJECTED_KEY = "rejected.json"
EARLIER_KEY = "earlier.json"


@dataclass(frozen=True)
class HistoryStore(Record):
    """The history of one CNIChain."""

    KIND = "history"

    async def read(self) -> History:
        """What is recorded. A part that this release cannot read counts as not recorded, and the log says so."""
        data = await self.data() or {}
        first = minor_of(data.get(FIRST_MINOR_KEY, ""))
        return History(first, self._good(data), self._rejected(data), self._earlier(data))

    async def record(self, history: History) -> None:
        """Replace what is recorded."""
        data = {FIRST_MINOR_KEY: history.first_minor}
        if history.good is not None:
            data[GOOD_KEY] = json.dumps(asdict(history.good), indent=1)
        if history.earlier:
            data[EARLIER_KEY] = json.dumps([asdict(one) for one in history.earlier], indent=1)
        if history.rejected is not None:
            data[REJECTED_KEY] = history.rejected.model_dump_json(by_alias=True, indent=1)
        await self.replace(data)

    def _good(self, data: Mapping[str, str]) -> Good | None:
        if GOOD_KEY not in data:
            return None
        try:
            return _good_of(json.loads(data[GOOD_KEY]))
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("ConfigMap %s: %s cannot be read: %r", self.name, GOOD_KEY, error)
            return None

    def _earlier(self, data: Mapping[str, str]) -> tuple[Good, ...]:
        try:
            return tuple(_good_of(one) for one in json.loads(data.get(EARLIER_KEY, "[]")))
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("ConfigMap %s: %s cannot be read: %r", self.name, EARLIER_KEY, error)
            return ()

    def _rejected(self, data: Mapping[str, str]) -> RejectedStatus | None:
        if REJECTED_KEY not in data:
            return None
        try:
            return RejectedStatus.model_validate_json(data[REJECTED_KEY])
        except ValidationError as error:
            logger.warning("ConfigMap %s: %s cannot be read: %s", self.name, REJECTED_KEY, error)
            return None


def _good_of(raw: Mapping[str, Any]) -> Good:
    """Raises KeyError, TypeError or ValueError for what is none."""
    revision = int(raw.get("revision", 0))
    return Good(str(raw["content"]), str(raw["cilium"]), dict(raw["spec"]), str(raw["time"]), revision)


def minor_of(version: str) -> str:
    """`1.17` of `1.17`, `1.17.3` and `v1.17.3`; empty when the text is no version."""
    minor = parse_minor(version)
    return f"{minor[0]}.{minor[1]}" if minor else ""
