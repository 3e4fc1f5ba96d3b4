"""The look at the cluster that every pass begins with: what it is, and what should be in it. Reads only."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainnode import NodeSpec
from cnichain.api.chainstatus import VersionsStatus
from cnichain.apply.history import minor_of
from cnichain.catalogue.load import CONFIG_MAP
from cnichain.catalogue.model import CalicoRelease, Catalogue, CiliumRelease, PrimaryRule
from cnichain.kube.client import KubeClient
from cnichain.kube.resources import CONFIG_MAPS, DAEMON_SETS, Discovery
from cnichain.plan.health import Health
from cnichain.plan.nodes import node_spec
from cnichain.preflight.facts import ClusterFacts
from cnichain.preflight.policy import check_calico_step, check_policy_engine
from cnichain.preflight.primary import image_of, version_of
from cnichain.preflight.registry import summary
from cnichain.preflight.upgrade import check_step
from cnichain.reconcile.calicoview import look_at_calico
from cnichain.reconcile.catalogues import CatalogueSource
from cnichain.reconcile.certificates import Certificates, look_at_certificates
from cnichain.reconcile.cluster import Cluster, named
from cnichain.reconcile.nodesync import NodeView
from cnichain.reconcile.preflight import Preflight, as_status, stopping
from cnichain.reconcile.report import Report, Type
from cnichain.reconcile.settings import Settings
from cnichain.render.available import check_available
from cnichain.render.calico import RenderedCalico
from cnichain.render.calicofiles import fetch_calico
from cnichain.render.charts import ChartStore
from cnichain.render.manifests import Manifest, canonical_digest, with_owner
from cnichain.render.pipeline import Rendered, render_cilium
from cnichain.render.rotation import Request
from cnichain.render.stages import Stage, sort_stage

DISCOVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Picture:
    """The cluster and what should be in it, at the beginning of a pass.

    first_minor: the minor of Cilium that was, or is about to be, installed first. remembered: it is recorded as such.
    back: the spec is the last good one, to which a change that failed goes back.
    """

    spec: CNIChainSpec
    release: CiliumRelease
    rule: PrimaryRule
    facts: ClusterFacts
    discovery: Discovery
    nodes: NodeView
    rendered: Rendered
    manifests: Mapping[Stage, list[Manifest]]
    certificates: Certificates
    first_minor: str
    remembered: bool
    calico: CalicoRelease | None
    calico_health: Health
    catalogue: Catalogue
    back: bool = False

    @property
    def all_manifests(self) -> list[Manifest]:
        """The manifests of all stages, in order."""
        return [item for stage in Stage for item in self.manifests[stage]]

    @cached_property
    def manifests_digest(self) -> str:
        """Digest of all manifests but Secrets."""
        items = [item for item in self.all_manifests if item.kind != "Secret"]
        return canonical_digest([[*item.key, item.digest] for item in items])

    @property
    def wanted_node(self) -> NodeSpec:
        """What every node in scope should have."""
        return node_spec(self.spec, self.rendered.values)


class Looker:
    """Makes pictures; remembers the last render and the last discovery, since both are costly and rarely change."""

    def __init__(self, client: KubeClient, cluster: Cluster, catalogue: Catalogue, settings: Settings) -> None:
        self._client = client
        self._cluster = cluster
        self._catalogues = CatalogueSource(cluster.reads, settings.namespace, catalogue)
        self._namespace = settings.namespace
        self._preflight = Preflight(client)
        self._helm = settings.helm
        self._charts = ChartStore(settings.cache_dir, settings.chart_dir, settings.chart_repository)
        self._calico_repository = settings.calico_repository
        self._rendered: tuple[object, Rendered] | None = None
        self._rendered_calico: tuple[object, RenderedCalico] | None = None
        self._discovery: tuple[float, Discovery, str] | None = None

    async def look(
        self, spec: CNIChainSpec, owner: str, versions: VersionsStatus, report: Report, request: Request, recorded: str
    ) -> Picture:
        """The picture for a spec; versions: as status has them, among them the Cilium that is there, or "".

        recorded: the minor of Cilium that was installed first, as the history has it, or "".

        What was found before an error stands in the report.

        Raises ChainError for everything that stands between the spec and its manifests.
        """
        self._cluster.watch_object(CONFIG_MAPS, self._namespace, CONFIG_MAP)
        report.catalogue = await self._catalogues.current()
        catalogue = report.catalogue.catalogue
        check_available(spec)
        check_policy_engine(spec)
        report.calico = spec.calico.version if spec.calico.enabled else ""
        release = catalogue.cilium_release(spec.cilium.version)
        check_step(versions.cilium, release.version, catalogue)
        calico = catalogue.calico_release(spec.calico.version or "") if spec.calico.enabled else None
        if calico is not None:
            check_calico_step(versions.calico, calico.version)
        rule = catalogue.primary(spec.primary.plugin)
        nodes = NodeView(await self._cluster.nodes(), await self._cluster.node_reports())
        report.nodes, report.node_states = nodes.counts(spec), nodes.states(spec)
        discovery, kubernetes = await self._discover()
        self._cluster.watch_object(DAEMON_SETS, rule.namespace, rule.daemon_set)
        primary = named(DAEMON_SETS, rule.namespace, rule.daemon_set)
        daemon_set = await self._cluster.reads.one(primary, rule.daemon_set)
        results = await self._preflight.results(spec, rule, kubernetes, daemon_set, nodes, catalogue)
        report.findings = as_status(results)
        report.refused = stopping(results, upkeep=spec.suspend or versions.cilium == release.version)
        version = version_of(daemon_set or {"metadata": {}}, rule.container)
        report.preflight = f"{spec.primary.plugin.value} {version}, Kubernetes {kubernetes}.{summary(results)}"
        report.error_in = Type.CALICO_READY
        view = await look_at_calico(self._client, self._cluster, spec, discovery)
        rendered_calico = await self._render_calico(calico, owner)
        report.error_in = Type.CILIUM_READY
        facts = ClusterFacts(
            kubernetes_version=kubernetes,
            api_versions=discovery.helm_api_versions(),
            nodes_in_scope=report.nodes.in_scope,
            nodes_total=len(nodes.nodes),
            primary_version=version,
            primary_image=image_of(daemon_set or {}, rule.container),
            cilium_enforces=view.cilium_enforces,
        )
        first = recorded or minor_of(versions.first_minor) or minor_of(versions.cilium) or release.minor
        rendered = await self._render(spec, release, facts, first)
        report.preflight = " ".join((report.preflight, *rendered.notes))
        certificates = await look_at_certificates(self._client, rendered.leaves, request)
        report.rotation_again = certificates.plan.again
        manifests = self._with_certificates(rendered, certificates, owner)
        if rendered_calico is not None:
            manifests |= {stage: list(items) for stage, items in rendered_calico.stages.items()}
        return Picture(
            spec,
            release,
            rule,
            facts,
            discovery,
            nodes,
            rendered,
            manifests,
            certificates,
            first,
            recorded == first,
            calico,
            view.health,
            catalogue,
        )

    def forget_discovery(self) -> None:
        """Ask the API server anew for what it serves."""
        self._discovery = None

    async def rediscover(self) -> Discovery:
        """What the API server serves now."""
        self.forget_discovery()
        discovery, _ = await self._discover()
        return discovery

    async def _discover(self) -> tuple[Discovery, str]:
        now = time.monotonic()
        if self._discovery is None or now - self._discovery[0] > DISCOVERY_SECONDS:
            found, version = await asyncio.gather(self._client.discover(), self._client.server_version())
            self._discovery = (now, found, version)
        return self._discovery[1], self._discovery[2]

    async def _render(
        self, spec: CNIChainSpec, release: CiliumRelease, facts: ClusterFacts, first_minor: str
    ) -> Rendered:
        """The manifests; helm runs only when what goes into them has changed."""
        # The manifests depend on whether there is one node or more, not on how many: a node that joins needs no helm.
        facts = replace(facts, nodes_in_scope=min(facts.nodes_in_scope, 2), nodes_total=0)
        key = (spec.cilium, spec.hubble, spec.nodes, spec.conflist, release, facts, first_minor)
        if self._rendered is None or self._rendered[0] != key:
            rendered = await render_cilium(
                spec, release, facts, charts=self._charts, helm=self._helm, first_minor=first_minor
            )
            self._rendered = (key, rendered)
        return self._rendered[1]

    async def _render_calico(self, release: CalicoRelease | None, owner: str) -> RenderedCalico | None:
        """Calico's objects; read and parsed only when the release has changed. Nothing is kept while Calico is off."""
        if release is None:
            self._rendered_calico = None
            return None
        key = (release, owner)
        if self._rendered_calico is None or self._rendered_calico[0] != key:
            rendered = await fetch_calico(release, owner, files=self._charts, repository=self._calico_repository)
            self._rendered_calico = (key, rendered)
        return self._rendered_calico[1]

    @staticmethod
    def _with_certificates(rendered: Rendered, certificates: Certificates, owner: str) -> dict[Stage, list[Manifest]]:
        """All manifests by stage, the certificates among them."""
        stages = {stage: list(rendered.stages.get(stage, ())) for stage in Stage}
        stages[Stage.CONFIG] = sort_stage([*stages[Stage.CONFIG], *certificates.plan.secrets])
        return {stage: [with_owner(item, owner) for item in items] for stage, items in stages.items()}
