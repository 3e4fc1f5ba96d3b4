"""Certificates: a chain that verifies, kept byte for byte, renewed in time, and never replaced behind anyone's back."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.render.certs import CertificatePlan, plan_certificates
from cnichain.render.leaves import RELAY_CLIENT_SECRET, SERVER_SECRET, wanted_leaves
from cnichain.render.rotation import CA_SECRET, Request, Step, Stored

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
CA, SERVER, CLIENT = SECRET_NAMES = (CA_SECRET, SERVER_SECRET, RELAY_CLIENT_SECRET)
LEAVES = {SERVER: "*.prod.hubble-grpc.cilium.io", CLIENT: "*.hubble-relay.cilium.io"}
Data = dict[str, dict[str, str]]


def planned(
    existing: Mapping[str, dict[str, str] | None], now: datetime, cluster: str, asked: str = ""
) -> CertificatePlan:
    """The plan for Secrets of which only the data is known, and the two leaves that every chain has."""
    secrets = {name: None if data is None else Stored(data) for name, data in existing.items()}
    return plan_certificates(secrets, now, wanted_leaves({"cluster": {"name": cluster}}), Request(asked=asked))


def data_of(plan: CertificatePlan) -> Data:
    return {item.name: item.body["data"] for item in plan.secrets}


def certificate(data: Data, secret: str, entry: str = "tls.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(data[secret][entry]))


def encode(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def key_pem(key: Any) -> str:
    return encode(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def foreign_ca(key: Any, *, ca: bool | None = True, end: datetime = NOW + timedelta(days=1000)) -> dict[str, str]:
    """A CA as someone else may have put it there: other key types, no key identifiers."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Someone's CA")])
    builder = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key(), serial_number=7)
        .not_valid_before(NOW - timedelta(days=2000))
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return {"ca.crt": encode(signed.public_bytes(serialization.Encoding.PEM)), "ca.key": key_pem(key)}


@pytest.fixture(scope="module")
def made() -> Data:
    """What is made for a cluster that has nothing yet."""
    return data_of(planned({}, NOW, "prod"))


def test_everything_is_made_for_a_cluster_that_has_nothing() -> None:
    plan = planned(dict.fromkeys(SECRET_NAMES), NOW, "prod")
    assert plan.renewed == SECRET_NAMES
    assert {(item.kind, item.namespace, item.name) for item in plan.secrets} == {
        ("Secret", "kube-system", name) for name in SECRET_NAMES
    }
    assert [item.body["type"] for item in plan.secrets] == ["Opaque", "kubernetes.io/tls", "kubernetes.io/tls"]
    assert plan.not_after == (NOW + timedelta(days=365)).replace(microsecond=0)


@pytest.mark.parametrize("secret", LEAVES)
def test_a_leaf_verifies_for_its_name_as_server_and_as_client(made: Data, secret: str) -> None:
    ca, leaf = certificate(made, CA, "ca.crt"), certificate(made, secret)
    policy = PolicyBuilder().store(Store([ca])).time(NOW + timedelta(days=1))
    host = LEAVES[secret].replace("*", "node-1")
    chain = policy.build_server_verifier(x509.DNSName(host)).verify(leaf, [])
    assert chain == [leaf, ca]
    assert policy.build_client_verifier().verify(leaf, []).chain == [leaf, ca]
    assert made[secret]["ca.crt"] == made[CA]["ca.crt"], "Hubble and relay would not trust each other"


@pytest.mark.parametrize("secret", LEAVES)
def test_name_and_key_of_a_leaf(made: Data, secret: str) -> None:
    leaf = certificate(made, secret)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [LEAVES[secret]]
    assert leaf.subject.rfc4514_string() == f"CN={LEAVES[secret]}"
    key = serialization.load_pem_private_key(base64.b64decode(made[secret]["tls.key"]), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == leaf.public_key()
    assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc


def test_dots_of_a_cluster_name_become_dashes_as_in_the_chart() -> None:
    data = data_of(planned({}, NOW, "a.b"))
    assert certificate(data, SERVER).subject.rfc4514_string() == "CN=*.a-b.hubble-grpc.cilium.io"


@given(st.integers(0, 334 * 86400))
def test_everything_is_kept_byte_for_byte_until_thirty_days_before_the_end(seconds: int) -> None:
    plan = planned(KEPT, NOW + timedelta(seconds=seconds), "prod")
    assert data_of(plan) == KEPT
    assert plan.renewed == ()


KEPT = data_of(planned({}, NOW, "prod"))


def test_leaves_near_their_end_are_renewed_with_the_same_ca(made: Data) -> None:
    later = NOW + timedelta(days=336)
    plan = planned(made, later, "prod")
    data = data_of(plan)
    assert plan.renewed == (SERVER, CLIENT)
    assert data[CA] == made[CA]
    assert data[SERVER]["tls.key"] != made[SERVER]["tls.key"]
    certificate(data, SERVER).verify_directly_issued_by(certificate(made, CA, "ca.crt"))
    assert plan.not_after == (later + timedelta(days=365)).replace(microsecond=0)
    assert planned(data, later, "prod").renewed == ()


def without(made: Data, **changes: dict[str, str] | None) -> dict[str, dict[str, str] | None]:
    return {**made, **{name.replace("_", "-"): value for name, value in changes.items()}}


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"tls.crt": "", "tls.key": ""},
        {"tls.crt": "no base64!", "tls.key": "no base64!"},
        {"tls.crt": encode(b"no PEM"), "tls.key": encode(b"no PEM")},
    ],
)
def test_an_unreadable_leaf_is_made_anew(made: Data, broken: dict[str, str] | None) -> None:
    plan = planned(without(made, hubble_server_certs=broken), NOW, "prod")
    assert plan.renewed == (SERVER,)
    assert data_of(plan)[CLIENT] == made[CLIENT]


