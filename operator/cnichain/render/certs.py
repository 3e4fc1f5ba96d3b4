"""The CA and the certificates of Hubble: made once, kept byte for byte, renewed before they end. Pure.

The chart would make new ones at every render (and with them a change, a restart and a cut connection). Names and
extended key usages are those that the chart's own templates ask for (templates/hubble/tls-helm). The private keys go
into Secrets and nowhere else: no message and no text form of anything here shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cnichain.api.errors import ChainError
from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.api.reasons import Reason
from cnichain.render.manifests import Manifest, manifest
from cnichain.render.pki import Pair, SecretData, dns_names, is_ca, issued_by, make_ca, make_leaf, read_pair
from cnichain.render.values import RELAY_CLIENT_SECRET, SERVER_SECRET

CA_SECRET = "cilium-ca"  # noqa: S105 - the name of a Secret
SECRET_NAMES = (CA_SECRET, SERVER_SECRET, RELAY_CLIENT_SECRET)
"""Secrets in kube-system that `plan_certificates` wants to see, and plans."""

RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class CertificatePlan:
    """Secrets as they should be, and when the first certificate in them ends.

    renewed: names of the Secrets whose certificate is new.
    """

    secrets: tuple[Manifest, ...]
    not_after: datetime
    renewed: tuple[str, ...]


def plan_certificates(
    existing: Mapping[str, SecretData | None], now: datetime, cluster: str, *, renew_before: timedelta = RENEW_BEFORE
) -> CertificatePlan:
    """What the Secrets of SECRET_NAMES should hold.

    existing: `data` of each Secret as the API serves it (base64), None where there is no such Secret. now: with a time
    zone. cluster: cluster.name of the chart. A leaf is kept when it is of this CA, has the right name and does not end
    within renew_before; else it is made anew with the same CA.

    Raises ChainError(CertificateUnusable) when there is a CA that cannot be used: it is never replaced silently, since
    everything that trusts it would be cut off.
    """
    renewed: list[str] = []
    found = existing.get(CA_SECRET)
    if found is None:
        ca = make_ca(now)
        renewed.append(CA_SECRET)
    else:
        ca = _read_ca(found, now)
    secrets = [_secret(CA_SECRET, "Opaque", {"ca.crt": ca.certificate_text, "ca.key": ca.key_text})]
    ends = [ca.certificate.not_valid_after_utc]
    for name, dns_name in _leaf_names(cluster).items():
        leaf = _kept_leaf(existing.get(name), ca, dns_name, now, renew_before)
        if leaf is None:
            leaf = make_leaf(dns_name, ca, now)
            renewed.append(name)
        data = {"ca.crt": ca.certificate_text, "tls.crt": leaf.certificate_text, "tls.key": leaf.key_text}
        secrets.append(_secret(name, "kubernetes.io/tls", data))
        ends.append(leaf.certificate.not_valid_after_utc)
    return CertificatePlan(tuple(secrets), min(ends), tuple(renewed))


def _leaf_names(cluster: str) -> dict[str, str]:
    """Secret to the DNS name in its certificate, as the chart's templates build it."""
    return {
        SERVER_SECRET: f"*.{cluster.replace('.', '-')}.hubble-grpc.cilium.io",
        RELAY_CLIENT_SECRET: "*.hubble-relay.cilium.io",
    }


def _read_ca(data: SecretData, now: datetime) -> Pair:
    where = f"Secret {CILIUM_NAMESPACE}/{CA_SECRET}"
    pair = read_pair(data, "ca.crt", "ca.key")
    if isinstance(pair, str):
        raise ChainError(Reason.CERTIFICATE_UNUSABLE, f"{where}: {pair}.")
    if not is_ca(pair.certificate):
        raise ChainError(Reason.CERTIFICATE_UNUSABLE, f"{where}: ca.crt is not the certificate of a CA.")
    end = pair.certificate.not_valid_after_utc
    if end <= now:
        raise ChainError(Reason.CERTIFICATE_UNUSABLE, f"{where}: ca.crt ended on {end:%Y-%m-%d}.")
    return pair


def _kept_leaf(data: SecretData | None, ca: Pair, dns_name: str, now: datetime, renew_before: timedelta) -> Pair | None:
    """The leaf of a Secret when it can stay, else None."""
    pair = read_pair(data or {}, "tls.crt", "tls.key")
    if isinstance(pair, str):
        return None
    certificate = pair.certificate
    # A leaf cannot outlive its CA, so one that ends with the CA is not made anew time and again.
    latest_end = min(now + renew_before, ca.certificate.not_valid_after_utc)
    fits = (
        certificate.not_valid_before_utc <= now
        and certificate.not_valid_after_utc >= latest_end
        and dns_names(certificate) == [dns_name]
        and issued_by(certificate, ca.certificate)
    )
    return pair if fits else None


def _secret(name: str, kind: str, data: SecretData) -> Manifest:
    return manifest(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": CILIUM_NAMESPACE},
            "type": kind,
            "data": dict(data),
        }
    )
