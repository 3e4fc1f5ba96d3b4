"""Where the manifests of tigera-operator come from: the chart folder, or the repository of Calico's releases."""

import asyncio

from cnichain.catalogue.model import CalicoRelease
from cnichain.render.calico import RenderedCalico, render_calico
from cnichain.render.charts import ChartStore, PinnedFile


def pinned_files(release: CalicoRelease, repository: str) -> list[PinnedFile]:
    """The manifests of a release, in order of application.

    In a folder they are named with the version (tigera-operator-3.26.0.yaml), or stand as upstream publishes them
    (v3.26.0/tigera-operator.yaml). repository: URL under which a tag's manifests are at vVERSION/manifests/.
    """
    return [
        PinnedFile(
            of=f"Calico {release.version}",
            sha256=sha256,
            paths=(f"{name.removesuffix('.yaml')}-{release.version}.yaml", f"v{release.version}/{name}"),
            url=f"{repository.rstrip('/')}/v{release.version}/manifests/{name}",
        )
        for name, sha256 in release.manifests.items()
    ]


async def fetch_calico(release: CalicoRelease, owner: str, *, files: ChartStore, repository: str) -> RenderedCalico:
    """The objects of a release, from checked files. Raises ChainError: Chart..., HookRefused or RenderInvalid."""
    paths = [await files.fetch_file(item) for item in pinned_files(release, repository)]

    def render() -> RenderedCalico:
        return render_calico(release, (path.read_text("utf-8") for path in paths), owner)

    return await asyncio.to_thread(render)
