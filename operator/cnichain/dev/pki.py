"""Keys, certificates and tokens of one local control plane, made anew at each start and valid for a month."""

import datetime
import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cnichain.dev.layout import write_private

SERVICE_CIDR = "10.100.0.0/16"
"""As EKS chooses it for a VPC outside 10.0.0.0/8; its first address is the Service `kubernetes`."""

_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ADDRESSES = ("127.0.0.1", "10.100.0.1")
_VALIDITY = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Pki:
    """Paths of PEM files, and the bearer tokens by user name."""

    ca_cert: Path
    ca_key: Path
    serving_cert: Path
    serving_key: Path
    account_key: Path
    account_public_key: Path
    token_file: Path
    tokens: dict[str, str]


ADMIN = "cnichain-dev"
CONTROLLER_MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
KWOK = "cnichain-dev-kwok"
STAND_INS = "cnichain-dev-standins"

_GROUPS = {ADMIN: "system:masters", CONTROLLER_MANAGER: "", SCHEDULER: "", KWOK: "system:masters",
           STAND_INS: "system:masters"}  # fmt: skip
"""User name to group. The stand-ins have names of their own so that the audit log tells them from the user."""


def create(directory: Path) -> Pki:
    """Write a CA, a serving certificate for all servers, the service-account key pair and the token file."""
    pki = Pki(
        ca_cert=directory / "ca.crt",
        ca_key=directory / "ca.key",
        serving_cert=directory / "serving.crt",
        serving_key=directory / "serving.key",
        account_key=directory / "service-account.key",
        account_public_key=directory / "service-account.pub",
        token_file=directory / "tokens.csv",
        tokens={user: secrets.token_hex(16) for user in _GROUPS},
    )
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("cnichain-dev-ca")
    ca = _sign(ca_name, ca_key.public_key(), ca_name, ca_key, _ca_extensions())
    serving_key = ec.generate_private_key(ec.SECP256R1())
    serving = _sign(_name("cnichain-dev"), serving_key.public_key(), ca_name, ca_key, _serving_extensions())
    account_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # RS256: every verifier takes it
    write_private(pki.ca_cert, _cert_pem(ca))
    write_private(pki.ca_key, _key_pem(ca_key))
    write_private(pki.serving_cert, _cert_pem(serving))
    write_private(pki.serving_key, _key_pem(serving_key))
    write_private(pki.account_key, _key_pem(account_key))
    write_private(pki.account_public_key, _public_pem(account_key.public_key()))
    rows = [f'{pki.tokens[user]},{user},{user},"{group}"' for user, group in _GROUPS.items()]
    write_private(pki.token_file, "\n".join(rows) + "\n")
    return pki


def _sign(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _ca_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)]


def _serving_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectAlternativeName(names), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _cert_pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def _public_pem(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")
