"""The rules by which a catalogue judges a combination. Pure.

What is tested comes from upstream's own lists (Kubernetes minors, kernels); what is known to break are the catalogue's
pairs and traps, which are data (`match.py` says how a pair's conditions are read).
"""

from collections.abc import Iterator

from cnichain.api.reasons import Reason
from cnichain.catalogue.facts import CombinationFacts, NodeSystem
from cnichain.catalogue.match import matches
from cnichain.catalogue.model import Catalogue
from cnichain.catalogue.records import CiliumRelease, KubernetesRange, parse_minor, parse_version
from cnichain.catalogue.verdict import Level, Verdict

DOCS = "https://docs.cilium.io/en"
AWS_CNI_CI = "https://github.com/cilium/cilium/blob/main/.github/workflows/conformance-aws-cni.yaml"
SUPPORT_POLICY = "https://github.com/cilium/cilium#stable-releases"
VPC_CNI_RELEASES = "https://github.com/aws/amazon-vpc-cni-k8s/releases"
BACKPORTED_KERNEL = ".el8"
"""In the name of RHEL 8's kernels: 4.18 with parts of newer ones, which Cilium's requirements accept in some minors."""

_ORDER = {Level.REFUSED: 0, Level.UNTESTED: 1, Level.SUPPORTED: 2}


def verdicts(catalogue: Catalogue, facts: CombinationFacts) -> list[Verdict]:
    """Everything the catalogue has to say about a combination, refusals first, then what is untested.

    A fact that is not known brings no verdict, or `Untested` where not knowing is itself worth a warning. Never raises
    for a version that the catalogue does not know; `Catalogue.cilium_release` does that.
    """
    found = [
        *_release(catalogue, facts),
        *_primary(catalogue, facts),
        *_calico(catalogue, facts),
        *_pairs(catalogue, facts),
    ]
    return sorted(found, key=lambda item: _ORDER[item.level])


def _release(catalogue: Catalogue, facts: CombinationFacts) -> Iterator[Verdict]:
    release = next((item for item in catalogue.cilium if item.version == facts.cilium), None)
    if release is None:
        return
    if not release.maintained:
        yield Verdict(
            Level.UNTESTED,
            Reason.RELEASE_UNMAINTAINED,
            f"Cilium {release.minor} gets no more fixes from upstream.",
            SUPPORT_POLICY,
        )
    yield from _kubernetes(release, facts.kubernetes)
    for system in facts.nodes or ():
        yield from _kernel(release, system)


def _kubernetes(release: CiliumRelease, version: str | None) -> Iterator[Verdict]:
    minor = parse_minor(version or "")
    if minor is None:
        return
    label = f"{minor[0]}.{minor[1]}"
    whole = f"{DOCS}/v{release.minor}/network/kubernetes/compatibility/"
    for tested, who, source in (
        (release.kubernetes, f"Cilium {release.minor} is tested on", whole),
        (release.eks, f"Cilium {release.minor} behind the VPC CNI is tested on EKS", AWS_CNI_CI),
    ):
        if tested is not None and not tested.holds(minor):
            yield _untested_kubernetes(label, tested, who, source)
            return
    yield Verdict(
        Level.SUPPORTED,
        Reason.COMBINATION_SUPPORTED,
        f"Cilium {release.version} is tested on Kubernetes {label}.",
        whole,
    )


def _untested_kubernetes(label: str, tested: KubernetesRange, who: str, source: str) -> Verdict:
    return Verdict(
        Level.UNTESTED, Reason.KUBERNETES_UNTESTED, f"{who} {tested}; the cluster runs Kubernetes {label}.", source
    )


def _kernel(release: CiliumRelease, system: NodeSystem) -> Iterator[Verdict]:
    kernel, oldest = parse_minor(system.kernel), parse_minor(release.kernel)
    if kernel is None or oldest is None:
        return
    source = f"{DOCS}/v{release.minor}/operations/system_requirements/"
    if kernel >= oldest:
        yield Verdict(
            Level.SUPPORTED,
            Reason.COMBINATION_SUPPORTED,
            f"Linux {system.kernel} is new enough for Cilium {release.version}.",
            source,
        )
        return
    where = f"{_nodes(system)} with Linux {system.kernel}"
    if BACKPORTED_KERNEL in system.kernel:
        said = f"{where}: Cilium {release.minor} asks for {release.kernel}, or a vendor's kernel with the same parts."
        yield Verdict(Level.UNTESTED, Reason.KERNEL_UNTESTED, said, source)
        return
    yield Verdict(
        Level.REFUSED,
        Reason.KERNEL_TOO_OLD,
        f"{where}: Cilium {release.minor} needs {release.kernel} or newer.",
        source,
    )


def _primary(catalogue: Catalogue, facts: CombinationFacts) -> Iterator[Verdict]:
    """Traps of the primary's version. `check_primary` of preflight refuses what is too old."""
    rule = catalogue.primaries.get(facts.primary) if facts.primary else None
    version = parse_version(facts.primary_version or "")
    if rule is None or version is None or facts.primary is None:
        return
    name = f"{facts.primary.value} {facts.primary_version}"
    newest = parse_version(rule.newest or "")
    if newest is not None and version > newest:
        yield Verdict(
            Level.UNTESTED,
            Reason.PRIMARY_UNTESTED,
            f"{name} is newer than {rule.newest}, the newest that this catalogue knows.",
            VPC_CNI_RELEASES,
        )
    for trap in rule.traps:
        if trap.covers(version):
            yield Verdict(trap.level, Reason.KNOWN_TRAP, f"{name}: {trap.text}", trap.source)


def _calico(catalogue: Catalogue, facts: CombinationFacts) -> Iterator[Verdict]:
    version = parse_version(facts.calico or "")
    if version is None:
        return
    text = ".".join(map(str, version))
    release = next((item for item in catalogue.calico if item.version == text), None)
    if release is None:
        yield Verdict(
            Level.UNTESTED,
            Reason.CALICO_UNTESTED,
            f"Calico {text} is not in the catalogue, so nothing is known of it beside Cilium.",
            "https://docs.tigera.io/calico/latest/getting-started/kubernetes/requirements",
        )
        return
    minor = parse_minor(facts.kubernetes or "")
    if minor is not None and not release.kubernetes.holds(minor):
        said = f"Calico {text} is tested on"
        yield _untested_kubernetes(f"{minor[0]}.{minor[1]}", release.kubernetes, said, release.kubernetes_source)
    for trap in release.traps:
        yield Verdict(trap.level, Reason.KNOWN_TRAP, f"Calico {text}: {trap.text}", trap.source)


def _pairs(catalogue: Catalogue, facts: CombinationFacts) -> Iterator[Verdict]:
    for pair in catalogue.pairs:
        answer = matches(pair.when, facts)
        if answer.holds:
            at = f" ({', '.join(answer.where)})" if answer.where else ""
            yield Verdict(pair.level, pair.reason, f"{pair.text}{at}.", pair.source)
        elif answer.holds is None and pair.when_unknown:
            yield Verdict(Level.UNTESTED, pair.reason, f"{pair.when_unknown}.", pair.source)


def _nodes(system: NodeSystem) -> str:
    name = system.example or "a node"
    return name if system.count <= 1 else f"{name} and {system.count - 1} more"
