"""Checks of what else writes into the chain, or owns parts of it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from cnichain.api.names import CILIUM_NAMESPACE, PREPULL_DAEMON_SET
from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Category, Check, Finding, ok, refused, warning
from cnichain.preflight.gathered import DaemonSetSeen, Named, known
from cnichain.preflight.subject import Subject

PLUGINS_OF_THE_CHAIN = frozenset(
    ("aws-cni", "egress-cni", "egress-v4-cni", "portmap", "bandwidth", "tuning", "firewall", "loopback", "cilium-cni")
)
"""Plugin types that the primary, its options or Cilium bring."""
CILIUM = "cilium"
SHOWN = 3


@dataclass(frozen=True)
class Chainer:
    """A program that writes into the CNI folder. image: a part of its image's name. know: what to know of it."""

    code: str
    title: str
    image: str
    name: str
    reason: Reason
    know: str

    def __call__(self, subject: Subject) -> Finding:
        found = [item for item in known(subject.gathered.daemon_sets) if self._is(item)]
        if not found:
            return ok("not in the cluster.")
        return warning(self.reason, f"{found[0]}: {self.know}", str(found[0]))

    def _is(self, item: DaemonSetSeen) -> bool:
        return item.name == self.name or any(self.image in image for image in item.images)


CHAINERS = (
    Chainer(
        "multus",
        "Multus",
        "multus-cni",
        "kube-multus-ds",
        Reason.MULTUS_PRESENT,
        "its 00-multus.conf sorts first and delegates to the file that sorts next; only the default interface of a pod "
        "is Cilium's.",
    ),
    Chainer(
        "istio-cni",
        "Istio CNI",
        "install-cni",
        "istio-cni-node",
        Reason.ISTIO_CNI_PRESENT,
        "it adds itself to the first conflist, or owns 02-istio-cni.conflist, which then stands before the chain.",
    ),
    Chainer(
        "linkerd-cni",
        "Linkerd CNI",
        "linkerd/cni-plugin",
        "linkerd-cni",
        Reason.LINKERD_CNI_PRESENT,
        "it adds itself to every conflist, the primary's and the chained one.",
    ),
    Chainer(
        "kuma-cni",
        "Kuma CNI",
        "kumahq/kuma-cni",
        "kuma-cni-node",
        Reason.KUMA_CNI_PRESENT,
        "it adds itself to the conflist that sorts first.",
    ),
)


def _named(items: tuple[Named, ...]) -> str:
    shown = "; ".join(
        f"{item.name} on {item.count} node{'s' if item.count > 1 else ''}, as on {item.example}"
        for item in items[:SHOWN]
    )
    return shown + (f"; and {len(items) - SHOWN} more" if len(items) > SHOWN else "")


def _of_reports(
    reason: Reason, pick: Callable[[Subject], tuple[Named, ...]], wrong: str, well: str
) -> Callable[[Subject], Finding]:
    """A check of what the agents report of their nodes."""

    def run(subject: Subject) -> Finding:
        if not subject.reports.reporting:
            return ok("no agent has reported yet; each looks before it writes.", "CNIChainNodes")
        found = pick(subject)
        return warning(reason, wrong.format(_named(found)), "CNIChainNodes") if found else ok(well, "CNIChainNodes")

    return run


def _foreign_plugins(subject: Subject) -> tuple[Named, ...]:
    return tuple(item for item in subject.reports.plugins if item.name not in PLUGINS_OF_THE_CHAIN)


def _ciliums(subject: Subject) -> list[DaemonSetSeen]:
    return [item for item in known(subject.gathered.daemon_sets) if _is_cilium(item)]


def _is_cilium(item: DaemonSetSeen) -> bool:
    """cilium-agent's own DaemonSet, by its name or its image (quay.io/cilium/cilium:v1.17.3@sha256:...)."""
    if item.name == PREPULL_DAEMON_SET and item.owned:
        return False  # it pulls the image of the agents, and runs nothing of it
    images = (image.partition("@")[0].rsplit(":", 1)[0] for image in item.images)
    return item.name == CILIUM or any(image.endswith("/cilium/cilium") for image in images)


