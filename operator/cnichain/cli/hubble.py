"""`cnichain hubble ui|relay`: Hubble on a port of this machine."""

import sys
import webbrowser
from pathlib import Path

import click

from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.cli.chainview import get_chain
from cnichain.cli.common import UnansweredError, ask, kubeconfig_option
from cnichain.cli.portforward import Target, forwarded
from cnichain.interrupt import sigterm_interrupts
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import DEPLOYMENTS, Resource
from cnichain.plan.health import health_of

SERVICES = Resource("", "v1", "services", "Service", namespaced=True)
LOST = 1
EPILOG = (
    "Exit status: 130 after Ctrl-C (or SIGTERM), 1 the forwarding ended by itself, 2 it did not begin. It needs the "
    "program kubectl."
)


@click.group()
def hubble() -> None:
    """Reach Hubble's UI or its relay from this machine, until Ctrl-C."""


@hubble.command(epilog=EPILOG)
@click.option("--port", type=click.IntRange(0, 65535), default=12000, show_default=True, help="0: any free one.")
@click.option("--open", "browser", is_flag=True, help="Open it in the browser.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait until it listens.")
@kubeconfig_option
def ui(port: int, browser: bool, timeout: float, kubeconfig: Path | None) -> None:
    """Forward a port to Hubble UI, the map of the flows."""
    with sigterm_interrupts(), forwarded(_target("ui", port, kubeconfig), kubeconfig, timeout) as forward:
        url = f"http://127.0.0.1:{forward.local}"
        click.echo(f"Hubble UI: {url}")
        if browser and not webbrowser.open(url):
            click.echo("No browser could be opened here; open the address yourself.", err=True)
        click.echo("Ctrl-C ends it.", err=True)
        _lost(forward.until_it_ends())


@hubble.command(epilog=EPILOG)
@click.option("--port", type=click.IntRange(0, 65535), default=4245, show_default=True, help="0: any free one.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait until it listens.")
@kubeconfig_option
def relay(port: int, timeout: float, kubeconfig: Path | None) -> None:
    """Forward a port to Hubble Relay, for `hubble observe`."""
    with sigterm_interrupts(), forwarded(_target("relay", port, kubeconfig), kubeconfig, timeout) as forward:
        click.echo(f"Hubble Relay: 127.0.0.1:{forward.local}")
        click.echo(f"hubble observe --server 127.0.0.1:{forward.local}   Ctrl-C ends it.", err=True)
        _lost(forward.until_it_ends())


def _target(part: str, local: int, kubeconfig: Path | None) -> Target:
    """The Service of a part of Hubble, once it can be forwarded to. Raises UnansweredError that says why not."""

    async def question(client: KubeClient) -> Target:
        view = await get_chain(client)
        name = f"hubble-{part}"
        if view.spec is not None and not getattr(view.spec.hubble, part).enabled:
            raise UnansweredError(f"spec.hubble.{part}.enabled of the CNIChain is false, so there is no {name}.")
        service = await client.get(SERVICES, name, CILIUM_NAMESPACE)
        deployment = await client.get(DEPLOYMENTS, name, CILIUM_NAMESPACE)
        health = health_of(deployment, f"Deployment {CILIUM_NAMESPACE}/{name}")
        ports = ((service or {}).get("spec") or {}).get("ports") or []
        if not health.healthy or not ports:
            why = health.message or f"Service {CILIUM_NAMESPACE}/{name} does not exist yet"
            raise UnansweredError(f"{why}; `cnichain check --category hubble` says more.")
        return Target(CILIUM_NAMESPACE, name, int(ports[0]["port"]), local)

    return ask("hubble", f"look for Hubble's {part}", question, kubeconfig)


def _lost(words: str) -> None:
    click.echo(f"Error: the forwarding has ended: {words}", err=True)
    sys.exit(LOST)
