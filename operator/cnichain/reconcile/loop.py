"""One pass over a CNIChain: look at everything, do what is missing in order, say how it stands.

Level-triggered: a pass starts from nothing but the cluster and may be cut off anywhere; the next one goes on. It waits
for nothing: a stage whose workloads are not available yet ends the pass, and the watches start the next.
"""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cnichain import __version__
from cnichain.api.chain import CNIChainSpec, parse_duration, parse_spec
from cnichain.api.chainnode import Condition
from cnichain.api.chainstatus import (
    CertificatesStatus,
    CNIChainStatus,
    EffectiveStatus,
    InventoryStatus,
    VersionsStatus,
    parse_status,
)
from cnichain.api.errors import ChainError
from cnichain.api.names import SINGLETON
from cnichain.api.reasons import Reason
from cnichain.api.times import rfc3339, utc_now
from cnichain.apply.dryrun import Forecaster
from cnichain.apply.engine import Engine, places
from cnichain.apply.history import HistoryStore
from cnichain.apply.planstore import PlanStore
from cnichain.apply.store import InventoryStore
from cnichain.catalogue.model import Catalogue
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAINS
from cnichain.plan.inventory import Inventory, digest
from cnichain.reconcile.care import Care, Event
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.conditions import Report, Type
from cnichain.reconcile.events import Recorder
from cnichain.reconcile.finalizer import hold
from cnichain.reconcile.history import Content, begun, deployed, failed
from cnichain.reconcile.look import Looker, Picture
from cnichain.reconcile.nodenews import NodeNews
from cnichain.reconcile.nodesync import freeze
from cnichain.reconcile.outcome import Outcome
from cnichain.reconcile.planning import Planning
from cnichain.reconcile.settings import Settings
from cnichain.reconcile.stages import StageRun
from cnichain.reconcile.statuswriter import StatusWriter, hubble_word, read_conditions, transitions
from cnichain.reconcile.teardown import Teardown
from cnichain.reconcile.waiting import is_overdue, noted
from cnichain.render.stages import Stage

logger = logging.getLogger(__name__)

WAITING_SECONDS = 15.0
"""A look at least this often while something is waited for; the watches usually come first."""

TURNED_OFF = (
    "BPF host routing (the kernel's own routing is used)",
    "endpoint health checking",
    "local node route",
    "transparent mode of the DNS proxy",
)
"""What Cilium turns off by itself in a chain (its chart's templates/cilium-configmap.yaml, for every chaining mode)."""


@dataclass
class Pass:
    """What one pass gathers on its way; `status` starts as the one in the cluster."""

    chain: Object
    report: Report
    writer: StatusWriter
    status: CNIChainStatus
    events: list[Event]

    def update(self, **fields: Any) -> None:
        """Set fields of the status."""
        self.status = self.status.model_copy(update=fields)

    async def say(self) -> None:
        """Write how it stands now."""
        self.update(stage=self.report.current.value if self.report.current else "")
        await self.writer.write(self.report, self.status)


