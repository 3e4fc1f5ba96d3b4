"""What the catalogue judges a cluster by: plain data, gathered by preflight. None means that nobody could tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.primaries import PrimaryPlugin


@dataclass(frozen=True)
class NodeSystem:
    """One kind of node. Nodes in scope that have both texts in common count as one kind.

    kernel: status.nodeInfo.kernelVersion (`5.10.226-214.880.amzn2.x86_64`). os_image: status.nodeInfo.osImage
    (`Amazon Linux 2023.6.20241212`). count: how many nodes. example: the name of one of them.
    """

    kernel: str
    os_image: str
    count: int = 1
    example: str = ""


@dataclass(frozen=True)
class CombinationFacts:
    """Everything that decides whether parts go together. Every field but `cilium` may be None: not known.

    cilium: the version that spec asks for, `1.19.6`. kubernetes: gitVersion of the API server (`v1.33.1-eks-abc`).
    primary, primary_version: the primary CNI and its version (`v1.18.5-eksbuild.1`). nodes: the kinds of nodes in
    scope. kube_proxy_mode: `iptables`, `ipvs`, `nftables`, or `none` when there is no kube-proxy. chaining_mode:
    Cilium's `cni.chainingMode` (`aws-cni`). cluster_id: Cilium's `cluster.id`. cilium_network_policy: Cilium enforces
    NetworkPolicy. primary_network_policy: the primary's own policy engine does (for the VPC CNI: its network policy
    agent runs with enforcement on). calico_network_policy: Calico does. calico: Calico's version, "" when there is
    none. calico_dataplane: `linuxDataplane` of its Installation (`Iptables`, `BPF`, `Nftables`, `VPP`).
    pod_security_groups: the VPC CNI gives pods their own security groups (ENABLE_POD_ENI). values: spec.cilium.values
    as the user wrote them.
    """

    cilium: str
    kubernetes: str | None = None
    primary: PrimaryPlugin | None = None
    primary_version: str | None = None
    nodes: tuple[NodeSystem, ...] | None = None
    kube_proxy_mode: str | None = None
    chaining_mode: str | None = None
    cluster_id: int | None = None
    cilium_network_policy: bool | None = None
    primary_network_policy: bool | None = None
    calico_network_policy: bool | None = None
    calico: str | None = None
    calico_dataplane: str | None = None
    pod_security_groups: bool | None = None
    values: Mapping[str, Any] | None = None
