"""The plan of a pass: made when there is something to apply, kept for people to read, and held when they say so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cnichain.api.chain import Approval, CNIChainSpec
from cnichain.api.chainnode import Desired, NodeSpec, node_spec_from_wire, to_wire
from cnichain.api.chainstatus import PlanState, PlanStatus
from cnichain.api.names import APPROVAL_ANNOTATION, SINGLETON
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import Reason
from cnichain.api.times import utc_now
from cnichain.apply.dryrun import Forecaster
from cnichain.apply.engine import Change, Engine, Live
from cnichain.apply.planstore import PlanStore
from cnichain.plan.forecast import node_change
from cnichain.plan.inventory import leftovers
from cnichain.plan.model import Action, Item, NodeChange, Plan, target_digest
from cnichain.reconcile.care import Event, is_renewal
from cnichain.reconcile.look import Picture
from cnichain.reconcile.report import Hold
from cnichain.render.prepull import KEY as PREPULL

SHOWN_ROLLS = 20


@dataclass
class Planning:
    """Plans one pass.

    annotations: of the CNIChain. status: the plan as its status has it. keep: takes the new one over into the status.
    begin: called before anything is applied. adopting: objects that are taken over from another installation.
    """

    store: PlanStore
    forecaster: Forecaster
    annotations: Mapping[str, str]
    generation: int
    status: PlanStatus | None
    keep: Callable[[PlanStatus], None]
    begin: Callable[[], None]
    events: list[Event]
    adopting: frozenset[ObjectKey] = frozenset()

    async def prepare(self, engine: Engine, picture: Picture, live: Live) -> Hold | None:
        """Make the plan when it is not made yet; why it must not be applied, None when it may be.

        With nothing to apply no request is sent. Raises ChainError when the API server refuses a part of the plan.
        """
        manifests = picture.all_manifests
        todo = [change for change in engine.changes(manifests, live) if _is_planned(change, live)]
        # What pulls images on the way goes by itself at the end.
        unwanted = leftovers(live.inventory, [*(item.key for item in manifests), PREPULL])
        # What is not served now cannot be pruned now, and must not keep a plan open.
        gone = [key for key in unwanted if picture.discovery.resource(key.api_version, key.kind) is not None]
        nodes = node_change(picture.wanted_node, _specs(picture))
        if not todo and not gone and nodes is None:
            self._set_state(PlanState.APPLIED)
            self.begin()
            return None
        digest = target_digest(manifests, to_wire(picture.wanted_node))
        hold = _hold(picture.spec, self.annotations, digest)
        if not await self._is_made(digest):
            items, rolls = await self.forecaster.forecast(todo, gone, live)
            await self._save(Plan(digest, tuple(map(self._named, items)), rolls, nodes))
        self._set_state(PlanState.PENDING if hold else PlanState.APPLYING)
        if hold is None:
            self.begin()
        return hold.about(_counts(todo, live, gone, nodes)) if hold else None

    async def _is_made(self, digest: str) -> bool:
        """Whether the plan to this state is on its way already, and can still be read."""
        if self.status is None or self.status.digest != digest or self.status.state is PlanState.APPLIED:
            return False
        try:
            kept = await self.store.read()
        except ValueError:
            # Of another release: it is replaced.
            return False
        return kept is not None and kept[0].digest == digest

    async def _save(self, plan: Plan) -> None:
        await self.store.write(plan, chain=self.store.chain, generation=self.generation, time=utc_now())
        self.status = PlanStatus(
            name=self.store.name,
            namespace=self.store.namespace,
            digest=plan.digest,
            generation=self.generation,
            create=plan.count(Action.CREATE),
            change=plan.count(Action.CHANGE, Action.RECREATE),
            prune=plan.count(Action.PRUNE),
            rolls=[f"{roll.key} ({roll.pods} pods)" for roll in plan.rolls[:SHOWN_ROLLS]],
        )
        self.events.append((Reason.PLANNED, f"Plan {plan.digest}: {plan.summary}."))

    def _named(self, item: Item) -> Item:
        """What is taken over is there already: a plan that called it new would hide that fields of its maker go."""
        if item.key not in self.adopting:
            return item
        return Item(Action.CHANGE, item.key, note="taken over: what its maker has set and the chart does not want goes")

    def _set_state(self, state: PlanState) -> None:
        if self.status is not None:
            self.status = self.status.model_copy(update={"state": state})
            self.keep(self.status)


def held_node_spec(picture: Picture) -> NodeSpec | None:
    """What nodes should have while a plan is held: what those of the chain have already. None when there are none."""
    specs = _specs(picture)
    if not specs:
        return None
    wanted = picture.wanted_node
    return replace(node_spec_from_wire(specs[0]), desired=wanted.desired, frozen=wanted.frozen)


def _specs(picture: Picture) -> list[Mapping[str, Any]]:
    """The specs of the CNIChainNodes in scope that have the chain."""
    scope, reports = picture.nodes.scope(picture.spec), picture.nodes.reports
    found = (reports[name].spec for name in sorted(scope) if name in reports)
    return [spec for spec in found if spec.get("desired") != Desired.UNCHAINED.value]


def _is_planned(change: Change, live: Live) -> bool:
    return not change.tampered and not is_renewal(change, live)


def _hold(spec: CNIChainSpec, annotations: Mapping[str, str], digest: str) -> Hold | None:
    if spec.rollout.paused:
        return Hold(Reason.PAUSED, f"Plan {digest} is held: spec.rollout.paused is true")
    if spec.rollout.approval is Approval.REQUIRED and annotations.get(APPROVAL_ANNOTATION) != digest:
        return Hold(
            Reason.APPROVAL_REQUIRED,
            f"Plan {digest} waits for approval: kubectl annotate cnichain {SINGLETON} --overwrite "
            f"{APPROVAL_ANNOTATION}={digest}",
        )
    return None


def _counts(todo: Sequence[Change], live: Live, gone: Sequence[object], nodes: NodeChange | None) -> str:
    """What is left to do, and what is not looked after meanwhile, in words."""
    unkept = [change for change in todo if change.manifest.key in live.inventory]
    said = f"{len(todo)} objects to apply, {len(gone)} to prune" + (f", {nodes.nodes} nodes to change" if nodes else "")
    warned = f" Drift of the {len(unkept)} objects that it changes is not corrected." if unkept else ""
    return f" ({said}; `cnichain diff` shows them).{warned}"