def test_a_leaf_whose_key_is_of_another_is_made_anew(made: Data) -> None:
    mixed = {**made[SERVER], "tls.key": made[CLIENT]["tls.key"]}
    assert planned(without(made, hubble_server_certs=mixed), NOW, "prod").renewed == (SERVER,)


def test_a_leaf_of_another_ca_is_made_anew(made: Data) -> None:
    other = data_of(planned({}, NOW, "prod"))
    plan = planned(without(made, hubble_relay_client_certs=other[CLIENT]), NOW, "prod")
    assert plan.renewed == (CLIENT,)


def test_the_server_leaf_follows_the_name_of_the_cluster(made: Data) -> None:
    assert planned(made, NOW, "other").renewed == (SERVER,)


def test_a_leaf_from_the_future_is_made_anew(made: Data) -> None:
    assert planned(made, NOW - timedelta(days=2), "prod").renewed == (SERVER, CLIENT)


def test_the_ca_in_a_leafs_secret_is_put_right_and_the_leaf_stays(made: Data) -> None:
    stale = {**made[SERVER], "ca.crt": "c3RhbGU="}
    plan = planned(without(made, hubble_server_certs=stale), NOW, "prod")
    assert (data_of(plan), plan.renewed) == (made, ())


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa", "p384", "ed25519"],
)
def test_a_ca_that_is_there_is_kept_and_used(key: Any) -> None:
    ca = foreign_ca(key)
    data = data_of(planned({CA: ca}, NOW, "prod"))
    assert data[CA] == ca
    certificate(data, SERVER).verify_directly_issued_by(certificate(data, CA, "ca.crt"))
    assert planned(data, NOW, "prod").renewed == ()


def test_a_ca_about_to_end_does_not_renew_leaves_time_and_again() -> None:
    ca = foreign_ca(ec.generate_private_key(ec.SECP256R1()), end=NOW + timedelta(days=10))
    plan = planned({CA: ca}, NOW, "prod")
    assert plan.not_after == (NOW + timedelta(days=10)).replace(microsecond=0), "a leaf outlives its CA"
    assert plan.step is Step.TRUST_BOTH, "a CA near its end must be replaced"
    assert planned(data_of(plan), NOW + timedelta(days=5), "prod").renewed == ()


def test_an_ended_ca_is_replaced_at_once_when_a_person_asks() -> None:
    ended = foreign_ca(ec.generate_private_key(ec.SECP256R1()), end=NOW - timedelta(days=1))
    with pytest.raises(ChainError) as caught:
        planned({CA: ended}, NOW, "prod")
    assert "cnichain.io/rotate-ca=" in caught.value.message, "the message must name the way out"
    plan = planned({CA: ended}, NOW, "prod", asked="now")
    assert (plan.step, plan.renewed) == (Step.NONE, SECRET_NAMES)
    assert planned(data_of(plan), NOW, "prod").renewed == ()


def unusable() -> dict[str, dict[str, str]]:
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    good = foreign_ca(key)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hunter2")
    )
    return {
        "ca.crt is missing": {},
        "ca.key is missing": {"ca.crt": good["ca.crt"]},
        "ca.crt is not a certificate": {**good, "ca.crt": encode(b"hunter2")},
        "ca.key is not an unencrypted private key": {**good, "ca.key": encode(locked)},
        "ca.key does not belong to ca.crt": {**good, "ca.key": key_pem(other)},
        "ca.key is neither": {**good, "ca.key": key_pem(ed448.Ed448PrivateKey.generate())},
        "not the certificate of a CA": foreign_ca(key, ca=False),
        "is not the certificate of a CA": foreign_ca(key, ca=None),
        "ca.crt ended on 2026-11-23": foreign_ca(key, end=NOW - timedelta(days=1)),
    }


UNUSABLE = unusable()


@pytest.mark.parametrize("said", UNUSABLE)
def test_an_unusable_ca_is_reported_and_never_replaced(said: str) -> None:
    with pytest.raises(ChainError) as caught:
        planned({CA: UNUSABLE[said]}, NOW, "prod")
    assert caught.value.reason is Reason.CERTIFICATE_UNUSABLE
    assert "Secret kube-system/cilium-ca" in caught.value.message
    assert said in caught.value.message


def test_no_text_form_shows_a_key(made: Data) -> None:
    plan = planned(made, NOW, "prod")
    shown = f"{plan} {plan!r} {plan.secrets}"
    with pytest.raises(ChainError) as caught:
        planned(without(made, cilium_ca={**made[CA], "ca.crt": made[CA]["ca.key"]}), NOW, "prod")
    shown += f"{caught.value!r} {caught.value} {caught.value.message}"
    for name, entry in ((CA, "ca.key"), (SERVER, "tls.key"), (CLIENT, "tls.key")):
        key = base64.b64decode(made[name][entry]).decode().splitlines()[1]
        assert key not in shown
        assert made[name][entry] not in shown
    assert "PRIVATE KEY" not in shown
