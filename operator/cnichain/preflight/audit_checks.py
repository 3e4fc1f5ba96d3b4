"""Checks of what an auditor would take for granted: that policies are enforced, and that denials are recorded. Pure."""

from cnichain.api.chain import PolicyEngine
from cnichain.api.flowexport import ExportProfile
from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Category, Check, Finding, ok, warning
from cnichain.preflight.subject import Subject

SOURCE = "spec of the CNIChain"


def check_audit_mode(subject: Subject) -> Finding:
    """Policies are enforced, not only looked at."""
    if not subject.spec.policy_audit_mode:
        return ok("off: what a policy denies is dropped.", SOURCE)
    return warning(
        Reason.POLICY_AUDIT_MODE,
        "spec.policyAuditMode is true: Cilium lets through what its policies deny, on every node, and reports it with "
        "the verdict AUDIT.",
        SOURCE,
    )


def check_flow_export(subject: Subject) -> Finding:
    """The exported flows tell of the engine that enforces."""
    profile = subject.spec.hubble.export.profile
    of_verdicts = profile in {ExportProfile.DENIED, ExportProfile.VERDICTS}
    if of_verdicts and subject.spec.policy_engine is PolicyEngine.CALICO:
        return warning(
            Reason.FLOW_EXPORT_PARTIAL,
            f"spec.hubble.export.profile is {profile.value} and spec.policyEngine is Calico: what Calico denies is no "
            "verdict of Cilium's, so it is not exported.",
            SOURCE,
        )
    return ok(f"the profile is {profile.value}.", SOURCE)


AUDIT_CHECKS = (
    Check("policy-audit-mode", Category.POLICY, "audit mode of policies", check_audit_mode),
    Check("flow-export", Category.POLICY, "flow export", check_flow_export),
)
