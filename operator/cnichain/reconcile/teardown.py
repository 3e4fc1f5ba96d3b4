"""One pass over a CNIChain that is being deleted. Level-triggered like any other pass, and cut off anywhere.

`Retain` says what stays and lets go. `Uninstall` brings every node back to the primary CNI, verified, before the first
object is deleted; then removes the stages in reverse, and its own records at the very end, so that an operator that is
killed at any point finds all it needs to go on. spec is read anew in each pass: whoever changes deletionPolicy on the
way is obeyed from the next step on.

It needs neither the chart nor a valid spec: the inventory and the CNIChainNodes say what was done.
"""

import logging
from dataclasses import dataclass

from cnichain.api import clock
from cnichain.api.chainstatus import CNIChainStatus, InventoryStatus, NodesStatus, WaitingStatus, parse_status
from cnichain.api.errors import ChainError
from cnichain.api.names import SINGLETON
from cnichain.api.reasons import Reason
from cnichain.apply.engine import places
from cnichain.apply.removal import Remover
from cnichain.apply.store import InventoryStore
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CRDS
from cnichain.plan.inventory import Inventory, digest
from cnichain.plan.nodes import SHOWN_NODES
from cnichain.plan.removal import NodesLeft, Wishes, batches, kept, may_get_cilium, wishes_of
from cnichain.reconcile.calico import check_removable
from cnichain.reconcile.cluster import Cluster
from cnichain.reconcile.events import Recorder
from cnichain.reconcile.finalizer import has_finalizer, remove_finalizer
from cnichain.reconcile.nodesync import NodeView
from cnichain.reconcile.outcome import Outcome
from cnichain.reconcile.report import Removal, Report, Type
from cnichain.reconcile.statuswriter import StatusWriter, read_conditions, transitions
from cnichain.reconcile.teardownwords import how_far, nodes_waiting, objects_waiting, retained, uninstalled
from cnichain.reconcile.unchain import Unchainer
from cnichain.reconcile.waiting import is_overdue, noted

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
"""A look at least this often while something is waited for; the watches usually come first."""
NODES_STAGE = "nodes"
TAINTS_STAGE = "taints"


@dataclass
class _Work:
    """What one pass gathers. stage: what it is at; nodes: where the nodes are, None before they were looked at."""

    chain: Object
    wishes: Wishes
    report: Report
    status: CNIChainStatus
    stage: str = NODES_STAGE
    nodes: NodesLeft | None = None
    inventory: Inventory | None = None
    waiting: WaitingStatus | None = None
    finished: bool = False

    @property
    def name(self) -> str:
        return str(self.chain["metadata"]["name"])

    @property
    def how_far(self) -> str:
        return how_far(self.nodes) if self.nodes else "The nodes have not been looked at yet."


