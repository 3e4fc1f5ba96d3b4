"""The parts of a CNIChain's status about a change on its way over the nodes."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from cnichain.api.model import STATUS_CONFIG


class _Status(BaseModel):
    model_config = STATUS_CONFIG


class RolloutState(StrEnum):
    """Where a change is on its way over the nodes."""

    CANARY = "Canary"
    SOAKING = "Soaking"
    WAVES = "Waves"
    DONE = "Done"
    FAILED = "Failed"


class RolloutStatus(_Status):
    """A change on its way over the nodes. Kept here so that a restart of the operator does not start it anew."""

    target: str = ""
    """Digest of what every node gets: the pod templates of the agents and the spec of its CNIChainNode."""
    state: RolloutState = RolloutState.CANARY
    """Canary, then Soaking, then Waves, then Done; Failed when it stays where it is."""
    back: bool = False
    """Whether this is the way back to the last good revision."""
    soaked: bool = False
    """Whether the canary has stayed well for its time."""
    soaking_since: str = ""
    """Since when the canary is well, RFC 3339 in UTC."""
    started: str = ""
    """When the first node was to be changed."""
    progressed: str = ""
    """When a node was finished last, or a wave opened: the progress deadline runs from here."""
    wave_since: str = ""
    """When the newest wave was opened."""
    wave: int = 0
    """Waves that were opened; the canary is the first."""
    given: int = 0
    """Nodes that had the change when the newest wave was opened. As many as then: nothing of it was begun."""
    done: int = 0
    """Nodes that have the change and are verified."""
    total: int = 0
    """Nodes in scope."""
    waiting: Annotated[list[str], Field(max_length=20)] = []
    """Some of the nodes of the open wave that are not finished, and what they wait for."""
    left_behind: Annotated[list[str], Field(max_length=100)] = []
    """Nodes that have the change and are late: after the soak they hold up no other wave while there is room."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """How far it is, in words."""


class RejectedStatus(_Status):
    """A change that failed."""

    content: str = ""
    """Digest of what the spec asked for, together with the word of the annotation cnichain.io/retry."""
    cilium: str = ""
    """The Cilium that it asked for."""
    reason: Annotated[str, Field(max_length=64)] = ""
    """Reason code of what went wrong."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What went wrong, and on which nodes."""
    time: str = ""
    """When, RFC 3339 in UTC."""
    action: Annotated[str, Field(max_length=16)] = ""
    """RolledBack: the last good revision is in force. Unchained: the nodes run the primary alone. Held: it stays."""
    back_to: str = ""
    """The Cilium that was gone back to."""
