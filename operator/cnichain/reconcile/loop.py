"""One pass over a CNIChain: look at everything, do what is missing in order, say how it stands.

Level-triggered: a pass starts from nothing but the cluster and may be cut off anywhere; the next one goes on. It waits
for nothing: a stage whose workloads are not available yet ends the pass, and the watches start the next.
"""

import logging
import time
from dataclasses import replace
from functools import partial

from cnichain.api import clock
from cnichain.api.chain import CNIChainSpec, parse_duration, parse_spec
from cnichain.api.chainnode import Condition
from cnichain.api.chainstatus import (
    VersionsStatus,
    parse_status,
)
from cnichain.api.errors import ChainError
from cnichain.api.names import SINGLETON
from cnichain.api.reasons import Reason
from cnichain.api.times import utc_now
from cnichain.apply.adopt import Adopter
from cnichain.apply.dryrun import Forecaster
from cnichain.apply.engine import Engine, places
from cnichain.apply.history import HistoryStore
from cnichain.apply.planstore import PlanStore
from cnichain.apply.store import InventoryStore
from cnichain.catalogue.model import Catalogue
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAINS
from cnichain.plan.adoption import Survey
from cnichain.plan.history import History
from cnichain.preflight.upgrade import is_older
from cnichain.reconcile.adoption import adopted, agreed, first_minor_with, take_over
from cnichain.reconcile.care import Care, Event
from cnichain.reconcile.certificates import certificate_news, request_of
from cnichain.reconcile.chainmetrics import forget_chain, show_chain, show_outcome
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.coverage import CoverageKeeper
from cnichain.reconcile.describe import Pass, content, describe, inventory_status
from cnichain.reconcile.events import Recorder
from cnichain.reconcile.finalizer import add_finalizer
from cnichain.reconcile.gates import Gates
from cnichain.reconcile.look import Looker, Picture
from cnichain.reconcile.nodenews import NodeNews
from cnichain.reconcile.nodesync import freeze
from cnichain.reconcile.outcome import Outcome
from cnichain.reconcile.overhead import OverheadKeeper
from cnichain.reconcile.planning import Planning
from cnichain.reconcile.report import Report, Type
from cnichain.reconcile.revisions import begun, deployed, failed
from cnichain.reconcile.rolling import Rolling
from cnichain.reconcile.rollout import Fleet
from cnichain.reconcile.sandboxes import SandboxWatch
from cnichain.reconcile.settings import Settings
from cnichain.reconcile.stages import StageRun
from cnichain.reconcile.statuswriter import StatusWriter, hubble_word, read_conditions, transitions
from cnichain.reconcile.teardown import Teardown
from cnichain.reconcile.waiting import is_overdue, noted
from cnichain.render.stages import Stage
from cnichain.rollout.course import Action, Course, course
from cnichain.rollout.decide import Failure
from cnichain.rollout.drops import metrics_port

logger = logging.getLogger(__name__)

