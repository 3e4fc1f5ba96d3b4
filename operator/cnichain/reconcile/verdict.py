"""What one condition says. Plain data."""

from dataclasses import dataclass

from cnichain.api.reasons import Reason


@dataclass(frozen=True)
class Verdict:
    """A condition without its times."""

    status: str
    reason: Reason
    message: str
