"""The signed archive: files, a manifest with the sha256 of each, and an Ed25519 signature over the manifest.

The same files, time and key give the same bytes. An archive is checked in memory and never unpacked.
"""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

FOLDER = "evidence"
MANIFEST, SIGNATURE, PUBLIC_KEY = "manifest.json", "manifest.sig", "public-key.pem"
UNSIGNED = frozenset((MANIFEST, SIGNATURE))
MANIFEST_VERSION = 1
MOST_BYTES = 512 << 20
"""Of an archive once it is uncompressed: a bomb must not fill the memory of who checks it."""
MOST_FILES = 1000


class EvidenceError(Exception):
    """The key or the archive cannot be used; the message says why."""


class TamperedError(EvidenceError):
    """The archive is not what was signed; the message names what differs."""


@dataclass(frozen=True)
class Verified:
    """A checked archive. files: names and sha256 of all of them. created: what the manifest says."""

    created: str
    key: str
    files: Mapping[str, str]


def generate_key() -> Ed25519PrivateKey:
    """A new key for one archive."""
    return Ed25519PrivateKey.generate()


def load_private_key(pem: bytes) -> Ed25519PrivateKey:
    """An Ed25519 key in PEM. Raises EvidenceError."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise EvidenceError(
            "it is no private key in PEM without a password; `openssl genpkey -algorithm ed25519` makes one."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError("it is no Ed25519 key; `openssl genpkey -algorithm ed25519` makes one.")
    return key


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """An Ed25519 public key in PEM. Raises EvidenceError."""
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise EvidenceError("it is no public key in PEM.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError("it is no Ed25519 public key.")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """A public key in PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """`sha256:` and the digest of the public key's SubjectPublicKeyInfo, for people to compare."""
    return f"sha256:{_sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))}"


def json_bytes(data: Any) -> bytes:
    """Data as a JSON file that is the same for the same data."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def signed_files(files: Mapping[str, bytes], created: str, key: Ed25519PrivateKey) -> dict[str, bytes]:
    """The files with the public key, the manifest and its signature. created: RFC 3339 in UTC."""
    whole = {**files, PUBLIC_KEY: public_pem(key.public_key())}
    manifest = json_bytes(
        {
            "version": MANIFEST_VERSION,
            "created": created,
            "key": fingerprint(key.public_key()),
            "files": {name: {"sha256": _sha256(data), "bytes": len(data)} for name, data in whole.items()},
        }
    )
    return {**whole, MANIFEST: manifest, SIGNATURE: key.sign(manifest).hex().encode() + b"\n"}


def pack(files: Mapping[str, bytes], created: str) -> bytes:
    """A gzipped tar of the files, all of them of the time `created` and of nobody."""
    moment = int(datetime.fromisoformat(created).timestamp())
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            item = tarfile.TarInfo(f"{FOLDER}/{name}")
            item.size, item.mtime, item.mode = len(files[name]), moment, 0o644
            tar.addfile(item, io.BytesIO(files[name]))
    return gzip.compress(raw.getvalue(), mtime=moment)


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive, in memory. Raises EvidenceError for what is no such archive, TamperedError for entries
    that `pack` never makes."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_uncompressed(archive)), mode="r:") as tar:
            for item in tar:
                folder, _, name = item.name.partition("/")
                if not item.isreg() or folder != FOLDER or not name or "/" in name or name in files:
                    raise TamperedError(f"the archive has an entry that evidence never has: {item.name!r}.")
                if len(files) >= MOST_FILES:
                    raise TamperedError(f"the archive has more than {MOST_FILES} files.")
                body = tar.extractfile(item)
                files[name] = body.read() if body is not None else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise EvidenceError(f"it cannot be read as a tar.gz archive: {error}") from error
    return files


def _uncompressed(archive: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(archive)) as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise EvidenceError(f"it is larger than {MOST_BYTES >> 20} MiB once uncompressed.")
    return data


def verify(files: Mapping[str, bytes], key: Ed25519PublicKey) -> Verified:
    """Check files against their manifest, and the manifest against the key.

    Raises TamperedError, which names every file that differs, is missing, or was added.
    """
    for name in (MANIFEST, SIGNATURE):
        if name not in files:
            raise TamperedError(f"{name} is missing.")
    manifest = files[MANIFEST]
    try:
        key.verify(bytes.fromhex(files[SIGNATURE].decode("ascii")), manifest)
    except (InvalidSignature, ValueError) as error:
        raise TamperedError(
            f"the signature of {MANIFEST} is not by this key ({fingerprint(key)}): the manifest was changed, or "
            "somebody else has signed it."
        ) from error
    try:
        said = json.loads(manifest)
        listed = {str(name): str(entry["sha256"]) for name, entry in said["files"].items()}
        created = str(said["created"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TamperedError(f"{MANIFEST} has no form that this release knows.") from error
    there = {name: _sha256(data) for name, data in files.items() if name not in UNSIGNED}
    wrong = [
        *(f"{name} is missing" for name in sorted(listed.keys() - there.keys())),
        *(f"{name} was added" for name in sorted(there.keys() - listed.keys())),
        *(f"{name} was changed" for name in sorted(listed.keys() & there.keys()) if listed[name] != there[name]),
    ]
    if wrong:
        raise TamperedError(f"{'; '.join(wrong)}.")
    return Verified(created, fingerprint(key), listed)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
