"""Which CA signs, which ones are trusted, and when that changes. Pure: all of it follows from what is in the cluster.

A CA is replaced in two steps, so that at no moment a part that has its old files yet and one that has the new ones
refuse each other:

1. TrustBoth: a new CA stands beside the old one (`next.crt`, `next.key` in the Secret cilium-ca). Every leaf's `ca.crt`
   becomes the bundle of both; the leaves are still the old CA's.
2. IssueNew: the new CA is `ca.crt`, the old one's certificate is kept as `previous.crt`, its key is gone. Every leaf is
   made anew by the new CA; the bundle is the same.

Then `previous.crt` goes, and with it the old CA from the bundles. The kubelet brings a changed Secret to the pods
within one to two minutes, and Hubble's server, relay and UI load changed files without a restart, the CA's too
(upstream: Documentation/observability/hubble/configuration/tls.rst). So a step may be left when every leaf's Secret has
been as the step wants it for `wait`; when that began stands on the Secret itself (SINCE), since the write may come much
later than the decision. A Secret that is missing, or parts that are not healthy, are waited for as well, but for
PATIENCE only: one node that is away for good must not let the CA end for all others.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509

from cnichain.api.errors import ChainError
from cnichain.api.names import CILIUM_NAMESPACE, ROTATE_CA_ANNOTATION, SINGLETON
from cnichain.api.reasons import Reason
from cnichain.api.times import parse_rfc3339, rfc3339
from cnichain.render.pki import Pair, SecretData, is_ca, issued_by, make_ca, read_pair

CA_SECRET = "cilium-ca"  # noqa: S105 - the name of a Secret
ROTATE_BEFORE = timedelta(days=180)
DEFAULT_WAIT = timedelta(minutes=10)
PATIENCE = timedelta(days=7)
ROTATED = "cnichain.io/rotated-ca"
"""On the Secret of the CA: the request of a person that it, or the CA that is about to replace it, has answered."""
SINCE = "cnichain.io/certificates-since"
"""During a rotation, on each Secret: since when it is as the step wants it."""


class Step(StrEnum):
    """How far a rotation is; NONE when there is none."""

    NONE = ""
    TRUST_BOTH = "TrustBoth"
    ISSUE_NEW = "IssueNew"


@dataclass(frozen=True, repr=False)
class Stored:
    """A Secret in the cluster: its data as the API serves it, and its annotations."""

    data: SecretData
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a rotation depends on beside the Secrets.

    asked: what a person has put into the annotation cnichain.io/rotate-ca, "" when nothing. wait: how long a step lasts
    at least. healthy: whether agents and relay are.
    """

    asked: str = ""
    wait: timedelta = DEFAULT_WAIT
    healthy: bool = True


UNASKED = Request()


@dataclass(frozen=True, repr=False)
class Authorities:
    """The CAs as they should be. signer: makes every leaf. since: when the step began, None without a rotation.

    following: with TrustBoth, the CA that comes next. previous: with IssueNew, the certificate of the one before, as
    the text of a Secret. token: the request that is answered. made: the signer is new, and nothing has trusted it yet.
    """

    step: Step
    signer: Pair
    following: Pair | None = None
    previous: str = ""
    since: datetime | None = None
    token: str = ""
    made: bool = False

    @property
    def bundle(self) -> str:
        """What every part should trust, as the text of a Secret: the older CA first."""
        texts = (self.previous, self.signer.certificate_text, self.following and self.following.certificate_text)
        return base64.b64encode(b"".join(base64.b64decode(text) for text in texts if text)).decode()

    @property
    def data(self) -> dict[str, str]:
        """`data` of the Secret of the CA."""
        found = {"ca.crt": self.signer.certificate_text, "ca.key": self.signer.key_text}
        if self.following:
            found |= {"next.crt": self.following.certificate_text, "next.key": self.following.key_text}
        if self.previous:
            found["previous.crt"] = self.previous
        return found

    @property
    def annotations(self) -> dict[str, str]:
        """Annotations of the Secret of the CA."""
        found = {ROTATED: self.token} if self.token else {}
        return found | ({SINCE: rfc3339(self.since)} if self.since else {})


