"""What a pass tells its caller."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """ready: everything is as spec asks for. again: seconds until the next look at the latest, None for the resync.

    failed: the pass met an error, so that the caller backs off. gone: there is no CNIChain of that name (any more).
    """

    ready: bool
    again: float | None = None
    failed: bool = False
    gone: bool = False
