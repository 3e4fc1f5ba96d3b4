"""What is remembered of a CNIChain for good. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.rolloutstatus import RejectedStatus


@dataclass(frozen=True)
class Good:
    """A revision that every node has had, verified, after its soak. spec: what it asked for, without what says how."""

    content: str
    cilium: str
    spec: Mapping[str, Any]
    time: str


@dataclass(frozen=True)
class History:
    """What must be remembered for good. first_minor: the minor of Cilium that was installed first, "" when unknown."""

    first_minor: str = ""
    good: Good | None = None
    rejected: RejectedStatus | None = None
