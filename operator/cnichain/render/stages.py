"""The order in which rendered objects go to the cluster: in stages, each proven before the next. Pure.

cilium-operator registers the CRDs that cilium-agent waits for (and gives up on after five minutes), so it comes first;
Hubble's relay and UI need agents that answer. Calico comes last, since it takes enforcement over from a Cilium that
works: its CRDs, tigera-operator, and the Installation that tells it what to do.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from cnichain.catalogue.model import CiliumRelease
from cnichain.render.manifests import Manifest, sorted_by_kind


class Stage(StrEnum):
    """Stages in order."""

    CONFIG = "config"
    OPERATOR = "operator"
    AGENTS = "agents"
    HUBBLE = "hubble"
    CALICO_CRDS = "calico-crds"
    CALICO_OPERATOR = "calico-operator"
    CALICO = "calico"


def stage_order(*, backwards: bool) -> list[Stage]:
    """The stages in order. backwards: to an older Cilium, whose operator must not come before the agents that a newer
    one has looked after (the order of OpenShift's cluster-network-operator, nodes and control plane swapped)."""
    order = list(Stage)
    if backwards:
        agents, operator = order.index(Stage.AGENTS), order.index(Stage.OPERATOR)
        order[agents], order[operator] = Stage.OPERATOR, Stage.AGENTS
    return order


CALICO_STAGES = (Stage.CALICO_CRDS, Stage.CALICO_OPERATOR, Stage.CALICO)
"""Stages that are empty unless `spec.calico.enabled`."""


CONFIG_KINDS = frozenset(
    {
        "Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role",
        "RoleBinding", "ConfigMap", "Secret",
    }
)  # fmt: skip
"""Kinds that the first stage takes whomever they are for: nothing starts by them, and everything needs them."""
WORKLOAD_KINDS = frozenset({"DaemonSet", "Deployment", "StatefulSet", "Job", "CronJob"})


def stage_of(item: Manifest) -> Stage:
    """The stage of an object, by kind and by whose it is.

    Workloads of neither cilium-operator nor Hubble go with the agents: some of the chart's DaemonSets need them.
    """
    if item.kind in CONFIG_KINDS:
        return Stage.CONFIG
    if item.name.startswith("cilium-operator"):
        return Stage.OPERATOR
    if item.name.startswith("hubble-"):
        return Stage.HUBBLE
    return Stage.AGENTS if item.kind in WORKLOAD_KINDS else Stage.CONFIG


def by_stage(items: Iterable[Manifest]) -> Mapping[Stage, tuple[Manifest, ...]]:
    """All objects by stage, every stage present, each in order of application."""
    everything = tuple(items)
    return {stage: tuple(sort_stage(item for item in everything if stage_of(item) is stage)) for stage in Stage}


def sort_stage(items: Iterable[Manifest]) -> list[Manifest]:
    """The objects of a stage in order of application; the same order for the same objects."""
    return sorted_by_kind(items)


def cilium_crds(release: CiliumRelease) -> tuple[str, ...]:
    """Names of the CRDs that must be established between the stages `operator` and `agents`."""
    return release.crds
