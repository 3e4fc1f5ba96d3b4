"""`cnichain analyze`: what is wrong in manifests, before they are merged. Reads files alone, and no cluster."""

import sys
from pathlib import Path

import click

from cnichain.analyze.problem import Severity
from cnichain.analyze.run import analyze as look
from cnichain.api.errors import ChainError
from cnichain.catalogue.load import load_catalogue
from cnichain.catalogue.records import parse_minor, parse_version
from cnichain.cli.analyzereport import as_data, as_text, counts, unreadable_text
from cnichain.cli.common import FILE, TEXT, UNANSWERED, UnansweredError, colour, emit, output_option
from cnichain.cli.manifestfiles import Manifests, read_manifests

FOUND = 1


@click.command(
    epilog="Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 something could not be read. Notes "
    "never count. Each code is explained in docs/reasons.md."
)
@click.option(
    "-f",
    "--filename",
    "filenames",
    multiple=True,
    required=True,
    help="File or folder of manifests, `-` for standard input. May be given several times.",
)
@output_option
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--notes", is_flag=True, help="Show notes too: what may matter, and cannot be told from files.")
@click.option("--installed", default="", metavar="VERSION", help="The Cilium that runs now, to check the upgrade step.")
@click.option("--kubernetes-version", default="", metavar="VERSION", help="The cluster's version, as in 1.33.")
@click.option("--catalogue", "extra", type=FILE, help="A file that adds entries to the catalogue.")
def analyze(
    filenames: tuple[str, ...],
    output: str,
    strict: bool,
    notes: bool,
    installed: str,
    kubernetes_version: str,
    extra: Path | None,
) -> None:
    """Find mistakes in manifests, without a cluster.

    All files together are taken for one cluster: the CNIChain, and what is around it (Karpenter, the VPC CNI's add-on,
    Argo CD, webhooks, policies, charts). The codes are those that the operator would give.
    """
    if installed and parse_version(installed) is None:
        raise click.BadParameter(f"{installed!r} is no version, as 1.17.3 is one.", param_hint="--installed")
    if kubernetes_version and parse_minor(kubernetes_version) is None:
        raise click.BadParameter(f"{kubernetes_version!r} is no version.", param_hint="--kubernetes-version")
    try:
        catalogue = load_catalogue(extra)
    except ChainError as error:
        raise UnansweredError(str(error)) from error
    manifests = read_manifests(filenames)
    found = look(manifests.documents, catalogue, installed=installed, kubernetes=kubernetes_version)
    unreadable = [*manifests.unreadable, *found.unreadable]
    objects = len(manifests.documents)
    if not objects and not unreadable:
        raise UnansweredError(f"no Kubernetes object in {', '.join(filenames)}: nothing was looked at.")
    if output == TEXT:
        click.echo(
            as_text(found.problems, objects, notes=notes, colour=colour(), wrap=sys.stdout.isatty()), color=colour()
        )
    else:
        emit(as_data(found.problems, unreadable, objects), output)
    _tell(manifests, found.chains, quiet=output != TEXT)
    if unreadable:
        click.echo(f"Not read:\n{unreadable_text(unreadable)}", err=True)
        sys.exit(UNANSWERED)
    levels = counts(found.problems)
    sys.exit(FOUND if levels[Severity.ERROR.value] or (strict and levels[Severity.WARNING.value]) else 0)


def _tell(manifests: Manifests, chains: int, *, quiet: bool) -> None:
    """What was left out, on standard error."""
    if quiet:
        return
    if not chains:
        click.echo("No CNIChain in these files: what depends on its spec was not looked at.", err=True)
    for folder in manifests.templates:
        click.echo(f"Left out: {folder} (render it first: helm template ... | cnichain analyze -f -).", err=True)
