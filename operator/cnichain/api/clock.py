"""The wall clock that decisions go by: this machine's, put right where the API server's says something else.

A clock that jumps would otherwise renew every certificate, end each soak and fail a rollout for being late. How far the
two are apart is found by kube/standing.py; waits within the process go by the monotonic clock and need none of this.
"""

from datetime import UTC, datetime, timedelta

_NONE = timedelta()
_correction = _NONE


def now() -> datetime:
    """The present, with a zone."""
    return datetime.now(UTC) + _correction


def correct(by: timedelta) -> None:
    """Go by another clock from here on, for the whole process: the machine's, and this much on top of it."""
    global _correction  # noqa: PLW0603 - there is one present, and a dozen places that ask for it
    _correction = by
