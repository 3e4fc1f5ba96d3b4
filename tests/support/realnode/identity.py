"""Who the node is for the API server: a client certificate of its own, as the Node authorizer wants it."""

import base64
import datetime
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.layout import write_private

_VALIDITY = datetime.timedelta(days=1)


def write_kubeconfig(path: Path, control_plane: ControlPlane, node: str) -> None:
    """A kubeconfig for kubelet: user `system:node:NODE` of the group `system:nodes`, signed by the cluster's CA."""
    certificate, key = _client_certificate(control_plane.ca_file, f"system:node:{node}", "system:nodes")
    authority = control_plane.ca_file.read_bytes()
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "node",
        "clusters": [
            {"name": "node", "cluster": {"server": control_plane.server, "certificate-authority-data": _b64(authority)}}
        ],
        "users": [{"name": node, "user": {"client-certificate-data": _b64(certificate), "client-key-data": _b64(key)}}],
        "contexts": [{"name": "node", "context": {"cluster": "node", "user": node}}],
    }
    write_private(path, json.dumps(data, indent=2) + "\n")


def _client_certificate(ca_file: Path, user: str, group: str) -> tuple[bytes, bytes]:
    """Certificate and key, PEM. The CA's key lies beside its certificate (cnichain.dev.pki)."""
    authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
    authority_key = serialization.load_pem_private_key(ca_file.with_suffix(".key").read_bytes(), password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"the key of {ca_file} is not an elliptic-curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, user)]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
