"""The operator process: the lease, what starts before Kopf, Kopf, and an orderly end."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import kopf

from cnichain.api.errors import ChainError
from cnichain.api.reasons import REASONS, Reason
from cnichain.catalogue.load import load_catalogue
from cnichain.catalogue.model import Catalogue
from cnichain.controller.handlers import Context, build_registry, build_settings
from cnichain.controller.health import Health, serving
from cnichain.controller.keeper import Keeper, Wakeups
from cnichain.controller.memory import keep_releasing
from cnichain.controller.metricsserver import metrics_served
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials, load_credentials
from cnichain.kube.fence import Fence, Timing
from cnichain.kube.lease import Elector, LeaseStore
from cnichain.kube.standing import Standing
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.loop import Reconciler
from cnichain.reconcile.metrics import CLOCK_SKEW, LEADER, REGISTRY, observe_request
from cnichain.reconcile.settings import Settings

logger = logging.getLogger(__name__)

EXIT_LEASE_LOST = 75
"""sysexits' EX_TEMPFAIL: start it again, it then stands by."""


@dataclass(frozen=True)
class Ports:
    """Where the process serves; None: it does not."""

    health: int | None
    metrics: int | None


async def run_operator(settings: Settings, *, kubeconfig: Path | None, ports: Ports, election: Timing | None) -> None:
    """Run until SIGTERM or SIGINT. election: how the lease is held; None for one that is alone.

    Ends the process with EXIT_LEASE_LOST when the lease is lost. Raises CredentialsError when there is no way to the
    API server, ChainError when the catalogue cannot be read, or when Kopf has ended by an error.
    """
    credentials = load_credentials(kubeconfig)
    catalogue = load_catalogue(settings.catalogue)
    health, stop = Health(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Kopf puts its own in their place when it starts, and looks at `stop` as well.
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connect = partial(
        KubeClient,
        credentials,
        user_agent=settings.instance,
        observe=observe_request,
        standing=Standing(skewed=CLOCK_SKEW.set),
    )
    async with serving(health, ports.health), metrics_served(REGISTRY, ports.metrics):
        if election is None:
            async with connect() as client:
                await _lead(settings, credentials, catalogue, client, health, stop)
            return
        fence = Fence(election, _end)
        async with connect() as outside, connect(fence=fence) as client:
            elector = health.elector = Elector(
                settings.instance,
                outside=LeaseStore(outside, settings.namespace),
                inside=LeaseStore(client, settings.namespace),
                fence=fence,
            )
            async with _lease(elector, stop) as is_ours:
                if is_ours:
                    await _lead(settings, credentials, catalogue, client, health, stop)


@asynccontextmanager
async def _lease(elector: Elector, stop: asyncio.Event) -> AsyncIterator[bool]:
    """Hold the lease for the time of the block; False when told to stop before it is ours.

    It is released when the block has ended well. After an error something may still be writing, and the lease ends by
    itself.
    """
    acquiring, stopping = asyncio.create_task(elector.acquire()), asyncio.create_task(stop.wait())
    await asyncio.wait((acquiring, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not acquiring.done():
        acquiring.cancel()
        await asyncio.gather(acquiring, return_exceptions=True)
        yield False
        return
    acquiring.result()
    # Before Kopf: when Kopf stops it cancels every task that is younger than itself.
    keeping = asyncio.create_task(elector.keep(), name="keep the lease")
    yield True
    await elector.release()
    keeping.cancel()


async def _lead(
    settings: Settings,
    credentials: Credentials,
    catalogue: Catalogue,
    client: KubeClient,
    health: Health,
    stop: asyncio.Event,
) -> None:
    wakeups = Wakeups()
    cluster = Cluster(client, wakeups.cluster_changed)
    keeper = Keeper(Reconciler(client, cluster, catalogue, settings), wakeups, settings.resync_seconds)
    health.keeper, health.cluster = keeper, cluster
    # Before Kopf, as the lease.
    cluster.start()
    releasing = asyncio.create_task(keep_releasing(), name="give memory back")
    LEADER.set(1)
    try:
        await kopf.operator(
            registry=build_registry(credentials),
            settings=build_settings(),
            memo=Context(keeper, cluster, stop),
            clusterwide=True,
            standalone=True,
            # Left out, Kopf asks the system for the user's name, and ends where the image knows no such user.
            identity=settings.instance,  # type: ignore[arg-type] # a NewType of str in Kopf's private modules
            stop_flag=stop,
        )
    except Exception as error:
        # Whatever it is: Kopf ends by an error that comes in the middle of its watch, as when etcd loses its leader.
        logger.exception("Kopf has ended")
        raise ChainError(
            Reason.API_UNAVAILABLE, f"the watch of CNIChains has ended: {error}. The process ends, to be started again."
        ) from error
    finally:
        releasing.cancel()
        await cluster.stop()


def _end(words: str) -> NoReturn:
    """End this process now: no handler, no task and no thread of it gets another turn."""
    reason = Reason.LEASE_LOST
    logger.critical("%s: %s The process ends at once. %s", reason.value, words, REASONS[reason].fix)
    os._exit(EXIT_LEASE_LOST)