class Teardown:
    """Makes passes over CNIChains that are being deleted. Remembers nothing: all it needs is in the cluster."""

    def __init__(self, client: KubeClient, cluster: Cluster, recorder: Recorder, namespace: str) -> None:
        self._client = client
        self._cluster = cluster
        self._recorder = recorder
        self._namespace = namespace

    async def run(self, chain: Object) -> Outcome:
        """One pass. Every failure ends up in status; an API server that cannot even take that raises ApiError."""
        metadata = chain["metadata"]
        if not has_finalizer(chain):
            # Nothing was ever applied for it, or a person has taken the finalizer off: their word counts.
            return Outcome(ready=False, gone=True)
        status = parse_status(chain.get("status") or {})
        report = Report(generation=metadata["generation"], error_in=Type.CILIUM_READY)
        work = _Work(chain, wishes_of(chain), report, status)
        try:
            if metadata["name"] != SINGLETON:
                work.finished = True
            elif work.wishes.uninstall:
                await self._uninstall(work)
            else:
                await self._retain(work)
            if work.finished:
                await remove_finalizer(self._client, chain)
                return Outcome(ready=False, gone=True)
        except ChainError as error:
            work.report.error = error
        except ApiError as error:
            work.report.error = error.as_chain_error(f"uninstall, stage {work.stage}")
        except Exception as error:
            # Broad on purpose: the loop must outlive a bug of ours, and status must show that there is one.
            logger.exception("teardown of CNIChain %s", metadata["name"])
            work.report.error = ChainError(
                Reason.INTERNAL_ERROR, f"{type(error).__name__}; the operator's log has the rest."
            )
        await self._say(work)
        if work.report.error is not None:
            return Outcome(ready=False, again=work.report.error.retry_after, failed=True)
        return Outcome(ready=False, again=None if work.wishes.suspend else AGAIN_SECONDS)

    async def _retain(self, work: _Work) -> None:
        """Say what keeps running, and be done."""
        view = await self._view()
        try:
            inventory: Inventory = await self._store(work).read()
        except ChainError as error:
            logger.warning("%s", error)  # a list that cannot be read keeps nobody from leaving everything as it is
            inventory = {}
        if inventory or view.reports:
            await self._event(work, Reason.RETAINED, retained(inventory, view.reports))
        work.finished = True

    async def _uninstall(self, work: _Work) -> None:
        """The steps in order; the first that has to wait ends the pass."""
        store = self._store(work)
        inventory = await store.read()
        work.inventory = inventory
        view = await self._view()
        unchainer = Unchainer(self._client, view, work.wishes, work.name)
        if work.wishes.suspend:
            work.nodes = await unchainer.freeze()
            said = "spec.suspend is true: the uninstallation waits, and nothing is changed."
            work.report.removal = Removal(Reason.SUSPENDED, said, work.how_far)
            return
        work.nodes = left = await unchainer.unchain(joining=may_get_cilium(inventory))
        if left.waiting:
            self._wait(work, ",".join(left.waiting), nodes_waiting(left, work.name))
            return
        if not await self._remove_objects(work, store):
            return
        work.stage = TAINTS_STAGE
        if late := await unchainer.open_all():
            self._wait(work, ",".join(late), (f"Taints are taken off {', '.join(late[:SHOWN_NODES])}.", ""))
            return
        await unchainer.let_go(left)
        crds, _ = await self._client.list(CRDS, metadata_only=True)
        names = [item["metadata"]["name"] for item in crds if item["metadata"]["name"].endswith(".cilium.io")]
        said = uninstalled(left, kept(inventory), names)
        await store.delete_all()
        await self._event(work, Reason.UNINSTALLED, said)
        work.finished = True

    async def _remove_objects(self, work: _Work, store: InventoryStore) -> bool:
        """Delete the objects batch by batch; True when all are gone."""
        inventory = dict(work.inventory or {})
        work.inventory = inventory
        discovery = await self._client.discover()
        self._cluster.watch_applied(places(inventory, discovery), work.name)
        await check_removable(self._client, discovery, inventory)
        remover = Remover(self._client, store, work.name, discovery)
        todo = batches(inventory)
        for number, batch in enumerate(todo):
            work.stage = batch.stage
            remaining = await remover.remove(batch.keys, inventory)
            if remaining:
                self._wait(work, ",".join(map(str, remaining)), objects_waiting(remaining))
                return False
            if number + 1 == len(todo) or todo[number + 1].stage != batch.stage:
                await self._event(work, Reason.STAGE_REMOVED, f"Stage {batch.stage}: every object of it is gone.")
        return True

    def _wait(self, work: _Work, waiting_for: str, words: tuple[str, str]) -> None:
        """Put into the report what is waited for; words: what to say, and what to add when it takes too long.

        waiting_for tells one wait from another: while it stays the same there is no progress.
        """
        now = clock.now()
        work.waiting = noted(work.status.waiting, waiting_for, now)
        said, advice = words
        reason = Reason.UNINSTALLING
        if is_overdue(work.waiting, work.wishes.deadline, now):
            reason = Reason.UNINSTALL_OVERDUE
            minutes = work.wishes.deadline.total_seconds() / 60
            said = f"{said} No progress for more than {minutes:g} minutes. {advice}".rstrip()
        work.report.removal = Removal(reason, f"Stage {work.stage}: {said}", work.how_far)

    async def _say(self, work: _Work) -> None:
        """Write how it stands, and post what is new."""
        current = work.chain.get("status") or {}
        writer = StatusWriter(self._client, work.name, current)
        status = work.status.model_copy(update={"stage": work.stage, "hubble": "Uninstalling"})
        if work.report.error is None:
            status = status.model_copy(update={"waiting": work.waiting})
        else:
            work.report.removal = Removal(Reason.UNINSTALLING, "", work.how_far)
        if work.nodes is not None:
            status = status.model_copy(update={"nodes": _counts(work.nodes)})
        if work.inventory is not None:
            store, inventory = self._store(work), work.inventory
            shown = InventoryStatus(
                name=store.name, namespace=store.namespace, objects=len(inventory), digest=digest(inventory)
            )
            status = status.model_copy(update={"inventory": shown})
        now = await writer.write(work.report, status)
        for item in transitions(read_conditions(current), now):
            if item.type == Type.READY:
                await self._event(work, Reason(item.reason), item.message)

    def _store(self, work: _Work) -> InventoryStore:
        return InventoryStore(self._client, self._namespace, work.name)

    async def _view(self) -> NodeView:
        return NodeView(await self._cluster.nodes(), await self._cluster.node_reports())

    async def _event(self, work: _Work, reason: Reason, message: str) -> None:
        await self._recorder.event(work.name, work.chain["metadata"]["uid"], reason, message)


def _counts(left: NodesLeft) -> NodesStatus:
    """Counts for status: `verified` are the nodes that run the primary alone."""
    total = len(left.done) + len(left.waiting)
    return NodesStatus(
        in_scope=total,
        verified=len(left.done),
        summary=f"{len(left.done)}/{total}",
        not_verified=[f"{name}: {why}"[:300] for name, why in list(left.waiting.items())[:SHOWN_NODES]],
    )
