"""Calico's part of a pass: what its CRDs make the API server serve, and its removal in a safe order.

Removal needs no memory: the inventory says what is Calico's, the cluster how far it has come, so that it goes on where
an operator that was killed left it. Order (tigera/operator issue 2031 tells of the other one): the Installation; its
finalizers, which tigera-operator alone takes off once Calico has left the nodes; then tigera-operator and its RBAC,
which the general pruning does. It comes after all stages of Cilium, so Cilium's agents enforce before Calico stops.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from cnichain.api.errors import ChainError
from cnichain.api.names import OWNER_LABEL
from cnichain.api.reasons import Reason
from cnichain.apply.engine import Live
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import DEPLOYMENTS, Discovery
from cnichain.plan.calico import is_going
from cnichain.plan.inventory import Inventory
from cnichain.reconcile.calicoview import get_if_served
from cnichain.render.calico import API_VERSION, DEPLOYMENT, INSTALLATION, NAMESPACE, kinds_of
from cnichain.render.manifests import Manifest

logger = logging.getLogger(__name__)

DEPENDENT_KINDS = (
    "APIServer", "Whisker", "Goldmane", "GatewayAPI", "Istio", "ManagementClusterConnection",
)  # fmt: skip
"""Kinds whose objects tigera-operator serves beside the Installation. CNIChain makes none of them."""


@dataclass(frozen=True)
class RemovalStep:
    """waiting_for: what the removal waits for, empty when nothing of the Installation is left.

    begun: it began in this step. done: the Installation is found to be gone in this step.
    """

    waiting_for: str = ""
    begun: bool = False
    done: bool = False


def not_served(crds: Sequence[Manifest], discovery: Discovery) -> list[str]:
    """Kinds of Calico's CRDs that the API server does not serve yet; it serves a kind once its CRD is established."""
    return [f"{version} {kind}" for version, kind in kinds_of(crds) if discovery.resource(version, kind) is None]


async def remove_installation(client: KubeClient, live: Live, discovery: Discovery, owner: str) -> RemovalStep:
    """Take one step of removing the Installation, if the inventory lists one.

    Raises ChainError: CalicoInUse, CalicoRemovalStuck, or what the API server answers.
    """
    entry = live.inventory.get(INSTALLATION)
    if entry is None:
        return RemovalStep()
    found = await get_if_served(client, discovery, INSTALLATION.kind, INSTALLATION.name)
    if found is None:
        # The caller's pruning saves the inventory; until then the next pass comes to the same end.
        del live.inventory[INSTALLATION]
        return RemovalStep(done=True)
    if is_going(found):
        return RemovalStep(await _still_going(client, found))
    if found["metadata"]["uid"] != entry.uid and (found["metadata"].get("labels") or {}).get(OWNER_LABEL) != owner:
        raise ChainError(
            Reason.CALICO_IN_USE, "Installation default was made anew by someone else and needs tigera-operator."
        )
    await _refuse_dependents(client, discovery)
    await _delete(client, discovery, found)
    logger.info("deleted Installation default; tigera-operator now takes Calico off the nodes")
    return RemovalStep("Installation default is being deleted", begun=True)


async def check_removable(client: KubeClient, discovery: Discovery, inventory: Inventory) -> None:
    """Raise ChainError(CalicoInUse) when the inventory lists the Installation and something else needs it.

    For an uninstallation, which deletes what the inventory lists stage by stage; Calico's stages are the last of an
    installation and so the first to go, the Installation before tigera-operator.
    """
    if INSTALLATION in inventory:
        found = await get_if_served(client, discovery, INSTALLATION.kind, INSTALLATION.name)
        if found is not None and not is_going(found):
            await _refuse_dependents(client, discovery)


async def _still_going(client: KubeClient, installation: Object) -> str:
    """What a deleted Installation waits for."""
    if await client.get(DEPLOYMENTS, DEPLOYMENT, NAMESPACE) is None:
        raise ChainError(
            Reason.CALICO_REMOVAL_STUCK,
            f"Installation default is being deleted, but there is no Deployment {NAMESPACE}/{DEPLOYMENT} any more.",
        )
    left = ", ".join(installation["metadata"].get("finalizers") or []) or "none"
    return f"tigera-operator takes Calico off the nodes; finalizers left on Installation default: {left}"


async def _refuse_dependents(client: KubeClient, discovery: Discovery) -> None:
    names = []
    for kind in DEPENDENT_KINDS:
        resource = discovery.resource(API_VERSION, kind)
        if resource is not None:
            items, _ = await client.list(resource, metadata_only=True)
            names += [f"{kind} {item['metadata']['name']}" for item in items]
    if names:
        raise ChainError(
            Reason.CALICO_IN_USE, f"{', '.join(sorted(names))} must be deleted before the Installation can be."
        )


async def _delete(client: KubeClient, discovery: Discovery, installation: Object) -> None:
    resource = discovery.resource(API_VERSION, INSTALLATION.kind)
    if resource is None:
        return
    try:
        await client.delete(resource, INSTALLATION.name, uid=installation["metadata"]["uid"])
    except ApiError as error:
        raise error.as_chain_error("delete Installation default") from error
