"""What a pass tells of the picture that it works on: the parts of status that say what is in force."""

from dataclasses import dataclass
from typing import Any

from cnichain import __version__
from cnichain.api.chain import PolicyEngine
from cnichain.api.chainstatus import (
    CNIChainStatus,
    EffectiveStatus,
    InventoryStatus,
    VersionsStatus,
)
from cnichain.api.reasons import Reason
from cnichain.apply.store import InventoryStore
from cnichain.kube.client import Object
from cnichain.plan.inventory import Inventory, digest
from cnichain.reconcile.care import Event
from cnichain.reconcile.certificates import as_status
from cnichain.reconcile.look import Picture
from cnichain.reconcile.report import Report
from cnichain.reconcile.revisions import Content
from cnichain.reconcile.statuswriter import StatusWriter

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


def describe(this: Pass, picture: Picture) -> None:
    """The parts of status that tell what is in force, and the sentence that Ready will say."""
    spec, release, facts = picture.spec, picture.release, picture.facts
    versions = this.status.versions or VersionsStatus()
    before = this.status.effective.values_digest if this.status.effective else ""
    if picture.rendered.notes and picture.rendered.values_digest != before:
        this.events.append((Reason.VALUE_MOVED, " ".join(picture.rendered.notes)))
    this.update(
        effective=EffectiveStatus(
            primary=spec.primary.plugin.value,
            min_version=spec.primary.min_version or picture.rule.recommended_minimum,
            hubble_metrics=[metric.value for metric in spec.hubble.metrics],
            flow_export=spec.hubble.export.profile.value,
            policy_audit_mode=spec.policy_audit_mode,
            writer=spec.conflist.writer.value,
            policy_engine=(PolicyEngine.CILIUM if facts.cilium_enforces else PolicyEngine.CALICO).value,
            values_digest=picture.rendered.values_digest,
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
        certificates=as_status(picture.certificates),
    )
    source = "" if release.source == "official" else f", with a {release.source} chart that is not Cilium's"
    this.report.chained = f"Chained after {spec.primary.plugin.value} {facts.primary_version}{source}."


def content(this: Pass, picture: Picture) -> Content:
    """What the pass rolls out, as a revision says it."""
    rendered = picture.rendered
    return Content(
        generation=this.report.generation,
        cilium=picture.release.version,
        values=rendered.values_digest,
        chart=rendered.chart_digest,
        manifests=picture.manifests_digest,
    )


def inventory_status(store: InventoryStore, inventory: Inventory) -> InventoryStatus:
    """Where the inventory is, and what it holds."""
    return InventoryStatus(name=store.name, namespace=store.namespace, objects=len(inventory), digest=digest(inventory))
