"""What a pass must know of Calico before it renders. Reads only, and none at all while Calico is off."""

import asyncio
from dataclasses import dataclass

from cnichain.api.chain import CNIChainSpec
from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, Discovery
from cnichain.plan.calico import calico_health, cilium_enforces
from cnichain.plan.health import HEALTHY, Health
from cnichain.preflight.othercalico import (
    ACTIVE_CONFIG_MAP,
    ACTIVE_NAMESPACE,
    MANIFEST_DAEMON_SET,
    MANIFEST_NAMESPACE,
    OPERATOR_NAME,
    check_no_other_calico,
)
from cnichain.reconcile.cluster import Cluster
from cnichain.render.calico import API_VERSION, INSTALLATION

CILIUM_CONFIG = "cilium-config"
TIGERA_STATUS = "calico"
"""Name of the TigeraStatus of Calico itself; the others are about parts that CNIChain does not ask for."""


@dataclass(frozen=True)
class CalicoView:
    """health: of Calico at the wanted version. cilium_enforces: whether Cilium's agents are to enforce now."""

    health: Health = HEALTHY
    cilium_enforces: bool = True


async def look_at_calico(client: KubeClient, cluster: Cluster, spec: CNIChainSpec, discovery: Discovery) -> CalicoView:
    """The view for a spec. Raises ChainError (TwoTigeraOperators, CalicoByManifest) where another Calico stands."""
    if not spec.calico.enabled:
        return CalicoView()
    active, (deployments, _), daemon_set = await asyncio.gather(
        client.get(CONFIG_MAPS, ACTIVE_CONFIG_MAP, ACTIVE_NAMESPACE),
        client.list(DEPLOYMENTS, fields=f"metadata.name={OPERATOR_NAME}", metadata_only=True),
        client.get(DAEMON_SETS, MANIFEST_DAEMON_SET, MANIFEST_NAMESPACE),
    )
    check_no_other_calico(active, deployments, daemon_set)
    status_resource = discovery.resource(API_VERSION, "TigeraStatus")
    if status_resource is not None:
        cluster.watch_object(status_resource, "", TIGERA_STATUS)
    installation, tigera_status, cilium_config = await asyncio.gather(
        get_if_served(client, discovery, INSTALLATION.kind, INSTALLATION.name),
        get_if_served(client, discovery, "TigeraStatus", TIGERA_STATUS),
        client.get(CONFIG_MAPS, CILIUM_CONFIG, CILIUM_NAMESPACE),
    )
    health = calico_health(installation, tigera_status, spec.calico.version or "")
    return CalicoView(health, cilium_enforces(spec, installation, health, cilium_config))


async def get_if_served(client: KubeClient, discovery: Discovery, kind: str, name: str) -> Object | None:
    """An object of operator.tigera.io; None when it, or its kind, is not there."""
    resource = discovery.resource(API_VERSION, kind)
    return None if resource is None else await client.get(resource, name)
