"""One look at the sandboxes that failed, with watches that live as long as the looks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cnichain.kube.client import KubeClient
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.sandboxes import SandboxWatch


@asynccontextmanager
async def sandbox_watch(client: KubeClient) -> AsyncIterator[SandboxWatch]:
    """What the gates ask; at the end nothing is watched any more."""
    cluster = Cluster(client, lambda: None)
    watch = SandboxWatch(client, cluster)
    try:
        yield watch
        assert cluster.broken() == "", f"the watch of {cluster.broken()} has ended"
    finally:
        await watch.end()
        await cluster.stop()
