"""Primary CNIs that a chain can start from: how to find each on a node, and how Cilium chains after it.

Source of the facts: each project's installer and Cilium's chaining guides (aws-cni, azure, calico, generic-veth).
"""

from dataclasses import dataclass
from enum import StrEnum


class PrimaryPlugin(StrEnum):
    """`spec.primary.plugin`: the CNI that the cluster keeps."""

    AWS_VPC_CNI = "aws-vpc-cni"
    AZURE_CNI = "azure-cni"
    FLANNEL = "flannel"
    CALICO = "calico"
    GENERIC_VETH = "generic-veth"


@dataclass(frozen=True)
class PrimaryProfile:
    """What the agent and the renderer must know of one primary CNI.

    network: the `name` inside its conflist ("*" takes the first network that a runtime would pick).
    plugin_type: the `type` of its own plugin, None where any will do.
    chaining_mode: the `chaining-mode` of the cilium-cni entry that goes behind it.
    """

    network: str
    plugin_type: str | None
    chaining_mode: str


PROFILES: dict[PrimaryPlugin, PrimaryProfile] = {
    PrimaryPlugin.AWS_VPC_CNI: PrimaryProfile("aws-cni", "aws-cni", "aws-cni"),
    PrimaryPlugin.AZURE_CNI: PrimaryProfile("azure", "azure-vnet", "generic-veth"),
    PrimaryPlugin.FLANNEL: PrimaryProfile("cbr0", "flannel", "generic-veth"),
    PrimaryPlugin.CALICO: PrimaryProfile("k8s-pod-network", "calico", "generic-veth"),
    PrimaryPlugin.GENERIC_VETH: PrimaryProfile("*", None, "generic-veth"),
}
