"""One HTTP request to the API server, as the client sends it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cnichain.kube.fence import Fence

Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]
REQUEST_SECONDS = 30.0


@dataclass(frozen=True)
class Call:
    """One HTTP request; `seconds` bounds it from connecting to its last byte."""

    method: str
    path: str
    params: Mapping[str, str] | None = None
    body: Body | None = None
    accept: str = "application/json"
    content_type: str = "application/json"
    seconds: float = REQUEST_SECONDS

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_write(self) -> bool:
        """Anything that may change something. A dry run counts too: the one rule is easier to be sure of."""
        return self.method != "GET"

    @property
    def may_change(self) -> bool:
        """A write that is not a dry run."""
        return self.is_write and not (self.params or {}).get("dryRun")

    @property
    def verb(self) -> str:
        """The method, or WATCH for a request whose answer goes on."""
        return "WATCH" if self.params and self.params.get("watch") else self.method

    def within(self, fence: Fence) -> "Call":
        """The same, a write with what is left of the lease as its limit. Call it right before it is sent.

        The limit goes along as `timeout`, since the API server must keep to it when this process is stopped. Ends the
        process when the lease may be another's.
        """
        if not self.is_write:
            return self
        seconds = min(self.seconds, fence.check(str(self)))
        limit = f"{math.ceil(seconds * 1000)}ms"  # never 0, which would be no limit
        return replace(self, seconds=seconds, params={**(self.params or {}), "timeout": limit})
