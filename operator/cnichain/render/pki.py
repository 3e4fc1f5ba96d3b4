"""Certificates and keys of Secrets: read, made, compared. Pure but for the randomness of keys and serial numbers.

Private keys are in the objects that go in and out; no message and no text form of anything here shows them.
"""

import base64
import binascii
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
BACKDATE = timedelta(hours=1)
"""New certificates are valid from a little before now, for nodes whose clock is late."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
SecretData = Mapping[str, str]
"""`data` of a Secret as the API serves it: base64 texts."""


@dataclass(frozen=True, repr=False)
class Pair:
    """A certificate and its key: as objects, and as the base64 texts of a Secret."""

    certificate: x509.Certificate
    key: PrivateKey
    certificate_text: str
    key_text: str


def read_pair(data: SecretData, certificate_key: str, private_key: str) -> Pair | str:
    """The pair in a Secret's data, or in words why there is none. The words never quote the data."""
    for entry in (certificate_key, private_key):
        if not data.get(entry):
            return f"{entry} is missing"
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data[certificate_key], validate=True))
        public = _public_bytes(certificate.public_key())
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return f"{certificate_key} is not a certificate in PEM form"
    try:
        key = serialization.load_pem_private_key(base64.b64decode(data[private_key], validate=True), password=None)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        return f"{private_key} is not an unencrypted private key in PEM form"
    if not isinstance(key, PrivateKey):
        return f"{private_key} is neither an ECDSA, an RSA nor an Ed25519 key"
    if _public_bytes(key.public_key()) != public:
        return f"{private_key} does not belong to {certificate_key}"
    return Pair(certificate, key, data[certificate_key], data[private_key])


def _public_bytes(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it is the certificate of a CA."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def dns_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names in its subject alternative name."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.DNSName)


def ip_addresses(certificate: x509.Certificate) -> list[str]:
    """The IP addresses in its subject alternative name."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether the CA's key has signed it."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def make_ca(now: datetime, common_name: str = "Cilium CA") -> Pair:
    """A new CA, by default named as the chart names its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = (
        _builder(name, name, key, now, now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
    )
    return _signed(builder, key, key)


def make_leaf(names: Sequence[str], ca: Pair, now: datetime, *, addresses: Sequence[str] = ()) -> Pair:
    """A new certificate for server and client, signed by the CA; it ends with the CA at the latest.

    names: DNS names, the common name first. addresses: IP addresses.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + LEAF_LIFETIME, ca.certificate.not_valid_after_utc)
    alternatives = [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses),
    ]
    builder = (
        _builder(_name(names[0]), ca.certificate.subject, key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(_authority(ca.certificate), critical=False)
    )
    return _signed(builder, key, ca.key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: PrivateKey) -> Pair:
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(signer, algorithm)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate, key, base64.b64encode(pem).decode(), base64.b64encode(secret).decode())


def _authority(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The CA's own key identifier, which need not be the hash of its key."""
    try:
        own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(ca.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
