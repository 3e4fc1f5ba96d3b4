"""What a check is and what it says. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cnichain.api.reasons import REASONS, Reason
from cnichain.preflight.subject import Subject


class Level(StrEnum):
    """What a finding means for a change: only `refused` stands in its way."""

    OK = "ok"
    WARNING = "warning"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It could not be looked at, as when a read is forbidden."""


class Category(StrEnum):
    """Checks are shown by category, in this order."""

    SPEC = "spec"
    PRIMARY = "primary CNI"
    NODES = "nodes"
    COMBINATION = "versions that go together"
    CHAIN = "other parts of the chain"
    POLICY = "policy engines"
    OWNERSHIP = "other installations"
    CLUSTER = "cluster"


@dataclass(frozen=True)
class Finding:
    """What one check says.

    message: what is so and where, one or two sentences. source: what was looked at, or a URL that the rule rests on.
    """

    level: Level
    reason: Reason
    message: str
    source: str = ""

    @property
    def fix(self) -> str:
        """What to do about it, from the registry of reasons; empty when nothing is wrong."""
        return "" if self.level is Level.OK else REASONS[self.reason].fix


def ok(message: str, source: str = "") -> Finding:
    """Nothing stands in the way."""
    return Finding(Level.OK, Reason.PREFLIGHT_PASSED, message, source)


def warning(reason: Reason, message: str, source: str = "") -> Finding:
    """A person should know of it; it stops nothing."""
    return Finding(Level.WARNING, reason, message, source)


def refused(reason: Reason, message: str, source: str = "") -> Finding:
    """It would break the network, so nothing is applied."""
    return Finding(Level.REFUSED, reason, message, source)


@dataclass(frozen=True)
class Check:
    """One independent look at the gathered facts. code: its name, kebab-case, never renamed.

    category: what it is shown under; of preflight, a Category.
    """

    code: str
    category: StrEnum
    title: str
    run: Callable[[Subject], Finding]


@dataclass(frozen=True)
class Result:
    """A check and what it says."""

    check: Check
    finding: Finding
