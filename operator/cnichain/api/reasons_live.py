"""The part of the registry of reason codes that `cnichain check` finds by itself, beside the conditions."""

from cnichain.api.reasons_node import ReasonInfo, info

LIVE_REASONS: dict[str, ReasonInfo] = {
    "OperatorNotRunning": info(
        "No operator holds the Lease, or its holder has not renewed it for a while: nothing is put right and no change "
        "goes on. The chain on the nodes stays as it is.",
        "`kubectl -n cnichain-system get deployment,pods` and the log of the operator's pods tell why.",
    ),
    "NodeAgentNotReady": info(
        "The DaemonSet cnichain-agent has fewer ready pods than nodes: nobody guards the conflist on the others.",
        "`kubectl -n cnichain-system get pods -o wide` and the log of the pods that are not ready tell why.",
    ),
    "CertificateExpiring": info(
        "A certificate of Hubble's ends within 14 days, or has ended. The operator renews one 30 days before its end, "
        "so it does not come to it: it is away, paused for long, or may not write the Secret.",
        "See `cnichain check --category operator`; the log of the operator tells what it could not do. Where a CA is "
        "being replaced, docs/certificates.md says what each step waits for.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
