"""The one error that the product shows to people: a reason code and a message that says what, where and what next."""

from cnichain.api.reasons import REASONS, Reason


class ChainError(Exception):
    """Something stands between the spec and the cluster.

    reason: code from the registry; it decides whether the condition Stalled is set (`terminal`).
    message: what is wrong and where, in one or two sentences; never holds a secret.
    retry_after: seconds after which another try makes sense; None leaves it to the caller's backoff.
    """

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def terminal(self) -> bool:
        """True when trying again cannot help: a person must change something."""
        return REASONS[self.reason].terminal

    @property
    def fix(self) -> str:
        """What the reader should do next."""
        return REASONS[self.reason].fix
