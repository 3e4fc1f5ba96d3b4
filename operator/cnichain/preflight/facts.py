"""What a render must know of the cluster: read once per pass, then passed on as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterFacts:
    """The cluster as helm and the checks see it.

    kubernetes_version: gitVersion of the API server, `v1.36.1`. api_versions: what helm's Capabilities.APIVersions
    holds on a live cluster, sorted: `apps/v1` and `monitoring.coreos.com/v1/ServiceMonitor`. nodes_in_scope,
    nodes_total: counts of nodes. primary_version, primary_image: of the primary CNI's DaemonSet, None when unknown.
    cilium_enforces: whether Cilium's agents are to enforce NetworkPolicy at this moment.
    """

    kubernetes_version: str
    api_versions: tuple[str, ...]
    nodes_in_scope: int
    nodes_total: int
    primary_version: str | None
    primary_image: str | None
    cilium_enforces: bool = True