class Reconciler:
    """Makes passes over the CNIChain, and remembers only what saves work and how long it has been waiting."""

    def __init__(self, client: KubeClient, cluster: Cluster, catalogue: Catalogue, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._cluster = cluster
        self._looker = Looker(client, cluster, catalogue, settings)
        self._recorder = Recorder(client, settings.instance)
        self._teardown = Teardown(client, cluster, self._recorder, settings.namespace)
        self._drift = ""
        self._care = Care(client)
        self._away_since: float | None = None
        self._node_news = NodeNews()

    async def run(self, name: str) -> Outcome:
        """One pass. Every failure ends up in status; an API server that cannot even take that raises ApiError."""
        try:
            return await self._run(name)
        except ApiError:
            self._away_since = self._away_since or time.monotonic()
            raise

    async def _run(self, name: str) -> Outcome:
        chain = await self._client.get(CHAINS, name)
        if chain is None:
            return Outcome(ready=False, gone=True)
        if chain["metadata"].get("deletionTimestamp"):
            return await self._teardown.run(chain)
        current = chain.get("status") or {}
        report = Report(generation=chain["metadata"]["generation"], drift=self._drift)
        writer = StatusWriter(self._client, name, current)
        before = read_conditions(current)
        await writer.start(report.generation)
        this = Pass(chain, report, writer, parse_status(writer.current), self._back_again())
        try:
            await self._advance(this, self._accept(chain))
        except ChainError as error:
            report.error = error
            if error.reason is Reason.KIND_NOT_SERVED:
                self._looker.forget_discovery()
        except ApiError as error:
            report.error = error.as_chain_error("look at the cluster")
        except Exception as error:
            # Broad on purpose: the loop must outlive a bug of ours, and status must show that there is one.
            logger.exception("pass over CNIChain %s", name)
            report.error = ChainError(
                Reason.INTERNAL_ERROR, f"{type(error).__name__}; the operator's log has the rest."
            )
        return await self._finish(this, before)

    def _back_again(self) -> list[Event]:
        """The event to post when the API server answers again after it could not even take a status."""
        if self._away_since is None:
            return []
        seconds = time.monotonic() - self._away_since
        self._away_since = None
        return [(Reason.API_UNAVAILABLE, f"The API server did not take requests for {seconds:.0f} s; going on.")]

    @staticmethod
    def _accept(chain: Object) -> CNIChainSpec:
        name = chain["metadata"]["name"]
        if name != SINGLETON:
            raise ChainError(Reason.NOT_SINGLETON, f"this CNIChain is named {name}; only {SINGLETON} is acted on.")
        return parse_spec(chain["spec"])

    async def _advance(self, this: Pass, spec: CNIChainSpec) -> None:
        """The steps in order; the first that has to wait ends the pass."""
        owner: str = this.chain["metadata"]["name"]
        this.update(hubble=hubble_word(spec.hubble, ready=None))
        picture = await self._looker.look(spec, owner, this.status.versions or VersionsStatus(), this.report)
        this.events.extend(self._node_news.news(picture.nodes.reports))
        _describe(this, picture)
        await hold(self._client, this.chain)
        if spec.suspend:
            this.report.suspended = True
            await freeze(self._client, picture.nodes, picture.wanted_node, owner)
            return
        if not picture.remembered:
            # Before anything is applied: a crash in between must not make a later minor the first one.
            await HistoryStore(self._client, self._settings.namespace, owner).record(picture.first_minor)
        store = InventoryStore(self._client, self._settings.namespace, owner)
        engine = Engine(self._client, store, owner)
        keys = [item.key for item in picture.all_manifests]
        live = await engine.observe(keys, picture.discovery)
        self._cluster.watch_applied(places(keys, picture.discovery), owner)
        planning = self._planning(this, picture, owner)
        run = StageRun(
            self._client, engine, picture, live, this.report, owner, this.say, this.events, self._care, planning
        )
        try:
            healthy = await run.run()
        finally:
            self._drift = this.report.drift
            this.update(inventory=_inventory_status(store, live.inventory))
        self._note_waiting(this, spec)
        hubble = this.report.stages.get(Stage.HUBBLE) if this.report.hold else None
        this.update(hubble=hubble_word(spec.hubble, ready=not hubble.waiting_for if hubble else healthy))
        if healthy:
            this.update(revisions=deployed(this.status.revisions, utc_now()))
            versions = this.status.versions or VersionsStatus()
            this.update(versions=versions.model_copy(update={"cilium": picture.release.version}))

    def _planning(self, this: Pass, picture: Picture, owner: str) -> Planning:
        def begin() -> None:
            this.update(revisions=begun(this.status.revisions, _content(this, picture), utc_now()))

        return Planning(
            store=PlanStore(self._client, self._settings.namespace, owner),
            forecaster=Forecaster(self._client, picture.discovery),
            annotations=this.chain["metadata"].get("annotations") or {},
            generation=this.report.generation,
            status=this.status.plan,
            keep=lambda plan: this.update(plan=plan),
            begin=begin,
            events=this.events,
        )

    @staticmethod
    def _note_waiting(this: Pass, spec: CNIChainSpec) -> None:
        """Set `overdue` when what is waited for has not changed for longer than spec.rollout.progressDeadline."""
        waiting_for = "; ".join(stage.waiting_for for stage in this.report.stages.values() if stage.waiting_for)
        now = datetime.now(UTC)
        this.update(waiting=noted(this.status.waiting, waiting_for, now))
        this.report.overdue = is_overdue(this.status.waiting, parse_duration(spec.rollout.progress_deadline), now)

    async def _finish(self, this: Pass, before: list[Condition]) -> Outcome:
        """Write the status, post the events, and say when to look again."""
        report, metadata = this.report, this.chain["metadata"]
        if report.error is not None and report.error.terminal:
            this.update(revisions=failed(this.status.revisions, report.error.reason.value, utc_now()))
        if report.findings is not None:
            this.update(preflight=report.findings)
        this.update(stage=report.current.value if report.current else "", nodes=report.nodes or this.status.nodes)
        now = await this.writer.write(report, this.status)
        for reason, message in this.events:
            await self._recorder.event(metadata["name"], metadata["uid"], reason, message)
        for item in transitions(before, now):
            if item.type == Type.READY or item.reason == Reason.CATALOGUE_INVALID:
                await self._recorder.event(metadata["name"], metadata["uid"], Reason(item.reason), item.message)
        ready = any(item.type == Type.READY and item.status == "True" for item in now)
        if report.error is not None:
            return Outcome(ready=False, again=report.error.retry_after, failed=True)
        idle = ready or report.suspended or report.hold is not None
        return Outcome(ready=ready, again=report.look_again if idle or report.fight else WAITING_SECONDS)


def _describe(this: Pass, picture: Picture) -> None:
    """The parts of status that tell what is in force, and the sentence that Ready will say."""
    spec, release, facts = picture.spec, picture.release, picture.facts
    versions = this.status.versions or VersionsStatus()
    before = this.status.effective.values_digest if this.status.effective else ""
    if picture.rendered.notes and picture.rendered.values_digest != before:
        this.events.append((Reason.VALUE_MOVED, " ".join(picture.rendered.notes)))
    this.update(
        unmanaged="Unknown",
        effective=EffectiveStatus(
            primary=spec.primary.plugin.value,
            min_version=spec.primary.min_version or picture.rule.recommended_minimum,
            hubble_metrics=[metric.value for metric in spec.hubble.metrics],
            writer=spec.conflist.writer.value,
            values_digest=picture.rendered.values_digest,
            policy_engine=spec.policy_engine.value,
            on_cilium_down=spec.conflist.on_cilium_down.value,
            on_shadow=spec.conflist.on_shadow.value,
            startup_taint=spec.nodes.startup_taint,
            progress_deadline=spec.rollout.progress_deadline,
            deletion_policy=spec.deletion_policy.value,
            turned_off=list(TURNED_OFF),
        ),
        versions=versions.model_copy(
            update={
                "operator": __version__,
                "primary": facts.primary_version or "",
                "cilium_target": release.version,
                "first_minor": picture.first_minor,
                "chart_digest": picture.rendered.chart_digest,
                "chart_source": release.source,
                "kubernetes": facts.kubernetes_version,
            }
        ),
        certificates=CertificatesStatus(not_after=rfc3339(picture.certificates_end)),
    )
    source = "" if release.source == "official" else f", with a {release.source} chart that is not Cilium's"
    this.report.chained = f"Chained after {spec.primary.plugin.value} {facts.primary_version}{source}."


def _content(this: Pass, picture: Picture) -> Content:
    rendered = picture.rendered
    return Content(
        generation=this.report.generation,
        cilium=picture.release.version,
        values=rendered.values_digest,
        chart=rendered.chart_digest,
        manifests=picture.manifests_digest,
    )


def _inventory_status(store: InventoryStore, inventory: Inventory) -> InventoryStatus:
    return InventoryStatus(name=store.name, namespace=store.namespace, objects=len(inventory), digest=digest(inventory))
