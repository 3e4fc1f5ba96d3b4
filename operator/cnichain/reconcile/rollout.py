"""What a rollout does to nodes: open waves, restart agents, take the chain off again. Each step may be repeated."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cnichain.api.chainnode import Desired, NodeSpec, node_spec_from_wire, to_wire
from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import PODS
from cnichain.plan.model import in_words
from cnichain.plan.nodes import NodeRecord, chain_node
from cnichain.reconcile.concurrently import each
from cnichain.reconcile.nodelabel import label, unlabel
from cnichain.reconcile.nodesync import NodeView, tell
from cnichain.render.manifests import Manifest
from cnichain.render.placement import agent_daemon_sets, template_digest
from cnichain.rollout.nodes import AgentPod
from cnichain.rollout.situations import content, has_chain, target
from cnichain.rollout.view import Target

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fleet:
    """The nodes of one pass and what is done to them. pods: of Cilium's DaemonSets. wanted: what every node gets."""

    client: KubeClient
    view: NodeView
    scope: Mapping[str, NodeRecord]
    pods: Sequence[AgentPod]
    wanted: NodeSpec
    owner: str

    async def claim(self) -> None:
        """Mark the nodes that have the chain already: without the mark their Cilium pods would go.

        That is so for a Cilium that was installed before this CNIChain, and where somebody took the label off.
        """
        running = {pod.node for pod in self.pods}
        missing = [node for node in self.scope.values() if not node.chained and self._has_chain(node, running)]
        await label(self.client, missing)
        if missing:
            logger.info("%d nodes have the chain already: %s", len(missing), in_words([node.name for node in missing]))

    def _has_chain(self, node: NodeRecord, running: Collection[str]) -> bool:
        """What a CNIChainNode of this very node says counts more than a pod, which may be on its way out."""
        record = self.view.reports.get(node.name)
        if record is None or record.node_uid != node.uid:
            return node.name in running
        return has_chain(record, node)

    async def align(self) -> None:
        """Nodes whose CNIChainNode differs in nothing but `frozen` need no wave."""
        spec = to_wire(self.wanted)
        want = content(spec)
        same = [
            node
            for name, node in self.scope.items()
            if node.chained
            and (record := self.view.reports.get(name)) is not None
            and record.spec != spec
            and has_chain(record, node)
            and content(record.spec) == want
        ]
        await self._tell(same, self.wanted)

    async def align_each(self) -> None:
        """Every node keeps the spec that its CNIChainNode has, but is frozen or not as all of them."""
        bodies = [
            chain_node(node, replace(node_spec_from_wire(record.spec), frozen=self.wanted.frozen), self.owner)
            for name, node in self.scope.items()
            if (record := self.view.reports.get(name)) is not None and has_chain(record, node)
        ]
        await tell(self.client, bodies, self.view.reports)

    async def start(self, names: Iterable[str], templates: Mapping[str, str]) -> None:
        """Give the change to nodes: the label first, so that nothing chains a node that may have no Cilium."""
        nodes = {name: self.scope[name] for name in names}
        await label(self.client, [node for node in nodes.values() if not node.chained])
        await self._tell(nodes.values(), self.wanted)
        await each([pod for pod in self.pods if pod.node in nodes and pod.is_outdated(templates)], self._delete)

    async def withdraw(self) -> list[str]:
        """Take the chain off all nodes, files first; the names of those that still have it."""
        opened = [node for node in self.scope.values() if node.chained]
        await self._tell(opened, replace(self.wanted, desired=Desired.UNCHAINED))
        done = [node for node in opened if self._is_unchained(node)]
        await unlabel(self.client, done)
        return sorted(node.name for node in opened)

    async def release(self, leaving: Iterable[NodeRecord]) -> None:
        """Take the label off nodes that left the scope and run the primary alone."""
        await unlabel(self.client, [node for node in leaving if node.chained and self._is_unchained(node)])

    def _is_unchained(self, node: NodeRecord) -> bool:
        record = self.view.reports.get(node.name)
        if record is None or record.node_uid != node.uid:
            return False
        return record.verified and record.spec.get("desired") == Desired.UNCHAINED.value

    async def _tell(self, nodes: Iterable[NodeRecord], wanted: NodeSpec) -> None:
        await tell(self.client, [chain_node(node, wanted, self.owner) for node in nodes], self.view.reports)

    async def _delete(self, pod: AgentPod) -> None:
        """Delete a pod, this very one alone: its DaemonSet makes it anew from the template of now."""
        try:
            await self.client.delete(PODS, pod.name, CILIUM_NAMESPACE, uid=pod.uid)
        except ApiError as error:
            raise error.as_chain_error(f"restart pod {CILIUM_NAMESPACE}/{pod.name}") from error


def target_of(agents: Iterable[Manifest], wanted: NodeSpec, *, back: bool) -> Target:
    """What every node should have, from the manifests of the stage `agents`."""
    return target({item.name: template_digest(item) for item in agent_daemon_sets(agents)}, wanted, back=back)
