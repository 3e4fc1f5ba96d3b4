"""Errors of the Kubernetes API, and what each kind means for the caller."""

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason

NOT_OF_PERMISSIONS = ("admission webhook", "denied request", "exceeded quota", "violates PodSecurity")
"""Words of a 403 that comes from admission: a webhook, a ValidatingAdmissionPolicy, a quota, Pod Security."""


class ApiError(Exception):
    """The API server refused or failed a request, or could not be reached.

    status: the HTTP status; 0 when there was no answer.
    reason: the server's machine-readable reason (`NotFound`, `Conflict`, `Invalid`, `Expired`...).
    message: the server's own words.
    """

    def __init__(self, status: int, reason: str, message: str, *, request: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{request}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.request = request
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """True when the same request may succeed later without anyone changing anything."""
        if self.status == 500 and ("admission webhook" in self.message or self.stale_schema):
            return False
        if self.webhook_away:
            return False  # it may pass as well, but each try waits for the webhook's own time limit
        return self.status in {0, 408, 429, 500, 502, 503, 504} or self.reason in {"Timeout", "ServerTimeout"}

    @property
    def stale_schema(self) -> bool:
        """True when the CustomResourceDefinition in the cluster does not know a field; the server answers 500."""
        return "failed to create typed patch object" in self.message and "not declared in schema" in self.message

    @property
    def webhook_away(self) -> bool:
        """True when an admission webhook that has to agree could not be asked; the server answers 500."""
        return self.status == 500 and "failed calling webhook" in self.message

    @property
    def not_served(self) -> bool:
        """True when there is no such kind (any more); an object or namespace that is missing is told apart."""
        return self.status == 404 and ("page not found" in self.message or "requested resource" in self.message)

    @property
    def expired(self) -> bool:
        """True when a watch must start again from a new list (410 Gone)."""
        return self.status == 410

    @property
    def _trouble(self) -> str:
        """What ails the server, of an error that is transient."""
        if self.status == 429:
            return "is too busy (429)"
        return f"failed ({self.status})" if self.status else "does not answer"

    def as_chain_error(self, doing: str) -> ChainError:
        """The same for people; `doing` names the step ("apply DaemonSet kube-system/cilium")."""
        if self.status == 401:
            words = "the API server does not take the operator's token (401)"
            return ChainError(Reason.ACCESS_DENIED, f"{doing}: {words}: {self.message}")
        if self.status == 403 and not any(words in self.message for words in NOT_OF_PERMISSIONS):
            return ChainError(Reason.ACCESS_DENIED, f"{doing}: the API server denied it: {self.message}")
        if self.webhook_away:
            return ChainError(Reason.WEBHOOK_UNAVAILABLE, f"{doing}: {self.message}")
        if self.stale_schema:
            return ChainError(Reason.SCHEMA_STALE, f"{doing}: {self.message}")
        if self.not_served:
            return ChainError(Reason.KIND_NOT_SERVED, f"{doing}: the API server does not serve this kind (any more).")
        if self.transient:
            words = f"the API server {self._trouble}: {self.message}"
            return ChainError(Reason.API_UNAVAILABLE, f"{doing}: {words}", retry_after=self.retry_after or None)
        return ChainError(Reason.APPLY_REJECTED, f"{doing}: the API server refused it: {self.message}")
