"""The part of the registry of reason codes that is about what an audit asks for."""

from cnichain.api.reasons_node import ReasonInfo, info

AUDIT_REASONS: dict[str, ReasonInfo] = {
    "PolicyAuditMode": info(
        "`spec.policyAuditMode` is true: no policy of Cilium's is enforced on any node. Denied traffic gets through, "
        "and is reported with the verdict AUDIT.",
        "Look at what would be denied (`hubble observe --verdict AUDIT`, docs/policies.md), then set it to false. The "
        "change restarts the agents wave by wave.",
    ),
    "FlowExportPartial": info(
        "Flows are exported by Cilium's verdicts, but Calico enforces NetworkPolicy, and its denials are none of them.",
        "Choose the profile `all`, or take Calico's own flow logs for an audit of denials.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
