"""`cnichain bundle`: the charts and the list of images that a cluster without internet needs."""

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.api.errors import ChainError
from cnichain.catalogue.load import load_catalogue
from cnichain.catalogue.model import Catalogue, parse_version
from cnichain.cli.bundletext import (
    OPERATOR_IMAGE,
    BundledImage,
    bundled,
    contents,
    images_data,
    images_of,
    images_text,
    tar_of,
)
from cnichain.cli.chartoptions import ChartSources, catalogue_option, chart_options
from cnichain.cli.common import TEXT, UnansweredError, emit, output_option
from cnichain.cli.offline import Assumed, as_click_error, chain_in, render_offline
from cnichain.interrupt import run_until_interrupted
from cnichain.render.calicofiles import pinned_files


@dataclass(frozen=True)
class Packed:
    """What a bundle holds. charts: file name to content."""

    versions: tuple[str, ...]
    calico: tuple[str, ...]
    charts: dict[str, bytes]
    images: list[BundledImage]


@click.command(
    epilog="Exit status: 0 written, 1 the operator would refuse the spec, 2 a chart or helm is missing, or is not "
    "the one that the catalogue pins. The same charts and values give the same file, to the byte."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The tar to write.")
@click.option("--images-only", is_flag=True, help="Print the list of images, and write nothing.")
@click.option("-f", "--filename", help="The CNIChain whose values decide which images are needed; `-`: standard input.")
@click.option(
    "--version",
    "versions",
    multiple=True,
    metavar="VERSION",
    help="Cilium; several for an upgrade. Left out: that of the CNIChain, else the newest.",
)
@output_option
@chart_options
@catalogue_option
def bundle(
    out: Path | None,
    images_only: bool,
    filename: str | None,
    versions: tuple[str, ...],
    output: str,
    chart_dir: Path | None,
    chart_repository: str,
    calico_repository: str,
    helm: str,
    extra: Path | None,
) -> None:
    """Pack charts and the list of images for a cluster that cannot reach the internet.

    The tar holds the charts, checked against the catalogue; images.txt and images.json, with digests; checksums; and a
    README that says how to use them. The images themselves are not in it: mirror them from the list.
    """
    if (out is None) is not images_only:
        raise click.UsageError("Give either --out FILE.tar or --images-only.")
    sources = ChartSources(chart_dir, None, chart_repository, calico_repository, helm)
    try:
        packed = _pack(load_catalogue(extra), _spec(filename), versions, sources)
    except ChainError as error:
        raise as_click_error(error) from error
    if out is None:
        if output == TEXT:
            click.echo(images_text(packed.images), nl=False)
        else:
            emit(images_data(packed.images), output)
        return
    content = tar_of(contents(packed.charts, packed.images, packed.versions, packed.calico))
    _write(out, content)
    _tell(out, content, packed, output)


def _spec(filename: str | None) -> CNIChainSpec | None:
    return parse_spec(chain_in(filename).body.get("spec")) if filename is not None else None


def _pack(catalogue: Catalogue, spec: CNIChainSpec | None, versions: Sequence[str], sources: ChartSources) -> Packed:
    newest = max((item.version for item in catalogue.cilium), key=lambda one: parse_version(one) or (0, 0, 0))
    wanted = sorted(
        set(versions) or {spec.cilium.version if spec else newest}, key=lambda one: parse_version(one) or ()
    )
    base = spec or parse_spec({"cilium": {"version": newest}})
    used: dict[str, list[str]] = {OPERATOR_IMAGE: ["CNIChain's operator and agents"]}
    charts: dict[str, bytes] = {}
    calico: set[str] = set()
    for version in wanted:
        _progress(f"Cilium {version} ...")
        one = base.model_copy(update={"cilium": base.cilium.model_copy(update={"version": version})})
        made = render_offline(one, catalogue, sources, Assumed())
        for image, by in images_of(item for items in made.stages.values() for item in items).items():
            used.setdefault(image, []).extend(by)
        calico |= {made.calico.version} if made.calico else set()
        charts |= run_until_interrupted(_charts(catalogue, one, sources))
    return Packed(tuple(wanted), tuple(sorted(calico)), charts, bundled(used))


async def _charts(catalogue: Catalogue, spec: CNIChainSpec, sources: ChartSources) -> dict[str, bytes]:
    """The checked files of a spec, by the names under which the operator looks for them."""
    release = catalogue.cilium_release(spec.cilium.version)
    with sources.store(release.archive) as store:
        found = {release.archive: (await store.fetch(release)).read_bytes()}
        if spec.calico.enabled:
            calico = catalogue.calico_release(spec.calico.version or "")
            for item in pinned_files(calico, sources.calico_repository):
                found[item.paths[0]] = (await store.fetch_file(item)).read_bytes()
    return found


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)


def _write(out: Path, content: bytes) -> None:
    """The file whole or not at all."""
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(out)
        temporary = None
    except OSError as error:
        raise UnansweredError(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # the error that is on its way says more
                temporary.unlink()


def _tell(out: Path, content: bytes, packed: Packed, output: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if output != TEXT:
        emit(
            {
                "file": str(out),
                "sha256": digest,
                "cilium": list(packed.versions),
                "calico": list(packed.calico),
                "charts": sorted(packed.charts),
                "images": images_data(packed.images),
            },
            output,
        )
        return
    click.echo(f"{out} ({len(content) / 1024:.0f} KiB)\nsha256 {digest}")
    kind = "chart" if len(packed.charts) == 1 else "charts"
    click.echo(f"{len(packed.charts)} {kind}: {', '.join(sorted(packed.charts))}")
    click.echo(f"{len(packed.images)} images, to be mirrored: images.txt in it")
