"""What is remembered of a CNIChain for good. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.rolloutstatus import RejectedStatus


@dataclass(frozen=True)
class Good:
    """A revision that every node has had, verified, after its soak. spec: what it asked for, without what says how.

    revision: its number in `status.revisions`; 0 where an older release has recorded it.
    """

    content: str
    cilium: str
    spec: Mapping[str, Any]
    time: str
    revision: int = 0


@dataclass(frozen=True)
class History:
    """What must be remembered for good. first_minor: the minor of Cilium that was installed first, "" when unknown.

    earlier: revisions that were good before `good`, the newest first, for a person who wants to go back further.
    """

    first_minor: str = ""
    good: Good | None = None
    rejected: RejectedStatus | None = None
    earlier: tuple[Good, ...] = ()
