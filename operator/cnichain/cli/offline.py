"""What the operator would apply for a CNIChain, rendered without a cluster: the same steps, with the facts given."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from cnichain.analyze.chain import is_chain
from cnichain.analyze.documents import Document
from cnichain.api.chain import CNIChainSpec, PolicyEngine
from cnichain.api.errors import ChainError
from cnichain.api.names import KIND_CHAIN, SINGLETON
from cnichain.catalogue.model import CalicoRelease, Catalogue, CiliumRelease
from cnichain.cli.analyzereport import unreadable_text
from cnichain.cli.chartoptions import ChartSources, find_helm
from cnichain.cli.common import UnansweredError
from cnichain.cli.manifestfiles import read_manifests
from cnichain.interrupt import run_until_interrupted
from cnichain.preflight.facts import ClusterFacts
from cnichain.preflight.policy import check_policy_engine
from cnichain.render.available import check_available
from cnichain.render.calicofiles import fetch_calico
from cnichain.render.manifests import Manifest, manifest, with_owner
from cnichain.render.pipeline import Rendered, render_cilium
from cnichain.render.rotation import CA_SECRET
from cnichain.render.stages import Stage, sort_stage

STANDS_FOR = "cnichain.io/stands-for"
"""Annotation of a Secret whose data is left out."""


class RefusedError(click.ClickException):
    """The operator would refuse the spec. Exit status 1."""

    exit_code = 1


@dataclass(frozen=True)
class Assumed:
    """What a cluster would tell. kubernetes: "" for the newest that the release is tested on. first_minor: of Cilium in
    this cluster, "" for the wanted one."""

    kubernetes: str = ""
    api_versions: tuple[str, ...] = ()
    nodes: int = 2
    first_minor: str = ""


@dataclass(frozen=True)
class OfflineRender:
    """stages: all objects in order of application; of Secrets only what stands for them."""

    release: CiliumRelease
    calico: CalicoRelease | None
    rendered: Rendered
    kubernetes: str
    stages: Mapping[Stage, tuple[Manifest, ...]]


def chain_in(filename: str) -> Document:
    """The one CNIChain in a file or folder, `-` for standard input. Raises UnansweredError."""
    found = read_manifests([filename])
    if found.unreadable:
        raise UnansweredError(unreadable_text(found.unreadable))
    chains = [item for item in found.documents if is_chain(item)]
    if len(chains) != 1:
        raise UnansweredError(f"{filename} has {len(chains)} objects of the kind {KIND_CHAIN}; it needs one.")
    return chains[0]


def as_click_error(error: ChainError) -> click.ClickException:
    """An error of the way to manifests as the command ends with it: 1 when the spec is at fault, else 2."""
    text = f"{error}\n{error.fix}"
    return RefusedError(text) if error.terminal else UnansweredError(text)


def render_offline(spec: CNIChainSpec, catalogue: Catalogue, sources: ChartSources, assumed: Assumed) -> OfflineRender:
    """The manifests for a spec. Raises ChainError, as a pass of the operator would with this spec."""
    check_available(spec)
    check_policy_engine(spec)
    catalogue.primary(spec.primary.plugin)
    release = catalogue.cilium_release(spec.cilium.version)
    calico = catalogue.calico_release(spec.calico.version or "") if spec.calico.enabled else None
    kubernetes = assumed.kubernetes or f"{release.kubernetes.max}.0"
    facts = ClusterFacts(
        kubernetes_version=f"v{kubernetes.removeprefix('v')}",
        api_versions=assumed.api_versions,
        nodes_in_scope=assumed.nodes,
        nodes_total=assumed.nodes,
        primary_version=None,
        primary_image=None,
        cilium_enforces=spec.policy_engine is PolicyEngine.CILIUM,
    )

    async def make() -> OfflineRender:
        with sources.store(release.archive) as store:
            rendered = await render_cilium(
                spec,
                release,
                facts,
                charts=store,
                helm=Path(find_helm(sources.helm)),
                first_minor=assumed.first_minor or release.minor,
            )
            stages = {stage: list(rendered.stages.get(stage, ())) for stage in Stage}
            stages[Stage.CONFIG] = sort_stage([*stages[Stage.CONFIG], *_certificates(rendered)])
            owned = {stage: tuple(with_owner(item, SINGLETON) for item in items) for stage, items in stages.items()}
            if calico is not None:
                repository = sources.calico_repository
                owned |= (await fetch_calico(calico, SINGLETON, files=store, repository=repository)).stages
        shown = {stage: tuple(map(without_secrets, items)) for stage, items in owned.items()}
        return OfflineRender(release, calico, rendered, facts.kubernetes_version, shown)

    return run_until_interrupted(make())


def _certificates(rendered: Rendered) -> list[Manifest]:
    """What stands for the Secrets that the operator makes and keeps."""
    authority = "the CA of Hubble's certificates, made and kept by the operator"
    made = [_stand_in(CA_SECRET, "Opaque", authority)]
    for leaf in rendered.leaves:
        names = ", ".join((*leaf.dns_names, *leaf.ip_addresses))
        made.append(_stand_in(leaf.secret, "kubernetes.io/tls", f"a certificate of the operator's for {names}"))
    return made


def _stand_in(name: str, kind: str, what: str) -> Manifest:
    metadata = {"name": name, "annotations": {STANDS_FOR: what}}
    return manifest({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind})


def without_secrets(item: Manifest) -> Manifest:
    """The manifest as it may be shown: of a Secret everything but its data."""
    if item.kind != "Secret":
        return item
    body = {key: value for key, value in item.body.items() if key not in {"data", "stringData"}}
    keys = sorted({*item.body.get("data", {}), *item.body.get("stringData", {})})
    if keys:
        metadata = body["metadata"]
        told = f"data that is not shown: {', '.join(keys)}"
        body["metadata"] = {**metadata, "annotations": {**(metadata.get("annotations") or {}), STANDS_FOR: told}}
    return replace(item, body=body)
