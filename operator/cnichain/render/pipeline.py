"""From spec to manifests: values, chart, helm, checks, placement, stages. The same input gives the same bytes.

Certificates are apart (`render.certs`): they depend on what is in the cluster.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.catalogue.model import CiliumRelease
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.available import check_available
from cnichain.render.charts import ChartStore
from cnichain.render.helm import template
from cnichain.render.leaves import Leaf, check_mounted, wanted_leaves
from cnichain.render.manifests import Manifest, parse, without_chart_label
from cnichain.render.placement import place
from cnichain.render.stages import Stage, by_stage
from cnichain.render.values import build_values, value_notes, values_digest


@dataclass(frozen=True)
class Rendered:
    """A render of the Cilium chart.

    stages: every stage, its objects in order of application. values: what the chart was rendered with. chart_digest:
    `sha256:` of the archive. chart_source: `official` or `stand-in`. leaves: the certificates that it mounts. notes:
    what of the user's values was moved, or has no effect in this minor.
    """

    stages: Mapping[Stage, tuple[Manifest, ...]]
    values: Mapping[str, Any]
    values_digest: str
    chart_digest: str
    chart_source: str
    leaves: tuple[Leaf, ...]
    notes: tuple[str, ...] = ()


async def render_cilium(
    spec: CNIChainSpec,
    release: CiliumRelease,
    facts: ClusterFacts,
    *,
    charts: ChartStore,
    helm: Path | str,
    first_minor: str = "",
) -> Rendered:
    """The objects of Cilium and Hubble for a spec. first_minor: the minor that was installed first, empty when none.

    Raises ChainError: FeatureNotAvailable, ReservedValue, Value..., Chart..., Helm... or RenderInvalid, in that order
    of steps.
    """
    check_available(spec)
    values = build_values(spec, release, facts, first_minor=first_minor)
    chart = await charts.fetch(release)
    text = await template(helm, chart, values, kube_version=facts.kubernetes_version, api_versions=facts.api_versions)
    # A tenth of a second of YAML: too long for the event loop.
    manifests = await asyncio.to_thread(post_render, text)
    leaves = wanted_leaves(values)
    check_mounted(leaves, values, manifests)
    return Rendered(
        stages=by_stage(manifests),
        values=values,
        values_digest=values_digest(values),
        chart_digest=f"sha256:{release.chart_sha256}",
        chart_source=release.source,
        leaves=leaves,
        notes=value_notes(spec, release),
    )


def post_render(text: str) -> list[Manifest]:
    """The objects of helm's output as they go to the cluster, but for the owner label. Pure."""
    return [place(without_chart_label(item)) for item in parse(text)]
