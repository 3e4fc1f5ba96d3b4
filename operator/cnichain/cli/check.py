"""`cnichain check --pre`: would the chain be refused, before anything is applied? Reads only."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.api.chainstatus import parse_status
from cnichain.api.errors import ChainError
from cnichain.api.names import KIND_CHAIN, SINGLETON
from cnichain.catalogue.load import load_catalogue
from cnichain.catalogue.model import Catalogue, parse_version
from cnichain.cli.checkreport import as_json, as_text, counts
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import CredentialsError, load_credentials
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAINS
from cnichain.preflight.gathered import Unread
from cnichain.reconcile.gather import read
from cnichain.reconcile.precheck import Examination, examine

FILE = click.Path(dir_okay=False, exists=True, path_type=Path)
USER_AGENT = "cnichain-check"
REFUSED, NOT_RUN = 1, 2


class NotRunError(click.ClickException):
    """The checks could not be run."""

    exit_code = NOT_RUN


@dataclass(frozen=True)
class Wanted:
    """What is checked for. source: where it is from, for people. installed: the Cilium that is there, or ""."""

    spec: CNIChainSpec
    source: str
    installed: str


@click.command(
    epilog="Exit status: 0 nothing is refused, 1 something is, 2 the checks could not be run. Warnings do not count."
)
@click.option("--pre", is_flag=True, required=True, help="Check the cluster before the chain is applied.")
@click.option("-f", "--filename", type=FILE, help="The CNIChain to check for. Left out: the one in the cluster.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--kubeconfig", type=FILE, help="Kubeconfig; left out: $KUBECONFIG or ~/.kube/config.")
@click.option("--catalogue", "extra", type=FILE, help="A file that adds entries to the catalogue.")
def check(pre: bool, filename: Path | None, output: str, kubeconfig: Path | None, extra: Path | None) -> None:
    """Look whether the cluster can take the chain. Nothing is changed in it."""
    del pre
    try:
        catalogue = load_catalogue(extra)
        wanted, found = asyncio.run(_examine(catalogue, filename, kubeconfig))
    except (CredentialsError, ChainError) as error:
        raise NotRunError(str(error)) from error
    except ApiError as error:
        raise NotRunError(error.as_chain_error("look at the cluster").message) from error
    if output == "json":
        click.echo(json.dumps(as_json(found.results, wanted.spec.cilium.version, found.kubernetes), indent=2))
    else:
        click.echo(f"Cilium {wanted.spec.cilium.version} ({wanted.source}), Kubernetes {found.kubernetes}\n")
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(as_text(found.results, colour=colour, plain=not _shows_signs()), color=colour)
    sys.exit(REFUSED if counts(found.results)["refused"] else 0)


def _shows_signs() -> bool:
    try:
        "√‼×".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


async def _examine(catalogue: Catalogue, filename: Path | None, kubeconfig: Path | None) -> tuple[Wanted, Examination]:
    async with KubeClient(load_credentials(kubeconfig), user_agent=USER_AGENT) as client:
        wanted = await _wanted(client, catalogue, filename)
        return wanted, await examine(client, wanted.spec, catalogue, wanted.installed)


async def _wanted(client: KubeClient, catalogue: Catalogue, filename: Path | None) -> Wanted:
    """The spec of the file, else of the cluster, else the least one with the newest Cilium of the catalogue."""
    there = await read(f"get {KIND_CHAIN} {SINGLETON}", client.get(CHAINS, SINGLETON), None)
    chain = None if isinstance(there, Unread) else there
    versions = parse_status(chain["status"]).versions if chain and chain.get("status") else None
    installed = versions.cilium if versions else ""
    if filename is not None:
        return Wanted(parse_spec(_spec_in(filename)), filename.name, installed)
    if chain is not None:
        return Wanted(parse_spec(chain["spec"]), f"{KIND_CHAIN}/{SINGLETON} in the cluster", installed)
    newest = max((item.version for item in catalogue.cilium), key=lambda text: parse_version(text) or (0, 0, 0))
    return Wanted(parse_spec({"cilium": {"version": newest}}), "the newest in the catalogue", installed)


def _spec_in(path: Path) -> Any:
    """The spec of the CNIChain in a YAML file that may hold other documents. Raises NotRunError."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NotRunError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") == KIND_CHAIN]
    if len(found) != 1:
        raise NotRunError(f"{path} has {len(found)} documents of the kind {KIND_CHAIN}; it needs one.")
    return found[0].get("spec")
