"""Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds."""

from datetime import UTC, datetime

from cnichain.api.clock import now


def rfc3339(moment: datetime) -> str:
    """A time with a zone as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_now() -> str:
    """Now as text."""
    return rfc3339(now())


def parse_rfc3339(text: str) -> datetime | None:
    """The time in a text; None when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
