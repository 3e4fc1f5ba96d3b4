"""What an answer of the API server means for a reader: each kind of refusal has a reason code of its own."""

import pytest

from cnichain.api.reasons import REASONS, Reason
from cnichain.kube.errors import ApiError

INVALID = 'DaemonSet.apps "cilium" is invalid: spec.selector: Invalid value: field is immutable'
DENIED_BY_WEBHOOK = 'admission webhook "policy.example.com" denied the request: hostNetwork is not allowed'
DENIED_BY_POLICY = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no host network"
WEBHOOK_AWAY = 'Internal error occurred: failed calling webhook "policy.example.com": failed to call webhook: EOF'
STALE = "failed to create typed patch object: .spec.new: field not declared in schema"


@pytest.mark.parametrize(
    ("status", "name", "message", "reason"),
    [
        (422, "Invalid", INVALID, Reason.APPLY_REJECTED),
        (400, "BadRequest", "strict decoding error: unknown field", Reason.APPLY_REJECTED),
        (409, "Conflict", "the object has been modified", Reason.APPLY_REJECTED),
        (500, "InternalError", DENIED_BY_WEBHOOK, Reason.APPLY_REJECTED),
        (500, "InternalError", WEBHOOK_AWAY, Reason.WEBHOOK_UNAVAILABLE),
        (500, "InternalError", "etcdserver: request timed out", Reason.API_UNAVAILABLE),
        (403, "Forbidden", DENIED_BY_WEBHOOK, Reason.APPLY_REJECTED),
        (403, "Forbidden", DENIED_BY_POLICY, Reason.APPLY_REJECTED),
        (403, "Forbidden", 'pods "x" is forbidden: exceeded quota: small, requested: pods=1', Reason.APPLY_REJECTED),
        (403, "Forbidden", 'daemonsets.apps is forbidden: User "x" cannot patch', Reason.ACCESS_DENIED),
        (401, "Unauthorized", "Unauthorized", Reason.ACCESS_DENIED),
        (500, "", STALE, Reason.SCHEMA_STALE),
        (404, "NotFound", "the server could not find the requested resource", Reason.KIND_NOT_SERVED),
        (404, "NotFound", 'namespaces "cilium-secrets" not found', Reason.APPLY_REJECTED),
        (503, "ServiceUnavailable", "apiserver is shutting down", Reason.API_UNAVAILABLE),
        (429, "TooManyRequests", "too many requests", Reason.API_UNAVAILABLE),
        (0, "", "Connection refused", Reason.API_UNAVAILABLE),
    ],
)
def test_an_answer_becomes_a_reason_that_names_step_and_words(
    status: int, name: str, message: str, reason: Reason
) -> None:
    error = ApiError(status, name, message, request="PATCH /x").as_chain_error("apply DaemonSet kube-system/cilium")
    assert error.reason is reason
    assert error.message.startswith("apply DaemonSet kube-system/cilium: ")
    if reason is not Reason.KIND_NOT_SERVED:
        assert message in error.message, "the server's own words are carried over"


def test_what_the_server_asks_for_is_handed_on() -> None:
    busy = ApiError(429, "TooManyRequests", "too many requests", request="GET /x", retry_after=7.0)
    assert busy.as_chain_error("look").retry_after == 7.0
    assert "is too busy (429)" in busy.as_chain_error("look").message


def test_what_may_end_by_itself_is_no_end() -> None:
    assert not REASONS[Reason.API_UNAVAILABLE].terminal
    assert not REASONS[Reason.APPLY_REJECTED].terminal, "a webhook may let it through later"
