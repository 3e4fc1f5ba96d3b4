"""The certificates of a pass: read from the cluster, planned, and told of in status and events. Never a key."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cnichain.api import clock
from cnichain.api.chainnode import Condition
from cnichain.api.chainstatus import CertificatesStatus
from cnichain.api.names import CILIUM_NAMESPACE, ROTATE_CA_ANNOTATION
from cnichain.api.reasons import Reason
from cnichain.api.times import rfc3339
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import SECRETS
from cnichain.reconcile.care import Event
from cnichain.reconcile.report import Type
from cnichain.render.certs import CertificatePlan, plan_certificates
from cnichain.render.leaves import Leaf
from cnichain.render.rotation import CA_SECRET, Request, Step, Stored

USERS = (Type.CILIUM_READY, Type.HUBBLE_READY)
"""Conditions of the parts that use the certificates: Hubble's server in the agents, relay and UI."""


@dataclass(frozen=True)
class Certificates:
    """What is planned. renewed: names of the Secrets that exist and get a new certificate."""

    plan: CertificatePlan
    renewed: tuple[str, ...]


async def look_at_certificates(client: KubeClient, leaves: Sequence[Leaf], request: Request) -> Certificates:
    """The certificates as they should be, from the Secrets that are there.

    Raises ChainError(CertificateUnusable), and ApiError when the Secrets cannot be read.
    """
    names = [CA_SECRET, *(leaf.secret for leaf in leaves)]
    secrets = await asyncio.gather(*(client.get(SECRETS, name, CILIUM_NAMESPACE) for name in names))
    existing = {name: stored(secret) for name, secret in zip(names, secrets, strict=True)}
    plan = plan_certificates(existing, clock.now(), leaves, request)
    return Certificates(plan, tuple(name for name in plan.renewed if existing[name] is not None))


def stored(secret: Object | None) -> Stored | None:
    """A Secret as the planner wants it."""
    if secret is None:
        return None
    return Stored(dict(secret.get("data") or {}), dict(secret["metadata"].get("annotations") or {}))


def request_of(chain: Mapping[str, Any], conditions: Sequence[Condition], wait: timedelta) -> Request:
    """What a rotation depends on beside the Secrets. conditions: the parts' as status has them from the last pass."""
    asked = str((chain["metadata"].get("annotations") or {}).get(ROTATE_CA_ANNOTATION, ""))
    state = {item.type: item.status for item in conditions}
    return Request(asked=asked, wait=wait, healthy=all(state.get(kind) == "True" for kind in USERS))


def as_status(certificates: Certificates) -> CertificatesStatus:
    """What status says of them."""
    plan = certificates.plan
    return CertificatesStatus(
        not_after=rfc3339(plan.not_after),
        ca_not_after=rfc3339(plan.ca_not_after),
        rotation=plan.step.value,
        rotation_since=rfc3339(plan.step_since) if plan.step_since else "",
    )


def certificate_news(before: CertificatesStatus | None, certificates: Certificates) -> list[Event]:
    """What to tell once the Secrets are applied. before: the status of the last pass."""
    step, was = certificates.plan.step, before.rotation if before else Step.NONE.value
    told: list[Event] = []
    if step is Step.TRUST_BOTH and was != step:
        told.append(
            (
                Reason.CA_ROTATING,
                "Step 1 of 2: a new CA is made, and every part gets it beside the old one.",
            )
        )
    elif step is Step.ISSUE_NEW and was != step:
        told.append((Reason.CA_ROTATING, "Step 2 of 2: every certificate is made anew by the new CA."))
    elif step is Step.NONE and was:
        end = certificates.plan.ca_not_after
        told.append((Reason.CA_ROTATED, f"The new CA alone is trusted; it ends on {end:%Y-%m-%d}."))
    if certificates.renewed:
        named = ", ".join(certificates.renewed)
        told.append((Reason.CERTIFICATE_RENEWED, f"New in {CILIUM_NAMESPACE}: {named}; keys and certificates."))
    return told
