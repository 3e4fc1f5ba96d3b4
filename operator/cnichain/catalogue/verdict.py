"""What the catalogue says about a combination of parts: goes together, not tested, or refused. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cnichain.api.reasons import Reason


class Level(StrEnum):
    """How sure it is, best first."""

    SUPPORTED = "Supported"
    """Someone upstream tests it."""
    UNTESTED = "Untested"
    """Nobody is known to test it: a warning, never a reason to stop."""
    REFUSED = "Refused"
    """It is known to break the network: nothing is applied."""


@dataclass(frozen=True)
class Verdict:
    """What is known about one aspect of a combination.

    reason: code of the registry. message: one sentence with the versions at hand, ending in a full stop. source: URL
    of what the verdict rests on.
    """

    level: Level
    reason: Reason
    message: str
    source: str


def refusals(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that stand in the way."""
    return [item for item in verdicts if item.level is Level.REFUSED]


def warnings(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that a person should know of and that stop nothing."""
    return [item for item in verdicts if item.level is Level.UNTESTED]
