"""The part of the registry of reason codes that is about the certificates of Hubble."""

from cnichain.api.reasons_node import ReasonInfo, info

CERTIFICATE_REASONS: dict[str, ReasonInfo] = {
    "CertificateRenewed": info(
        "Certificates were made anew: one was near its end, its names have changed, or the CA is being replaced. The "
        "pods load them without a restart.",
        warning=False,
    ),
    "CaRotating": info(
        "The CA of Hubble's certificates is being replaced: it ends within 180 days, or the annotation "
        "`cnichain.io/rotate-ca` asked for it. First every part trusts both CAs, then every certificate is made anew.",
        "Nothing: Hubble stays reachable all the time. `status.certificates` says how far it is; a step lasts ten "
        "minutes, and longer (seven days at most) while agents or relay are not healthy. See docs/certificates.md.",
        warning=False,
    ),
    "CaRotated": info(
        "The old CA is not trusted any more, and its key is gone.",
        "Clients of your own that check Hubble's certificates: give them the new `ca.crt`.",
        warning=False,
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
