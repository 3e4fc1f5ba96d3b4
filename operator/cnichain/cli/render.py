"""`cnichain render`: the manifests that the operator would apply, without a cluster."""

from pathlib import Path

import click

from cnichain.api.chain import parse_spec
from cnichain.api.errors import ChainError
from cnichain.catalogue.load import load_catalogue
from cnichain.catalogue.records import parse_minor
from cnichain.cli.chartoptions import ChartSources, catalogue_option, chart_options
from cnichain.cli.common import FILE, JSON, YAML, UnansweredError, emit
from cnichain.cli.offline import Assumed, OfflineRender, as_click_error, chain_in, render_offline
from cnichain.cli.rendertext import as_data, as_yaml, documents, file_names, heading, stage_text


@click.command(
    epilog="Exit status: 0 rendered, 1 the operator would refuse the spec, 2 it cannot be rendered (no helm, no chart)."
)
@click.option("-f", "--filename", required=True, help="The CNIChain; `-` for standard input.")
@click.option("-o", "--output", type=click.Choice([YAML, JSON]), default=YAML, show_default=True, help="Form.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write a file for each stage here.")
@click.option("--kubernetes-version", default="", metavar="VERSION", help="Left out: the newest that is tested.")
@click.option("--api-versions", multiple=True, metavar="GROUP/VERSION/KIND", help="Also served; several times.")
@click.option("--nodes", default=2, show_default=True, type=click.IntRange(min=1), help="Nodes in scope.")
@click.option("--first-minor", default="", metavar="MINOR", help="Of the Cilium that was installed first, as 1.17.")
@click.option("--chart", type=FILE, help="The archive of Cilium's chart itself, instead of a folder.")
@chart_options
@catalogue_option
def render(
    filename: str,
    output: str,
    out: Path | None,
    kubernetes_version: str,
    api_versions: tuple[str, ...],
    nodes: int,
    first_minor: str,
    chart: Path | None,
    chart_dir: Path | None,
    chart_repository: str,
    calico_repository: str,
    helm: str,
    extra: Path | None,
) -> None:
    """Print what the operator would apply for a CNIChain, without a cluster.

    The same input gives the same bytes. Of Secrets everything but their data is printed: the operator makes and keeps
    the keys in the cluster. Nothing of this is meant to be applied by hand, or to be kept in Git beside the operator.
    """
    for option, text in (("--kubernetes-version", kubernetes_version), ("--first-minor", first_minor)):
        if text and parse_minor(text) is None:
            raise click.BadParameter(f"{text!r} is no version.", param_hint=option)
    sources = ChartSources(chart_dir, chart, chart_repository, calico_repository, helm)
    assumed = Assumed(_full(kubernetes_version), tuple(sorted(api_versions)), nodes, first_minor)
    try:
        spec = parse_spec(chain_in(filename).body.get("spec"))
        made = render_offline(spec, load_catalogue(extra), sources, assumed)
    except ChainError as error:
        raise as_click_error(error) from error
    if out is not None:
        _write(made, out)
    elif output == JSON:
        emit(as_data(made), JSON)
    else:
        click.echo(as_yaml(made), nl=False)


def _full(version: str) -> str:
    """`1.33` as helm wants it, 1.33.0."""
    return f"{version}.0" if version.count(".") == 1 else version


def _write(made: OfflineRender, out: Path) -> None:
    """A file for each stage; files of stages that have no objects are taken away."""
    names = file_names()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in names.values():
            (out / name).unlink(missing_ok=True)
        for stage, items in documents(made):
            (out / names[stage]).write_text(stage_text(stage, items), encoding="utf-8")
            click.echo(f"{out / names[stage]}: {len(items)} {'object' if len(items) == 1 else 'objects'}")
    except OSError as error:
        raise UnansweredError(f"{error.filename or out} cannot be written: {error.strerror}.") from error
    for name, value in heading(made).items():
        click.echo(f"{name}: {value}")
