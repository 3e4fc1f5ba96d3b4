"""The CA and the certificates of Hubble: made once, kept byte for byte, renewed before they end. Pure.

The chart would make new ones at every render (and with them a change, a restart and a cut connection). The private keys
go into Secrets and nowhere else: no message and no text form of anything here shows them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.api.times import rfc3339
from cnichain.render.leaves import Leaf
from cnichain.render.manifests import Manifest, manifest
from cnichain.render.pki import Pair, SecretData, dns_names, ip_addresses, issued_by, make_leaf, read_pair
from cnichain.render.rotation import CA_SECRET, SINCE, UNASKED, Authorities, Request, Step, Stored, authorities, since

RENEW_BEFORE = timedelta(days=30)
LOOK_AGAIN = timedelta(minutes=1)
"""While a rotation waits for something that has no time of its own."""


@dataclass(frozen=True)
class CertificatePlan:
    """Secrets as they should be, and when the first certificate in them ends.

    renewed: names of the Secrets whose certificate is new. ca_not_after: when the CA that signs ends. step, step_since:
    of a rotation. again: when to look again, since a step of a rotation may be over then; None without one.
    """

    secrets: tuple[Manifest, ...]
    not_after: datetime
    renewed: tuple[str, ...]
    ca_not_after: datetime
    step: Step = Step.NONE
    step_since: datetime | None = None
    again: timedelta | None = None


def plan_certificates(
    existing: Mapping[str, Stored | None],
    now: datetime,
    leaves: Sequence[Leaf],
    request: Request = UNASKED,
    *,
    renew_before: timedelta = RENEW_BEFORE,
) -> CertificatePlan:
    """What the Secrets of the CA and of the leaves should hold.

    existing: each Secret, None or left out where there is none. now: with a time zone. A leaf is kept when it is of the
    CA that signs, has the right names and does not end within renew_before; else it is made anew with that CA.

    Raises ChainError(CertificateUnusable), as rotation.authorities does.
    """
    stored = {leaf.secret: existing.get(leaf.secret) for leaf in leaves}
    ca = authorities(existing.get(CA_SECRET), list(stored.values()), now, request)
    renewed = [CA_SECRET] if ca.made else []
    secrets = [_secret(CA_SECRET, "Opaque", ca.data, ca.annotations)]
    ends, began = [ca.signer.certificate.not_valid_after_utc], []
    for leaf in leaves:
        there = stored[leaf.secret]
        pair = _kept_leaf(there, ca.signer, leaf, now, renew_before)
        unchanged = pair is not None and there is not None and there.data.get("ca.crt") == ca.bundle
        lasts = (since(there, now) if unchanged else None) or now
        if pair is None:
            pair = make_leaf(leaf.dns_names, ca.signer, now, addresses=leaf.ip_addresses)
            renewed.append(leaf.secret)
        data = {"ca.crt": ca.bundle, "tls.crt": pair.certificate_text, "tls.key": pair.key_text}
        # Without a rotation nothing depends on it, and a Secret that says it would differ from one of before.
        annotations = {} if ca.step is Step.NONE else {SINCE: rfc3339(lasts)}
        secrets.append(_secret(leaf.secret, "kubernetes.io/tls", data, annotations))
        ends.append(pair.certificate.not_valid_after_utc)
        began.append(lasts)
    return CertificatePlan(
        tuple(secrets),
        not_after=min(ends),
        renewed=tuple(renewed),
        ca_not_after=ca.signer.certificate.not_valid_after_utc,
        step=ca.step,
        step_since=ca.since,
        again=_again(ca, began, now, request),
    )


def _again(ca: Authorities, began: Sequence[datetime], now: datetime, request: Request) -> timedelta | None:
    if ca.step is Step.NONE:
        return None
    left = max(began) + request.wait - now
    return left + timedelta(seconds=1) if left > timedelta(0) else LOOK_AGAIN


def _kept_leaf(stored: Stored | None, ca: Pair, leaf: Leaf, now: datetime, renew_before: timedelta) -> Pair | None:
    """The pair of a Secret when it can stay, else None."""
    pair = read_pair(stored.data if stored else {}, "tls.crt", "tls.key")
    if isinstance(pair, str):
        return None
    certificate = pair.certificate
    # A leaf cannot outlive its CA, so one that ends with the CA is not made anew time and again.
    latest_end = min(now + renew_before, ca.certificate.not_valid_after_utc)
    fits = (
        certificate.not_valid_before_utc <= now
        and certificate.not_valid_after_utc >= latest_end
        and dns_names(certificate) == list(leaf.dns_names)
        and ip_addresses(certificate) == list(leaf.ip_addresses)
        and issued_by(certificate, ca.certificate)
    )
    return pair if fits else None


def _secret(name: str, kind: str, data: SecretData, annotations: Mapping[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": CILIUM_NAMESPACE}
    return manifest(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata | ({"annotations": dict(annotations)} if annotations else {}),
            "type": kind,
            "data": dict(data),
        }
    )
