"""The label of nodes whose wave is open: set and taken off, on the very node that was looked at."""

import logging
from collections.abc import Mapping, Sequence

from cnichain.api.names import CHAINED_LABEL
from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import NODES
from cnichain.plan.nodes import NodeRecord
from cnichain.reconcile.concurrently import each

logger = logging.getLogger(__name__)

PATH = "/metadata/labels/" + CHAINED_LABEL.replace("/", "~1")
"""Of the label in a JSON patch (RFC 6901 writes a slash in a key as ~1). A Node has labels: its kubelet sets some."""


async def label(client: KubeClient, nodes: Sequence[NodeRecord]) -> None:
    """Open nodes for Cilium's pods. Raises ChainError."""
    await _patch(client, nodes, {"op": "add", "path": PATH, "value": "true"})


async def unlabel(client: KubeClient, nodes: Sequence[NodeRecord]) -> None:
    """Close nodes that have the label: their Cilium pods go. Raises ChainError."""
    await _patch(client, nodes, {"op": "remove", "path": PATH})


async def _patch(client: KubeClient, nodes: Sequence[NodeRecord], operation: Mapping[str, object]) -> None:
    async def one(node: NodeRecord) -> None:
        test = {"op": "test", "path": "/metadata/uid", "value": node.uid}
        try:
            await client.json_patch(NODES, node.name, [test, operation])
        except ApiError as error:
            if error.status in {404, 409, 422}:
                logger.info("node %s is another one meanwhile, or has the label as it should be", node.name)
                return
            raise error.as_chain_error(f"label node {node.name}") from error

    await each(nodes, one)
