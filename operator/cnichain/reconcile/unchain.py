"""The nodes of a CNIChain that is being uninstalled: told to run the primary CNI alone, opened, and let go."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cnichain.api.names import CILIUM_TAINT, STARTUP_TAINT
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAIN_NODES
from cnichain.plan.nodes import NodeRecord, chain_node, in_scope, untaint_patch
from cnichain.plan.removal import NodesLeft, Wishes, concerned, node_wish, nodes_left
from cnichain.reconcile.concurrently import each
from cnichain.reconcile.nodelabel import unlabel
from cnichain.reconcile.nodesync import NodeView, tell, untaint
from cnichain.reconcile.probe import remove_probes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unchainer:
    """Takes the chain off nodes. Each step looks at the whole state and may be cut off anywhere."""

    client: KubeClient
    view: NodeView
    wishes: Wishes
    owner: str

    async def unchain(self, *, joining: bool) -> NodesLeft:
        """Tell every concerned node to go back to the primary alone, and open those that have; where they all are.

        joining: nodes may still get a Cilium pod, so all in scope are concerned. Skipped nodes are told as well: their
        agents obey when they come back. Raises ChainError.
        """
        nodes = concerned(self.view.nodes, self.view.reports, self.wishes.selector, joining=joining)
        await self._tell(nodes.values(), frozen=False)
        left = nodes_left(nodes, self.view.reports, self.wishes.skip)
        # The primary alone is verified there, which is all that the startup taint can wait for now.
        await self._untaint([nodes[name] for name in left.done], (STARTUP_TAINT,))
        return left

    async def freeze(self) -> NodesLeft:
        """Tell the agents to change no file, whatever they were told before; where the nodes are."""
        nodes = concerned(self.view.nodes, self.view.reports, self.wishes.selector, joining=False)
        await self._tell(nodes.values(), frozen=True)
        return nodes_left(nodes, self.view.reports, self.wishes.skip)

    async def _tell(self, nodes: Iterable[NodeRecord], *, frozen: bool) -> None:
        reports = self.view.reports
        bodies = [
            chain_node(node, node_wish(reports.get(node.name), reports, frozen=frozen), self.owner) for node in nodes
        ]
        await tell(self.client, bodies, reports)

    async def open_all(self) -> list[str]:
        """Take both taints off every node that is not skipped; the names of nodes that have to be looked at again.

        Only once cilium-operator has no permission left to set its taint anew.
        """
        nodes = [
            node
            for name, node in self.view.nodes.items()
            if name not in self.wishes.skip and (name in self.view.reports or in_scope(node, self.wishes.selector))
        ]
        return await self._untaint(nodes, (STARTUP_TAINT, CILIUM_TAINT))

    async def _untaint(self, nodes: Iterable[NodeRecord], keys: Collection[str]) -> list[str]:
        patches = {node.name: patch for node in nodes if (patch := untaint_patch(node, keys)) is not None}
        done = await each(patches, lambda name: untaint(self.client, name, patches[name]))
        return [name for name, opened in zip(patches, done, strict=True) if not opened]

    async def let_go(self, left: NodesLeft) -> None:
        """Take the label off the nodes, whose Cilium pods are gone, and delete the CNIChainNodes, but for those of
        skipped nodes. Raises ChainError."""
        await remove_probes(self.client, self.owner)
        await unlabel(self.client, [node for node in self.view.nodes.values() if node.chained])
        told = [name for name in self.view.reports if name not in left.skipped]
        try:
            await each(told, lambda name: self.client.delete(CHAIN_NODES, name))
        except ApiError as error:
            raise error.as_chain_error("delete CNIChainNode") from error
