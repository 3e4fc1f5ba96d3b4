"""Whether key material stands where it must not, in any of the forms in which it could get there."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

PRIVATE = "PRIVATE KEY"


def forms_of_key(encoded: str) -> set[bytes]:
    """A value of a Secret as it would be found in a text: as the API has it, each line of its PEM, and its DER."""
    forms = {encoded.encode()}
    pem = base64.b64decode(encoded)
    body = [line for line in pem.splitlines() if line and not line.startswith(b"-----")]
    forms |= {line for line in body if len(line) > 30}
    try:
        forms.add(base64.b64decode(b"".join(body), validate=True))
    except binascii.Error:
        forms.add(pem)
    return forms


def forms_of_token(token: str) -> set[bytes]:
    """A bearer token, and its signature alone."""
    return {token.encode(), token.rsplit(".", 1)[-1].encode()}


def private_values(secrets: Iterable[Mapping[str, str]]) -> set[str]:
    """What must not be told of the `data` of Secrets: everything but certificates."""
    return {value for data in secrets for name, value in data.items() if not name.endswith(".crt") and value}


def tokens_in(kubeconfigs: Iterable[Path]) -> set[str]:
    """The bearer tokens of kubeconfigs."""
    users = (user["user"] for path in kubeconfigs for user in json.loads(path.read_text(encoding="utf-8"))["users"])
    return {user["token"] for user in users if user.get("token")}


def leaks(places: Mapping[str, bytes], forms: Iterable[bytes]) -> list[str]:
    """Names of the places where one of the forms stands, or anything that calls itself a private key."""
    wanted = [*forms, PRIVATE.encode(), base64.b64encode(b"-----BEGIN PRIVATE")[:20]]
    return [name for name, content in places.items() if any(form in content for form in wanted)]


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
