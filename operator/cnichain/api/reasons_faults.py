"""The part of the registry of reason codes that is about what the operator stands on: API server, clock, disk."""

from cnichain.api.reasons_node import ReasonInfo, info

FAULT_REASONS: dict[str, ReasonInfo] = {
    "ApiSlow": info(
        "The API server took more than five seconds for an answer. The log says so, at most once a minute; nothing is "
        "lost by it, as long as the Lease is renewed in time.",
        "Look at the API server's and etcd's latency; `cnichain_api_request_duration_seconds` shows it over time.",
    ),
    "ClockSkewed": info(
        "The operator's clock and the API server's are more than a minute apart. Until they agree again, what depends "
        "on time (certificates, soak times, deadlines, times in status) goes by the API server's.",
        "Set the clock of the operator's node right (chrony, the hypervisor's time source).",
    ),
    "FolderNotWritable": info(
        "A folder that the operator keeps charts or temporary files in cannot be written: the disk is full or "
        "read-only.",
        "Make room in the folder that the message names, or give its volume more. The operator tries again.",
    ),
    "WebhookUnavailable": info(
        "An admission webhook with `failurePolicy: Fail` does not answer, so the API server takes no write of the "
        "object.",
        "Repair the webhook that the message names, or exclude the namespace of the object from it. The operator goes "
        "on by itself.",
        passing=True,
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
