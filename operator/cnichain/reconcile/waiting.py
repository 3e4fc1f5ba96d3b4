"""How long something has been waited for: kept in status, so that a restart of the operator does not start it anew.

Model: the hang timer of OpenShift's cluster-network-operator (pkg/controller/statusmanager/pod_status.go), which keeps
the last state of a rollout in an annotation.
"""

from datetime import datetime, timedelta

from cnichain.api.chainstatus import WaitingStatus
from cnichain.api.times import parse_rfc3339, rfc3339

MAX_TEXT = 1024


def noted(before: WaitingStatus | None, waiting_for: str, now: datetime) -> WaitingStatus | None:
    """What is waited for now, and since when it is that; None when nothing is. Other words are progress."""
    if not waiting_for:
        return None
    text = waiting_for[:MAX_TEXT]
    if before is not None and before.what == text and _age(before, now) is not None:
        return before
    return WaitingStatus(what=text, since=rfc3339(now))


def is_overdue(waiting: WaitingStatus | None, deadline: timedelta, now: datetime) -> bool:
    """Whether it has been waited for longer than the deadline."""
    age = _age(waiting, now) if waiting else None
    return age is not None and age > deadline


def _age(waiting: WaitingStatus, now: datetime) -> timedelta | None:
    """None when the time cannot be right: not one, or one to come (a clock was set back)."""
    since = parse_rfc3339(waiting.since)
    return now - since if since is not None and since <= now else None
