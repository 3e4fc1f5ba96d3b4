"""Checks that ask the catalogue: do these versions and settings go together? Pure.

The catalogue holds the rules. Each check gives it the facts of one aspect alone, so that a fact that could not be read
leaves the other aspects as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cnichain.api.chain import PolicyEngine
from cnichain.api.primaries import PROFILES
from cnichain.api.reasons import Reason
from cnichain.catalogue.facts import CombinationFacts
from cnichain.catalogue.model import parse_version
from cnichain.catalogue.rules import verdicts
from cnichain.catalogue.verdict import Level as VerdictLevel
from cnichain.catalogue.verdict import Verdict
from cnichain.preflight.finding import Category, Check, Finding, Level, ok
from cnichain.preflight.gathered import known
from cnichain.preflight.primary import arguments_of, version_of
from cnichain.preflight.subject import Subject

POLICY_AGENT_CONTAINERS = ("aws-eks-nodeagent", "aws-network-policy-agent")
CALICO_NODE = "calico-node"
SHOWN = 3


@dataclass(frozen=True)
class Aspect:
    """What one check asks the catalogue about.

    facts: fields of CombinationFacts. beside: fields whose own verdicts another check gives. well: what to say when the
    catalogue has no objection.
    """

    facts: tuple[str, ...]
    well: Callable[[Subject], str]
    beside: tuple[str, ...] = ()

    def __call__(self, subject: Subject) -> Finding:
        asked = self._facts(subject, self.facts)
        others = verdicts(subject.catalogue, self._facts(subject, self.beside))
        found = [item for item in verdicts(subject.catalogue, asked) if item not in others]
        for level, means in ((VerdictLevel.REFUSED, Level.REFUSED), (VerdictLevel.UNTESTED, Level.WARNING)):
            if worst := [item for item in found if item.level is level]:
                return _finding(worst, means)
        return ok(self.well(subject))

    @staticmethod
    def _facts(subject: Subject, names: tuple[str, ...]) -> CombinationFacts:
        facts = CombinationFacts(cilium=subject.spec.cilium.version)
        return replace(facts, **{name: FACTS[name](subject) for name in names})


def _finding(worst: list[Verdict], level: Level) -> Finding:
    """One finding of verdicts of one level: the first one decides the reason, all are told."""
    more = f" And {len(worst) - SHOWN} more." if len(worst) > SHOWN else ""
    return Finding(level, worst[0].reason, " ".join(item.message for item in worst[:SHOWN]) + more, worst[0].source)


def check_release(subject: Subject) -> Finding:
    """Upstream still makes fixes for the release."""
    found = verdicts(subject.catalogue, CombinationFacts(cilium=subject.spec.cilium.version))
    about = [item for item in found if item.reason is Reason.RELEASE_UNMAINTAINED]
    return _finding(about, Level.WARNING) if about else ok(f"{subject.spec.cilium.version}.")


def _cluster_id(subject: Subject) -> int | None:
    value = subject.value("cluster.id")
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else None


def _primary_policy(subject: Subject) -> bool:
    """The VPC CNI's own policy engine: a container beside aws-node, on only when its flag says so."""
    arguments = [text for name in POLICY_AGENT_CONTAINERS for text in arguments_of(subject.primary or {}, name)]
    return "--enable-network-policy=true" in arguments


def _calico(subject: Subject) -> str | None:
    """Calico's version: the wanted one, else that of a calico-node that is there; "" when there is none."""
    if subject.spec.calico.enabled:
        return subject.spec.calico.version
    for item in known(subject.gathered.daemon_sets):
        if item.name == CALICO_NODE:
            tags = (image.rpartition(":")[2] for image in item.images)
            return next((tag.lstrip("v") for tag in tags if parse_version(tag)), None)
    return ""


def _calico_policy(subject: Subject) -> bool:
    """Calico enforces NetworkPolicy when spec says so, or when one runs that spec knows nothing of."""
    if subject.spec.calico.enabled:
        return subject.spec.policy_engine is PolicyEngine.CALICO
    return _calico(subject) != ""


def _cilium_policy(subject: Subject) -> bool:
    engine = subject.spec.policy_engine is PolicyEngine.CILIUM
    return engine and subject.value("k8sNetworkPolicy.enabled") is not False


