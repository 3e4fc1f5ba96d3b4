"""Checks of the primary CNI and its settings. Pure.

Sources: the VPC CNI's README and its issues, Cilium's chaining guide for it, the AWS user guide ("Alternate CNI
plugins for Amazon EKS clusters").
"""

from cnichain.api.errors import ChainError
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Category, Check, Finding, Level, ok, refused, warning
from cnichain.preflight.gathered import known
from cnichain.preflight.primary import check_primary, environment_of
from cnichain.preflight.subject import Subject

AUTO_MODE = "Auto Mode"
INIT_CONTAINER = "aws-vpc-cni-init"
POD_IDENTITY_AGENT = "eks-pod-identity-agent"


def check_auto_mode(subject: Subject) -> Finding:
    """EKS Auto Mode has a CNI of its own that nothing can be chained after."""
    count = subject.nodes.out_of_scope.get(AUTO_MODE, 0)
    if not count:
        return ok("no node is run by it.", "label eks.amazonaws.com/compute-type")
    if subject.primary is None or count == subject.nodes.total:
        return refused(
            Reason.EKS_AUTO_MODE,
            f"EKS Auto Mode runs {count} of {subject.nodes.total} nodes"
            + (f", and there is no {subject.where}." if subject.primary is None else "."),
            "label eks.amazonaws.com/compute-type",
        )
    return ok(f"EKS Auto Mode runs {count} of {subject.nodes.total} nodes; they are left out.")


def check_present(subject: Subject) -> Finding:
    """The primary is there, and new enough."""
    try:
        version = check_primary(subject.rule, subject.spec, subject.primary)
    except ChainError as error:
        return Finding(Level.REFUSED, error.reason, error.message, subject.where)
    return ok(f"{subject.spec.primary.plugin.value} {version}.", subject.where)


def check_ip_family(subject: Subject) -> Finding:
    """Cilium handles the address family that the primary gives pods."""
    if subject.setting("ENABLE_IPv6") != "true":
        return ok("pods have IPv4 addresses.", subject.where)
    if subject.value("ipv6.enabled") is True:
        return ok("pods have IPv6 addresses, and ipv6.enabled is set.", subject.where)
    return refused(
        Reason.IPV6_NOT_ENABLED,
        f"{subject.where} has ENABLE_IPv6=true, so pods have IPv6 addresses, which Cilium drops without ipv6.enabled.",
        subject.where,
    )


def check_egress(subject: Subject) -> Finding:
    """No second interface carries a pod's traffic past Cilium."""
    ipv6 = subject.setting("ENABLE_IPv6") == "true"
    # The VPC CNI's own defaults: V4 egress is on in IPv6 clusters, V6 egress is off.
    if ipv6 and subject.setting("ENABLE_V4_EGRESS") != "false":
        family, name = "IPv4", "ENABLE_V4_EGRESS"
    elif not ipv6 and subject.setting("ENABLE_V6_EGRESS") == "true":
        family, name = "IPv6", "ENABLE_V6_EGRESS"
    else:
        return ok("none.", subject.where)
    return warning(
        Reason.EGRESS_INTERFACE_UNMANAGED,
        f"{subject.where} has {name} on: pods reach {family} through a second interface, which Cilium does not see.",
        subject.where,
    )


def check_veth_prefix(subject: Subject) -> Finding:
    """The primary names its interfaces as Cilium expects them."""
    prefix = subject.setting("AWS_VPC_K8S_CNI_VETHPREFIX") or "eni"
    if prefix == "eni":
        return ok("eni*.", subject.where)
    message = f"{subject.where} has AWS_VPC_K8S_CNI_VETHPREFIX={prefix}; Cilium's rules for pod routes match eni*"
    if subject.value("endpointRoutes.enabled") is True:
        return refused(
            Reason.VETH_PREFIX_CHANGED, f"{message}, and spec.cilium.values has endpointRoutes.enabled.", subject.where
        )
    return warning(Reason.VETH_PREFIX_CHANGED, f"{message} alone.", subject.where)


def check_strict_mode(subject: Subject) -> Finding:
    """The primary's own policy agent does not close new pods first."""
    if subject.setting("NETWORK_POLICY_ENFORCING_MODE") != "strict":
        return ok("new pods are not closed by the VPC CNI.", subject.where)
    return warning(
        Reason.PRIMARY_POLICY_STRICT,
        f"{subject.where} has NETWORK_POLICY_ENFORCING_MODE=strict: a new pod is closed until its own policy agent "
        "opens it, whatever Cilium's policies say.",
        subject.where,
    )


def check_early_demux(subject: Subject) -> Finding:
    """The kubelet reaches pods with security groups of their own."""
    mode = subject.setting("POD_SECURITY_GROUP_ENFORCING_MODE") or "strict"
    if subject.setting("ENABLE_POD_ENI") != "true" or mode != "strict":
        return ok("no pod has a branch interface that only its own security group opens.", subject.where)
    early = environment_of(subject.primary or {}, INIT_CONTAINER).get("DISABLE_TCP_EARLY_DEMUX", "false").lower()
    if early == "true":
        return ok("DISABLE_TCP_EARLY_DEMUX is true.", subject.where)
    return warning(
        Reason.EARLY_DEMUX_ON,
        f"{subject.where} has ENABLE_POD_ENI=true in the mode strict, and DISABLE_TCP_EARLY_DEMUX is not true in its "
        f"container {INIT_CONTAINER}.",
        subject.where,
    )


def check_pod_identity(subject: Subject) -> Finding:
    """What to know of EKS Pod Identity."""
    found = [item for item in known(subject.gathered.daemon_sets) if item.name.startswith(POD_IDENTITY_AGENT)]
    if not found:
        return ok("not in use.")
    return warning(
        Reason.POD_IDENTITY_AGENT,
        f"{found[0]} serves credentials on the host at 169.254.170.23 port 80: an egress policy that does not allow "
        "the entity host there cuts pods off from them.",
        str(found[0]),
    )


def _aws_only(check: Check) -> Check:
    """The same, but only where the VPC CNI is the primary."""

    def run(subject: Subject) -> Finding:
        if subject.spec.primary.plugin is PrimaryPlugin.AWS_VPC_CNI:
            return check.run(subject)
        return ok(f"not about {subject.spec.primary.plugin.value}.")

    return Check(check.code, check.category, check.title, run)


PRIMARY_CHECKS = (
    Check("eks-auto-mode", Category.PRIMARY, "EKS Auto Mode", check_auto_mode),
    Check("primary", Category.PRIMARY, "presence and version", check_present),
)
"""The two that everything else rests on."""
SETTING_CHECKS = tuple(
    _aws_only(check)
    for check in (
        Check("ip-family", Category.PRIMARY, "address family", check_ip_family),
        Check("egress-interface", Category.PRIMARY, "second interfaces", check_egress),
        Check("veth-prefix", Category.PRIMARY, "names of interfaces", check_veth_prefix),
        Check("early-demux", Category.PRIMARY, "probes of pods with security groups", check_early_demux),
        Check("pod-identity", Category.PRIMARY, "EKS Pod Identity", check_pod_identity),
        Check("strict-mode", Category.POLICY, "policy mode of the VPC CNI", check_strict_mode),
    )
)
