"""`cnichain operator`: the operator process."""

import asyncio
import logging
import socket
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import click

from cnichain.api.errors import ChainError
from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.cli.chartcache import default_cache
from cnichain.controller.runtime import Ports, run_operator
from cnichain.kube.credentials import CredentialsError
from cnichain.kube.fence import Timing
from cnichain.reconcile.settings import OFFICIAL_CALICO_REPOSITORY, OFFICIAL_CHART_REPOSITORY, Settings

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


@click.command()
@click.option("--kubeconfig", type=FILE, help="Kubeconfig; in a pod its service account is used.")
@click.option("--chart-dir", type=FOLDER, envvar="CNICHAIN_CHART_DIR", help="Folder of charts and manifests (air gap).")
@click.option("--chart-repository", default=OFFICIAL_CHART_REPOSITORY, show_default=True, help="Helm repository.")
@click.option(
    "--calico-repository", default=OFFICIAL_CALICO_REPOSITORY, show_default=True, help="Where Calico's manifests are."
)
@click.option("--cache-dir", type=FOLDER, default=default_cache, help="Where checked charts are kept.")
@click.option("--helm", default="helm", envvar="CNICHAIN_HELM", show_default=True, help="The helm program.")
@click.option("--catalogue", type=FILE, help="A file that adds entries to the catalogue.")
@click.option("--namespace", default=SYSTEM_NAMESPACE, show_default=True, help="Where the inventory is kept.")
@click.option("--resync-seconds", default=600.0, show_default=True, help="A full look even if nothing has changed.")
@click.option(
    "--ca-rotation-wait-seconds",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=0, max=86400),
    help="How long each step of replacing the CA lasts at least; pods get a changed Secret within two minutes.",
)
@click.option(
    "--coverage-seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=1, max=600),
    help="How often pods are counted; an unmanaged one is older than twice this, and was seen so twice.",
)
@click.option(
    "--overhead-seconds",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=1, max=86400),
    help="How often the cost of the chain is measured at most, in passes that are made anyway.",
)
@click.option("--metrics-port", type=int, help="Serve /metrics on this port; left out: none are served.")
@click.option("--health-port", type=int, help="Serve /healthz and /readyz on this port.")
@click.option(
    "--leader-elect",
    default=True,
    show_default=True,
    type=bool,
    help="Write only while holding the Lease; with `false` no other operator may run in the cluster.",
)
@click.option("--lease-seconds", default=15.0, show_default=True, help="How long others wait for a holder's renewal.")
@click.option("--renew-seconds", default=10.0, show_default=True, help="Without a renewal for this long it ends.")
@click.option("--retry-seconds", default=2.0, show_default=True, help="Between two renewals, or tries to acquire.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning"]))
def operator(
    kubeconfig: Path | None,
    chart_dir: Path | None,
    chart_repository: str,
    calico_repository: str,
    cache_dir: Path,
    helm: str,
    catalogue: Path | None,
    namespace: str,
    resync_seconds: float,
    ca_rotation_wait_seconds: float,
    coverage_seconds: float,
    overhead_seconds: float,
    health_port: int | None,
    leader_elect: bool,
    lease_seconds: float,
    renew_seconds: float,
    retry_seconds: float,
    metrics_port: int | None,
    log_level: str,
) -> None:
    """Run the operator until it is stopped."""
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    if log_level != "debug":
        # Kopf tells of each daemon and handler at INFO; what we did stands in our own lines.
        logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        election = Timing(lease_seconds, renew_seconds, retry_seconds) if leader_elect else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    settings = Settings(
        cache_dir=cache_dir,
        chart_dir=chart_dir,
        chart_repository=chart_repository,
        calico_repository=calico_repository,
        helm=helm,
        catalogue=catalogue,
        namespace=namespace,
        resync_seconds=resync_seconds,
        rotation_wait=timedelta(seconds=ca_rotation_wait_seconds),
        coverage_seconds=coverage_seconds,
        overhead_seconds=overhead_seconds,
        # Of this process alone: who starts again on the same machine is another one, as the Lease sees it.
        instance=f"cnichain-operator-{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
    )
    ports = Ports(health=health_port, metrics=metrics_port)
    try:
        asyncio.run(run_operator(settings, kubeconfig=kubeconfig, ports=ports, election=election))
    except (CredentialsError, ChainError) as error:
        raise click.ClickException(str(error)) from error
