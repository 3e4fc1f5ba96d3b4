"""Options of the commands that need charts, and where charts and helm are found without a cluster."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from cnichain.cli.chartcache import default_cache
from cnichain.cli.common import FILE
from cnichain.dev.errors import DevError
from cnichain.dev.manifest import find_tools_dir, load_manifest
from cnichain.dev.toolchain import tool_path
from cnichain.reconcile.settings import OFFICIAL_CALICO_REPOSITORY, OFFICIAL_CHART_REPOSITORY
from cnichain.render.charts import ChartStore

FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)
HELM = "helm"
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class ChartSources:
    """Where charts come from, and helm. chart: one archive, whatever its name."""

    chart_dir: Path | None
    chart: Path | None
    repository: str
    calico_repository: str
    helm: str

    @contextmanager
    def store(self, archive: str) -> Iterator[ChartStore]:
        """A store of these charts. archive: the name that `chart` stands for."""
        with tempfile.TemporaryDirectory(prefix="cnichain-charts-") as scratch:
            folder = self.chart_dir
            if self.chart is not None:
                folder = Path(scratch) / "given"
                folder.mkdir()
                (folder / archive).symlink_to(self.chart.resolve())
            # A folder is read anew each time; what was downloaded is kept, since it is checked by its digest.
            cache = Path(scratch) / "cache" if folder is not None else default_cache()
            yield ChartStore(cache, folder, self.repository)


def chart_options(command: Command) -> Command:
    """The options, passed as `chart_dir`, `chart_repository`, `calico_repository` and `helm`."""
    for option in (
        click.option("--helm", default=HELM, envvar="CNICHAIN_HELM", show_default=True, help="The helm program."),
        click.option("--calico-repository", default=OFFICIAL_CALICO_REPOSITORY, help="Where Calico's manifests are."),
        click.option("--chart-repository", default=OFFICIAL_CHART_REPOSITORY, help="Helm repository of Cilium."),
        click.option(
            "--chart-dir",
            type=FOLDER,
            envvar="CNICHAIN_CHART_DIR",
            help="Folder of chart archives, as the operator's. Left out: they are downloaded.",
        ),
    ):
        command = option(command)
    return command


def catalogue_option(command: Command) -> Command:
    """`--catalogue FILE`, passed as `extra`."""
    return click.option("--catalogue", "extra", type=FILE, help="A file that adds entries to the catalogue.")(command)


def find_helm(given: str) -> str:
    """The helm program: the one that was named, or on the search path, else the one that `cnichain dev tools` built."""
    if given != HELM or shutil.which(HELM):
        return given
    try:
        families = load_manifest(find_tools_dir())
    except DevError:
        return given  # an installed package has no tools folder; helm's absence is told when it is started
    built = [tool_path(family, tool) for family in families for tool in family.tools if tool.name == HELM]
    return next((str(path) for path in built if os.access(path, os.X_OK)), given)