FACTS: dict[str, Callable[[Subject], Any]] = {
    "values": lambda subject: subject.spec.cilium.values,
    "kubernetes": lambda subject: subject.kubernetes,
    "primary": lambda subject: subject.spec.primary.plugin,
    "primary_version": lambda subject: version_of(subject.primary, subject.rule.container) if subject.primary else None,
    "nodes": lambda subject: subject.nodes.systems,
    "kube_proxy_mode": lambda subject: known(subject.gathered.kube_proxy_mode),
    "chaining_mode": lambda subject: (
        subject.value("cni.chainingMode") or PROFILES[subject.spec.primary.plugin].chaining_mode
    ),
    "cluster_id": _cluster_id,
    "cilium_network_policy": _cilium_policy,
    "primary_network_policy": _primary_policy,
    "calico_network_policy": _calico_policy,
    "calico": _calico,
    "calico_dataplane": lambda subject: known(subject.gathered.calico_dataplane) or None,
    "pod_security_groups": lambda subject: subject.setting("ENABLE_POD_ENI") == "true",
}


def _kernels(subject: Subject) -> str:
    kernels = sorted({item.kernel for item in subject.nodes.systems if item.kernel})
    more = f" and {len(kernels) - 3} more" if len(kernels) > 3 else ""
    return f"in scope: {', '.join(kernels[:3]) or 'none'}{more}."


def _kube_proxy(subject: Subject) -> str:
    mode = known(subject.gathered.kube_proxy_mode)
    return "none in the cluster." if mode == "none" else f"runs in the mode {mode}."


def _check(code: str, title: str, aspect: Aspect, category: Category = Category.COMBINATION) -> Check:
    return Check(code, category, title, aspect)


COMBINATION_CHECKS = (
    Check("release", Category.COMBINATION, "release of Cilium", check_release),
    _check("values", "values of the chart", Aspect(("values",), lambda _: "no value with a known bug.")),
    _check(
        "chaining-mode",
        "chaining mode",
        Aspect(
            ("primary", "chaining_mode"),
            lambda subject: f"{FACTS['chaining_mode'](subject)}.",
            ("primary",),
        ),
    ),
    _check(
        "cluster-id",
        "cluster id",
        Aspect(("chaining_mode", "cluster_id"), lambda subject: f"{_cluster_id(subject) or 'not set'}."),
    ),
    _check(
        "kubernetes-version",
        "Kubernetes version",
        Aspect(("kubernetes",), lambda subject: f"{subject.kubernetes}."),
    ),
    _check("kernel", "kernels", Aspect(("nodes",), _kernels)),
    _check("kube-proxy", "kube-proxy", Aspect(("kube_proxy_mode",), _kube_proxy)),
    _check(
        "primary-version",
        "version of the primary",
        Aspect(
            ("primary", "primary_version"),
            lambda subject: f"{subject.spec.primary.plugin.value} {FACTS['primary_version'](subject)}.",
        ),
    ),
    _check(
        "security-group-pods",
        "pods with security groups",
        Aspect(
            ("primary", "primary_version", "pod_security_groups"),
            lambda subject: f"ENABLE_POD_ENI is {'on' if FACTS['pod_security_groups'](subject) else 'off'}.",
            ("primary", "primary_version"),
        ),
    ),
    _check(
        "policy-engines",
        "engines that enforce",
        Aspect(
            ("cilium_network_policy", "primary_network_policy", "calico_network_policy"),
            lambda subject: f"{subject.spec.policy_engine.value} alone enforces NetworkPolicy.",
        ),
        Category.POLICY,
    ),
    _check(
        "calico-dataplane",
        "data plane of Calico",
        Aspect(
            ("calico_dataplane",),
            lambda subject: f"{known(subject.gathered.calico_dataplane) or 'no Calico'}.",
        ),
        Category.POLICY,
    ),
    _check(
        "calico-version",
        "version of Calico",
        Aspect(("calico", "kubernetes"), lambda subject: f"{_calico(subject) or 'no Calico'}.", ("kubernetes",)),
        Category.POLICY,
    ),
)