def authorities(
    ca: Stored | None, leaves: Sequence[Stored | None], now: datetime, request: Request = UNASKED
) -> Authorities:
    """The CAs as they should be now. ca, leaves: the Secrets as they are, None for one that is missing.

    Raises ChainError(CertificateUnusable) when there is a CA that cannot be used: it is never replaced silently, since
    everything that trusts it would be cut off.
    """
    if ca is None:
        return Authorities(Step.NONE, make_ca(now), token=request.asked, made=True)
    signer = _read_signer(ca.data)
    token = ca.annotations.get(ROTATED, "")
    began = since(ca, now) or now
    if ca.data.get("next.crt") or ca.data.get("next.key"):
        return _while_both_are_trusted(ca, signer, token, began, leaves, now, request)
    previous = ca.data.get("previous.crt", "")
    if previous and _is_certificate(previous):
        state = Authorities(Step.ISSUE_NEW, signer, previous=previous, since=began, token=token)
        return Authorities(Step.NONE, signer, token=token) if _may_leave(state, leaves, now, request) else state
    is_asked = bool(request.asked) and request.asked != token
    end = signer.certificate.not_valid_after_utc
    if end <= now:
        if is_asked:
            return Authorities(Step.NONE, make_ca(now), token=request.asked, made=True)
        raise ChainError(
            Reason.CERTIFICATE_UNUSABLE,
            f"Secret {CILIUM_NAMESPACE}/{CA_SECRET}: ca.crt ended on {end:%Y-%m-%d}. Nothing trusts it any more, so it "
            f"can be replaced at once: kubectl annotate cnichain {SINGLETON} --overwrite {ROTATE_CA_ANNOTATION}=TOKEN, "
            f"with any TOKEN that was not used before.",
        )
    if is_asked or end - now <= ROTATE_BEFORE:
        token = request.asked or token
        return Authorities(Step.TRUST_BOTH, signer, following=_next_ca(now), since=now, token=token)
    return Authorities(Step.NONE, signer, token=token)


def _while_both_are_trusted(
    ca: Stored,
    signer: Pair,
    token: str,
    began: datetime,
    leaves: Sequence[Stored | None],
    now: datetime,
    request: Request,
) -> Authorities:
    found = read_pair(ca.data, "next.crt", "next.key")
    # Nothing is signed by it yet, so one that somebody has spoilt can be made anew.
    usable = isinstance(found, Pair) and is_ca(found.certificate) and found.certificate.not_valid_after_utc > now
    following = found if isinstance(found, Pair) and usable else _next_ca(now)
    state = Authorities(Step.TRUST_BOTH, signer, following=following, since=began, token=token)
    # Once the old CA has ended there is nothing left that waiting could save.
    if signer.certificate.not_valid_after_utc <= now or _may_leave(state, leaves, now, request):
        return Authorities(
            Step.ISSUE_NEW, following, previous=signer.certificate_text, since=now, token=token, made=True
        )
    return state


def since(stored: Stored | None, now: datetime) -> datetime | None:
    """Since when a Secret is as it is, by its annotation; None when it does not say, or says what cannot be."""
    found = parse_rfc3339(stored.annotations.get(SINCE, "")) if stored else None
    return found if found is not None and found <= now else None


def _may_leave(state: Authorities, leaves: Sequence[Stored | None], now: datetime, request: Request) -> bool:
    there = [leaf for leaf in leaves if leaf is not None]
    if not all(_has_lasted(leaf, state, now, request.wait) for leaf in there):
        return False
    all_well = request.healthy and len(there) == len(leaves)
    return all_well or (state.since is not None and now - state.since >= PATIENCE)


def _has_lasted(leaf: Stored, state: Authorities, now: datetime, wait: timedelta) -> bool:
    """Whether a leaf's Secret has been as the step wants it for long enough."""
    began, pair = since(leaf, now), read_pair(leaf.data, "tls.crt", "tls.key")
    return (
        began is not None
        and now - began >= wait
        and leaf.data.get("ca.crt") == state.bundle
        and isinstance(pair, Pair)
        and issued_by(pair.certificate, state.signer.certificate)
    )


def _next_ca(now: datetime) -> Pair:
    # A name of its own: some verifiers look for an issuer by name first, and take the first one that they find.
    return make_ca(now, f"Cilium CA {now:%Y-%m-%dT%H:%M:%SZ}")


def _read_signer(data: SecretData) -> Pair:
    where = f"Secret {CILIUM_NAMESPACE}/{CA_SECRET}"
    pair = read_pair(data, "ca.crt", "ca.key")
    if isinstance(pair, str):
        raise ChainError(Reason.CERTIFICATE_UNUSABLE, f"{where}: {pair}.")
    if not is_ca(pair.certificate):
        raise ChainError(Reason.CERTIFICATE_UNUSABLE, f"{where}: ca.crt is not the certificate of a CA.")
    return pair


def _is_certificate(text: str) -> bool:
    try:
        x509.load_pem_x509_certificate(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return False
    return True