def check_one_cilium(subject: Subject) -> Finding:
    """No other Cilium works on the same nodes."""
    others = [str(item) for item in _ciliums(subject) if (item.namespace, item.name) != (CILIUM_NAMESPACE, CILIUM)]
    others = [text for text in others if not text.endswith("/cilium-node-init")]
    if not others:
        return ok("none.")
    return refused(
        Reason.SECOND_CILIUM,
        f"{', '.join(others[:SHOWN])} runs cilium-agent, and two agents on a node destroy each other's state.",
        others[0],
    )


def check_owner(subject: Subject) -> Finding:
    """Cilium's DaemonSet, if there is one, is ours; else who installed it."""
    here = [item for item in _ciliums(subject) if (item.namespace, item.name) == (CILIUM_NAMESPACE, CILIUM)]
    if not here:
        return ok("not installed yet.")
    if here[0].owned:
        return ok("CNIChain.", str(here[0]))
    by = f"Helm release {here[0].helm_release}" if here[0].helm_release else "another installation"
    managers = f" (field managers: {', '.join(here[0].managers[:SHOWN])})" if here[0].managers else ""
    return warning(Reason.CILIUM_OF_OTHERS, f"{here[0]} belongs to {by}{managers}.", str(here[0]))


def check_helm_release(subject: Subject) -> Finding:
    """No Helm release still counts our objects as its own."""
    for item in _ciliums(subject):
        if item.owned and item.helm_release:
            return warning(
                Reason.HELM_RELEASE_REMAINS,
                f"{item} is CNIChain's, and still carries the annotations of the Helm release {item.helm_release}: "
                "`helm uninstall` of it would delete what runs now.",
                str(item),
            )
    return ok("none counts the chain's objects as its own.")


def check_tigera_operators(subject: Subject) -> Finding:
    """At most one tigera-operator: of two, one exits for ever."""
    operators, active = known(subject.gathered.tigera_operators), known(subject.gathered.active_operator)
    source = "Deployments with k8s-app=tigera-operator, ConfigMap calico-system/active-operator"
    if len(operators) > 1:
        told = f" The ConfigMap active-operator lets the one in {active} work." if active else ""
        return refused(
            Reason.TWO_TIGERA_OPERATORS,
            f"tigera-operator is installed twice: {', '.join(operators[:SHOWN])}.{told}",
            source,
        )
    if operators and active and operators[0].partition("/")[0] != active:
        return refused(
            Reason.TWO_TIGERA_OPERATORS,
            f"the ConfigMap calico-system/active-operator names the namespace {active}, so the tigera-operator "
            f"{operators[0]} never works.",
            source,
        )
    return ok(f"{operators[0] if operators else 'none'}.", source)


CHAIN_CHECKS = (
    *(Check(item.code, Category.CHAIN, item.title, item) for item in CHAINERS),
    Check(
        "effective-file",
        Category.CHAIN,
        "files before the chain",
        _of_reports(
            Reason.FOREIGN_CONFLIST,
            lambda subject: subject.reports.effective_files,
            "another file is the one that the runtime picks: {}.",
            "runtimes pick the primary's file or the chained one.",
        ),
    ),
    Check(
        "foreign-plugins",
        Category.CHAIN,
        "plugins of others",
        _of_reports(
            Reason.FOREIGN_PLUGIN,
            _foreign_plugins,
            "plugins that neither the primary nor Cilium bring: {}.",
            "every plugin is the primary's or Cilium's.",
        ),
    ),
    Check(
        "drop-ins",
        Category.CHAIN,
        "drop-in files",
        _of_reports(
            Reason.CONFLIST_DROP_INS,
            lambda subject: subject.reports.drop_ins,
            "containerd 2.1 and later append these to the chain: {}.",
            "none.",
        ),
    ),
    Check("tigera-operators", Category.OWNERSHIP, "tigera-operator", check_tigera_operators),
    Check("second-cilium", Category.OWNERSHIP, "Cilium elsewhere", check_one_cilium),
    Check("cilium-owner", Category.OWNERSHIP, "owner of Cilium", check_owner),
    Check("helm-release", Category.OWNERSHIP, "Helm releases", check_helm_release),
)