SOON_SECONDS = 1.0
BEFORE_NODES = (Stage.CONFIG, Stage.OPERATOR)
"""Stages of a change before any node has it."""
WAITING_SECONDS = 15.0
"""A look at least this often while something is waited for; the watches usually come first."""


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
        self._away: tuple[float, Reason] | None = None
        self._node_news = NodeNews()
        self._coverage = CoverageKeeper(client, cluster, self._recorder, settings)
        self._overhead = OverheadKeeper(client, self._coverage, settings.overhead_seconds)
        self._gates = Gates(client, SandboxWatch(client, cluster), self._coverage.unmanaged)

    async def run(self, name: str) -> Outcome:
        """One pass. Every failure ends up in status; an API server that cannot even take that raises ApiError."""
        begun, outcome = time.monotonic(), Outcome(ready=False, failed=True)
        try:
            outcome = await self._run(name)
        except ApiError as error:
            since = self._away[0] if self._away else time.monotonic()
            self._away = (since, error.as_chain_error(name).reason)
            raise
        finally:
            show_outcome(outcome, time.monotonic() - begun)
        return outcome

    async def _run(self, name: str) -> Outcome:
        chain = await self._client.get(CHAINS, name)
        if chain is None:
            await self._forget(name)
            return Outcome(ready=False, gone=True)
        if chain["metadata"].get("deletionTimestamp"):
            await self._forget(name)
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

    async def _forget(self, name: str) -> None:
        """This CNIChain is gone, or on its way out: nothing of it is counted or shown any more."""
        await self._coverage.forget(name)
        if name == SINGLETON:
            await self._gates.rest()
            forget_chain()

    def _back_again(self) -> list[Event]:
        """What to post when the API server answers again after it could not even take a status, and of its clock."""
        news = self._client.standing.news() if self._client.standing else []
        if self._away is None:
            return news
        (since, reason), self._away = self._away, None
        seconds = time.monotonic() - since
        return [(reason, f"The API server did not take requests for {seconds:.0f} s; going on."), *news]

    @staticmethod
    def _accept(chain: Object) -> CNIChainSpec:
        name = chain["metadata"]["name"]
        if name != SINGLETON:
            raise ChainError(Reason.NOT_SINGLETON, f"this CNIChain is named {name}; only {SINGLETON} is acted on.")
        return parse_spec(chain["spec"])

    async def _advance(self, this: Pass, asked: CNIChainSpec) -> None:
        """The steps in order; the first that has to wait ends the pass. asked: the user's spec."""
        owner: str = this.chain["metadata"]["name"]
        this.update(hubble=hubble_word(asked.hubble, ready=None))
        request = request_of(this.chain, this.status.conditions, self._settings.rotation_wait)
        versions = this.status.versions or VersionsStatus()
        histories = HistoryStore(self._client, self._settings.namespace, owner)
        history = await histories.read()
        way = course(asked, this.chain["metadata"].get("annotations") or {}, history)
        spec = way.spec
        this.report.rejected = way.rejected
        this.update(rejected=way.rejected)
        picture = await self._looker.look(spec, owner, versions, this.report, request, history.first_minor)
        picture = replace(picture, back=way.action is Action.ROLLED_BACK)
        certificates = this.status.certificates
        this.events.extend(self._node_news.news(picture.nodes.reports))
        describe(this, picture)
        await self._coverage.observe(this, picture)
        if any(item.type == Type.READY and item.status == "True" for item in this.status.conditions):
            await self._overhead.measure(this)  # here, so that nothing comes between the nodes and what status says
        await add_finalizer(self._client, this.chain)
        if spec.suspend:
            this.report.suspended = True
            await freeze(self._client, picture.nodes, picture.wanted_node, owner)
            return
        store = InventoryStore(self._client, self._settings.namespace, owner)
        engine = Engine(self._client, store, owner, self._cluster.reads)
        keys = [item.key for item in picture.all_manifests]
        live = await engine.observe(keys, picture.discovery)
        self._cluster.watch_applied(places(keys, picture.discovery), owner)
        adopter = Adopter(self._client, store, owner)
        survey = await agreed(this, picture, live, adopter)
        first_minor = first_minor_with(survey, picture.first_minor)
        if not picture.remembered or first_minor != picture.first_minor:
            # Before anything is applied: a crash in between must not make a later minor the first one.
            history = replace(history, first_minor=first_minor)
            await histories.record(history)
        if first_minor != picture.first_minor:
            await self._advance(this, asked)  # with manifests that keep the defaults of the Cilium that was found
            return
        rolling = await self._rolling(this, picture, way, history, histories)
        run = StageRun(
            client=self._client,
            reads=self._cluster.reads,
            engine=engine,
            picture=picture,
            live=live,
            report=this.report,
            owner=owner,
            say=this.say,
            events=this.events,
            rediscover=self._looker.rediscover,
            care=self._care,
            planning=self._planning(this, picture, owner, survey),
            take_over=partial(take_over, this, picture, live, adopter, survey),
            rolling=rolling,
            backwards=picture.back or is_older(picture.release.version, versions.cilium),
        )
        try:
            healthy = await run.run()
        finally:
            self._drift = this.report.drift
            this.update(inventory=inventory_status(store, live.inventory))
        this.events.extend(certificate_news(certificates, picture.certificates))
        await self._note_waiting(this, spec, rolling)
        await self._coverage.restart(this, asked.unmanaged_pods, settled=healthy)
        self._note_health(this, picture, healthy=healthy)

    @staticmethod
    def _note_health(this: Pass, picture: Picture, *, healthy: bool) -> None:
        """What status says at the end of a pass without an error."""
        hubble = this.report.stages.get(Stage.HUBBLE) if this.report.hold else None
        this.update(hubble=hubble_word(picture.spec.hubble, ready=not hubble.waiting_for if hubble else healthy))
        if not healthy:
            return
        this.update(revisions=deployed(this.status.revisions, utc_now()))
        versions = this.status.versions or VersionsStatus()
        calico = picture.calico.version if picture.calico else ""
        this.update(versions=versions.model_copy(update={"cilium": picture.release.version, "calico": calico}))
        adoption, news = adopted(this.status.adoption)
        this.update(adoption=adoption)
        this.events.extend(news)

    async def _rolling(
        self, this: Pass, picture: Picture, way: Course, history: History, store: HistoryStore
    ) -> Rolling:
        fleet = Fleet(
            client=self._client,
            view=picture.nodes,
            scope=picture.nodes.scope(picture.spec),
            pods=await self._cluster.agent_pods(),
            wanted=picture.wanted_node,
            owner=store.chain,
        )
        return Rolling(
            this=this,
            fleet=fleet,
            course=way,
            history=history,
            store=store,
            cilium=picture.release.version,
            own_nodes=this.status.adoption is None,
            gates=self._gates,
            metrics_port=metrics_port(picture.rendered.values),
        )

    def _planning(self, this: Pass, picture: Picture, owner: str, survey: Survey | None) -> Planning:
        def begin() -> None:
            this.update(revisions=begun(this.status.revisions, content(this, picture), utc_now()))

        return Planning(
            store=PlanStore(self._client, self._settings.namespace, owner),
            forecaster=Forecaster(self._client, picture.discovery),
            annotations=this.chain["metadata"].get("annotations") or {},
            generation=this.report.generation,
            status=this.status.plan,
            keep=lambda plan: this.update(plan=plan),
            begin=begin,
            events=this.events,
            adopting=frozenset(survey.found) if survey else frozenset(),
        )

    @staticmethod
    async def _note_waiting(this: Pass, spec: CNIChainSpec, rolling: Rolling) -> None:
        """Set `overdue` when what is waited for has not changed for longer than spec.rollout.progressDeadline.

        A change that gets no further before any node has it has failed; what is good keeps running.
        """
        waiting_for = "; ".join(stage.waiting_for for stage in this.report.stages.values() if stage.waiting_for)
        now = clock.now()
        this.update(waiting=noted(this.status.waiting, waiting_for, now))
        this.report.overdue = is_overdue(this.status.waiting, parse_duration(spec.rollout.progress_deadline), now)
        if this.report.overdue and this.report.current in BEFORE_NODES and rolling.may_go_back:
            await rolling.fail(Failure(Reason.ROLLOUT_OVERDUE, f"stage {this.report.current}: {waiting_for}"))

    async def _finish(self, this: Pass, before: list[Condition]) -> Outcome:
        """Write the status, post the events, and say when to look again."""
        report, metadata = this.report, this.chain["metadata"]
        if report.error is not None and report.error.terminal:
            this.update(revisions=failed(this.status.revisions, report.error.reason.value, utc_now()))
        if report.findings is not None:
            this.update(preflight=report.findings)
        this.update(stage=report.current.value if report.current else "", nodes=report.nodes or this.status.nodes)
        now = await this.writer.write(report, this.status)
        if metadata["name"] == SINGLETON:
            show_chain(this.status, report, now)
        for reason, message in this.events:
            await self._recorder.event(metadata["name"], metadata["uid"], reason, message)
        told = {reason for reason, _ in this.events}
        for item in transitions(before, now):
            # What this pass has told already, such as a wave that opens, is not told once more as the state of Ready.
            is_news = item.status == "True" or item.reason not in told
            if (item.type == Type.READY and is_news) or item.reason == Reason.CATALOGUE_INVALID:
                await self._recorder.event(metadata["name"], metadata["uid"], Reason(item.reason), item.message)
        ready = any(item.type == Type.READY and item.status == "True" for item in now)
        if report.error is not None:
            return Outcome(ready=False, again=report.error.retry_after, failed=True)
        idle = ready or report.suspended or report.hold is not None
        waiting = SOON_SECONDS if report.soon else WAITING_SECONDS
        again = report.look_again if idle or report.fight else waiting
        if report.rollout_again is not None and not idle:
            again = min(again or waiting, report.rollout_again.total_seconds())
        if report.rotation_again is not None and not report.suspended:
            again = min(again or report.rotation_again.total_seconds(), report.rotation_again.total_seconds())
        return Outcome(ready=ready, again=again)
