"""`cnichain check`: is the chain well? With --pre: would it be refused, before anything is applied? Reads only."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
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
from cnichain.cli.checkreport import BEFORE, Words, as_data, as_text, counts
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
    printable,
)
from cnichain.cli.livecheck import WORDS, look
from cnichain.cli.livechecks import LiveCategory, run_live_checks
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CHAINS
from cnichain.preflight.finding import Category, Result
from cnichain.preflight.gathered import Unread
from cnichain.reconcile.gather import read
from cnichain.reconcile.precheck import Examination, examine

FAILED = 1


@dataclass(frozen=True)
class Wanted:
    """What is checked for. source: where it is from, for people. installed: the Cilium that is there, or ""."""

    spec: CNIChainSpec
    source: str
    installed: str


@click.command(
    epilog="Exit status: 0 nothing fails (with --pre: nothing is refused), 1 something does, 2 the checks could not be "
    "run. Warnings, and what you may not read, do not count."
)
@click.option("--pre", is_flag=True, help="Check whether the cluster can take the chain, before it is applied.")
@click.option("-f", "--filename", type=FILE, help="With --pre: the CNIChain to check for, not the one in the cluster.")
@click.option("--category", "names", multiple=True, metavar="NAME", help="Show this category alone; may be repeated.")
@output_option
@kubeconfig_option
@click.option("--catalogue", "extra", type=FILE, help="A file that adds entries to the catalogue.")
def check(
    pre: bool, filename: Path | None, names: tuple[str, ...], output: str, kubeconfig: Path | None, extra: Path | None
) -> None:
    """Look whether the chain is well: operator, conflists, Cilium, Hubble, pods, certificates, changes.

    Each line is one check; one that fails says its reason code, what to do, and where the documentation has more.
    Nothing is changed in the cluster.
    """
    if filename is not None and not pre:
        raise click.UsageError("--filename goes with --pre: a chain that runs is checked as it is.")
    shown = _categories(names, Category if pre else LiveCategory)
    try:
        catalogue = load_catalogue(extra)
    except ChainError as error:
        raise UnansweredError(str(error)) from error
    if pre:
        wanted, found = ask(
            "check", "look at the cluster", lambda client: _examine(client, catalogue, filename), kubeconfig
        )
        title = f"Cilium {wanted.spec.cilium.version} ({wanted.source}), Kubernetes {found.kubernetes}"
        _report(found.results, shown, (title, wanted.spec.cilium.version, found.kubernetes), BEFORE, output)
        return
    live = ask("check", "look at the cluster", lambda client: look(client, catalogue), kubeconfig)
    versions = live.view.status.versions
    cilium = (versions.cilium or versions.cilium_target) if versions else ""
    title = f"{KIND_CHAIN} {SINGLETON}, Cilium {cilium or 'unknown'}, Kubernetes {live.kubernetes}"
    _report(run_live_checks(live), shown, (title, cilium, live.kubernetes), WORDS, output)


def _categories(names: tuple[str, ...], known: type[StrEnum]) -> set[str]:
    """Categories to show; all when none is named. A category of two words is named with or without its spaces."""
    by_name = {one.value.replace(" ", "-").lower(): one.value for one in known}
    wanted = {name.replace(" ", "-").lower() for name in names}
    if unknown := wanted - set(by_name):
        raise click.UsageError(f"no category {', '.join(sorted(unknown))}; there are: {', '.join(by_name)}.")
    return {by_name[name] for name in wanted} or set(by_name.values())


def _report(results: Sequence[Result], shown: set[str], about: tuple[str, str, str], words: Words, output: str) -> None:
    """Print the results of the categories that are shown, and end. about: title, Cilium, Kubernetes."""
    title, cilium, kubernetes = about
    results = [item for item in results if item.check.category.value in shown]
    if output == TEXT:
        click.echo(f"{title}\n")
        click.echo(printable(as_text(results, colour=colour(), plain=plain(), words=words)), color=colour())
    else:
        emit(as_data(results, cilium, kubernetes, words), output)
    sys.exit(FAILED if counts(results)["refused"] else 0)


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
