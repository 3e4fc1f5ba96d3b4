"""The operator process: what starts before Kopf, Kopf, and an orderly end."""

import logging
from pathlib import Path

import kopf

from cnichain.catalogue.load import load_catalogue
from cnichain.controller.handlers import Context, build_registry, build_settings
from cnichain.controller.keeper import Keeper, Wakeups
from cnichain.controller.metricsserver import metrics_served
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.loop import Reconciler
from cnichain.reconcile.metrics import REGISTRY
from cnichain.reconcile.settings import Settings

logger = logging.getLogger(__name__)


async def run_operator(
    settings: Settings, *, kubeconfig: Path | None, health_port: int | None, metrics_port: int | None
) -> None:
    """Run until SIGTERM or SIGINT.

    Raises CredentialsError when there is no way to the API server, ChainError when the catalogue cannot be read.
    """
    credentials = load_credentials(kubeconfig)
    catalogue = load_catalogue(settings.catalogue)
    async with (
        metrics_served(REGISTRY, metrics_port),
        KubeClient(credentials, user_agent=settings.instance) as client,
    ):
        wakeups = Wakeups()
        cluster = Cluster(client, wakeups.cluster_changed)
        keeper = Keeper(Reconciler(client, cluster, catalogue, settings), wakeups, settings.resync_seconds)
        # Before Kopf: when Kopf stops it cancels every task that is younger than itself.
        cluster.start()
        try:
            await kopf.operator(
                registry=build_registry(credentials),
                settings=build_settings(),
                memo=Context(keeper, cluster),
                clusterwide=True,
                standalone=True,
                liveness_endpoint=f"http://0.0.0.0:{health_port}/healthz" if health_port else None,
            )
        finally:
            await cluster.stop()
