"""`cnichain check --pre`: would the chain be refused, before anything is applied? Reads only."""

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
from cnichain.cli.checkreport import as_data, as_text, counts
from cnichain.cli.common import (
    FILE,
    TEXT,
    UnansweredError,
    ask,
    colour,
    emit,
    kubeconfig_option,
    output_option,
    plain,
)
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CHAINS
from cnichain.preflight.gathered import Unread
from cnichain.reconcile.gather import read
from cnichain.reconcile.precheck import Examination, examine

REFUSED = 1


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
@output_option
@kubeconfig_option
@click.option("--catalogue", "extra", type=FILE, help="A file that adds entries to the catalogue.")
def check(pre: bool, filename: Path | None, output: str, kubeconfig: Path | None, extra: Path | None) -> None:
    """Look whether the cluster can take the chain. Nothing is changed in it."""
    del pre
    try:
        catalogue = load_catalogue(extra)
    except ChainError as error:
        raise UnansweredError(str(error)) from error
    wanted, found = ask(
        "check", "look at the cluster", lambda client: _examine(client, catalogue, filename), kubeconfig
    )
    if output == TEXT:
        click.echo(f"Cilium {wanted.spec.cilium.version} ({wanted.source}), Kubernetes {found.kubernetes}\n")
        click.echo(as_text(found.results, colour=colour(), plain=plain()), color=colour())
    else:
        emit(as_data(found.results, wanted.spec.cilium.version, found.kubernetes), output)
    sys.exit(REFUSED if counts(found.results)["refused"] else 0)


async def _examine(client: KubeClient, catalogue: Catalogue, filename: Path | None) -> tuple[Wanted, Examination]:
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
    """The spec of the CNIChain in a YAML file that may hold other documents. Raises UnansweredError."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnansweredError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") == KIND_CHAIN]
    if len(found) != 1:
        raise UnansweredError(f"{path} has {len(found)} documents of the kind {KIND_CHAIN}; it needs one.")
    return found[0].get("spec")
