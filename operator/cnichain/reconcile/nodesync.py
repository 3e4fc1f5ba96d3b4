"""CNIChainNode objects: one for each node in scope, written only when it differs."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainnode import Desired, NodeSpec
from cnichain.api.chainstatus import NodesStatus
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAIN_NODES, NODES
from cnichain.plan.nodes import (
    ChainNodeRecord,
    NodeRecord,
    chain_node,
    count,
    count_states,
    in_scope,
    is_current,
    is_of_earlier_node,
    out_of_scope,
    untaint_patch,
)
from cnichain.reconcile.concurrently import each

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeView:
    """Nodes and their reports at the beginning of a pass."""

    nodes: Mapping[str, NodeRecord]
    reports: Mapping[str, ChainNodeRecord]
    _scopes: dict[tuple[tuple[str, str], ...], dict[str, NodeRecord]] = field(default_factory=dict, compare=False)

    def scope(self, spec: CNIChainSpec) -> Mapping[str, NodeRecord]:
        """The nodes that the chain is for: found once for each selector, as a pass asks for them many times."""
        selector = spec.nodes.selector
        key = tuple(sorted(selector.items()))
        if key not in self._scopes:
            self._scopes[key] = {name: node for name, node in self.nodes.items() if in_scope(node, selector)}
        return self._scopes[key]

    def leaving(self, spec: CNIChainSpec) -> dict[str, NodeRecord]:
        """Nodes that had the chain and are not in scope any more."""
        scope = self.scope(spec)
        return {name: node for name, node in self.nodes.items() if name in self.reports and name not in scope}

    def counts(self, spec: CNIChainSpec) -> NodesStatus:
        """Counts for status."""
        return count(self.scope(spec), out_of_scope(self.nodes, spec.nodes.selector), self.reports)

    def states(self, spec: CNIChainSpec) -> dict[str, int]:
        """How many nodes in scope are in each state."""
        return count_states(self.scope(spec), self.reports)


async def sync_leaving(client: KubeClient, view: NodeView, spec: CNIChainSpec, wanted: NodeSpec, owner: str) -> str:
    """Take the chain off nodes that left the scope; what is still waited for, empty when all are done.

    This comes before the agents' DaemonSet is changed: a node that lost its Cilium pod while cilium-cni still stands in
    its conflist would refuse every new pod.
    """
    leaving = view.leaving(spec)
    await _sync(client, leaving, view.reports, replace(wanted, desired=Desired.UNCHAINED), owner)
    waiting = sorted(
        name
        for name in leaving
        if not view.reports[name].verified or view.reports[name].spec.get("desired") != Desired.UNCHAINED.value
    )
    if not waiting:
        return ""
    return f"nodes that leave the chain first go back to the primary CNI: {', '.join(waiting[:5])}"


async def open_nodes(client: KubeClient, view: NodeView, spec: CNIChainSpec) -> list[str]:
    """Take the startup taint off nodes whose chain is verified; the names of the nodes that are open now.

    A node whose taints have changed since they were seen is left to the next pass.
    """
    opened = []
    for name, node in view.scope(spec).items():
        report = view.reports.get(name)
        patch = untaint_patch(node) if spec.nodes.startup_taint else None
        if patch is None or report is None or report.node_uid != node.uid or not report.verified:
            continue
        if not await untaint(client, name, patch):
            continue
        logger.info("node %s is open for pods: its chain is verified", name)
        opened.append(name)
    return opened


async def untaint(client: KubeClient, name: str, patch: Sequence[Mapping[str, Any]]) -> bool:
    """Apply a patch of `untaint_patch`; False when the node has changed meanwhile, so that a later pass has to."""
    try:
        await client.json_patch(NODES, name, patch)
    except ApiError as error:
        if error.status in {404, 409, 422}:
            logger.info("node %s has changed meanwhile; its taints wait for the next pass", name)
            return False
        raise error.as_chain_error(f"take a taint off node {name}") from error
    return True


async def freeze(client: KubeClient, view: NodeView, wanted: NodeSpec, owner: str) -> None:
    """Tell the agents of all nodes that have a CNIChainNode to change no file."""
    present = {name: node for name, node in view.nodes.items() if name in view.reports}
    await _sync(client, present, view.reports, replace(wanted, frozen=True), owner)


async def _sync(
    client: KubeClient,
    nodes: Mapping[str, NodeRecord],
    reports: Mapping[str, ChainNodeRecord],
    wanted: NodeSpec,
    owner: str,
) -> None:
    await tell(client, [chain_node(node, wanted, owner) for node in nodes.values()], reports)


async def tell(client: KubeClient, bodies: Iterable[Mapping[str, Any]], reports: Mapping[str, ChainNodeRecord]) -> None:
    """Apply the CNIChainNodes that differ from what is there. Raises ChainError."""
    # What an earlier node of the same name has left is not taken over: its status would count for this node. Garbage
    # collection removes it, since its owner is gone, and the next pass makes the new one.
    fresh = [body for body in bodies if not is_of_earlier_node(reports.get(body["metadata"]["name"]), body)]
    stale = [body for body in fresh if not is_current(reports.get(body["metadata"]["name"]), body)]
    try:
        await each(stale, lambda body: client.apply(CHAIN_NODES, body))
    except ApiError as error:
        raise error.as_chain_error("apply CNIChainNode") from error
    if stale:
        logger.info("told %d nodes what they should have", len(stale))
