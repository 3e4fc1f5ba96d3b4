"""Where the API server is and how to be let in: a pod's service account, or a kubeconfig."""

import base64
import binascii
import json
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnichain.node.api_client import Access, ApiConfigError
from cnichain.node.http1 import is_plain

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_cluster(environ: Mapping[str, str], server: str | None) -> Access:
    """From the service account of the pod. server: takes the place of the KUBERNETES_SERVICE_HOST address.

    Raises ApiConfigError.
    """
    if server is None:
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ApiConfigError("no API server: not in a pod (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig")
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    tls = _tls(cafile=str(SERVICE_ACCOUNT / "ca.crt")) if server.startswith("https:") else None
    return Access(server, _token_file(SERVICE_ACCOUNT / "token"), tls)


def from_kubeconfig(path: Path, server: str | None) -> Access:
    """From the current context of a kubeconfig with a token or a client certificate. Raises ApiConfigError."""
    config = _load(path)
    context = _named(config, "contexts", "context", str(config.get("current-context") or ""), path)
    cluster = _named(config, "clusters", "cluster", str(context.get("cluster") or ""), path)
    user = _named(config, "users", "user", str(context.get("user") or ""), path)
    for key in ("exec", "auth-provider", "username"):
        if user.get(key):
            raise ApiConfigError(f"{path}: the user has {key!r}; the agent takes a token or a client certificate only")
    if cluster.get("insecure-skip-tls-verify"):
        raise ApiConfigError(f"{path}: insecure-skip-tls-verify is not taken; give certificate-authority")
    server = server or str(cluster.get("server") or "")
    name = str(cluster["tls-server-name"]) if cluster.get("tls-server-name") else None
    return Access(server, _token(user, path), _kubeconfig_tls(cluster, user, path, server), name)


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ApiConfigError(f"{path} cannot be read: {error}") from error
    try:
        config = json.loads(text)  # a kubeconfig may be JSON; the YAML reader costs memory that a pod never needs
    except ValueError:
        config = _load_yaml(path, text)
    if not isinstance(config, dict):
        raise ApiConfigError(f"{path} is not a kubeconfig")
    return config


def _load_yaml(path: Path, text: str) -> Any:
    import yaml  # noqa: PLC0415 - only for --kubeconfig, see above

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ApiConfigError(f"{path} is not a kubeconfig: {error}") from error


def _named(config: dict[str, Any], plural: str, singular: str, name: str, path: Path) -> dict[str, Any]:
    for item in config.get(plural) or []:
        if isinstance(item, dict) and item.get("name") == name:
            return item.get(singular) or {}
    raise ApiConfigError(f"{path}: no {singular} is named {name!r}")


def _token(user: dict[str, Any], path: Path) -> Callable[[], str | None]:
    if user.get("tokenFile"):
        return _token_file(path.parent / str(user["tokenFile"]))
    token = str(user["token"]) if user.get("token") else None
    if token and not is_plain(token):
        raise ApiConfigError(f"{path}: the token has a line end or a character that is not ASCII")
    return lambda: token


def _token_file(path: Path) -> Callable[[], str | None]:
    """Reads the file at each request: the kubelet replaces a pod's token long before it expires."""

    def read() -> str:
        return path.read_text(encoding="ascii", errors="replace").strip()

    return read


def _kubeconfig_tls(cluster: dict[str, Any], user: dict[str, Any], path: Path, server: str) -> ssl.SSLContext | None:
    if not server.startswith("https:"):
        return None
    authority = _bytes(cluster, "certificate-authority", path)
    tls = _tls(cadata=authority.decode("ascii", "replace") if authority else None)
    certificate, key = _bytes(user, "client-certificate", path), _bytes(user, "client-key", path)
    if certificate and key:
        # The ssl module takes a client certificate from a file alone; this one never reaches a disk.
        descriptor = os.memfd_create("client-certificate")
        try:
            os.write(descriptor, certificate + b"\n" + key)
            tls.load_cert_chain(f"/proc/self/fd/{descriptor}")
        except (ssl.SSLError, OSError) as error:
            raise ApiConfigError(f"{path}: the client certificate or its key cannot be used: {error}") from error
        finally:
            os.close(descriptor)
    return tls


def _tls(cafile: str | None = None, cadata: str | None = None) -> ssl.SSLContext:
    try:
        tls = ssl.create_default_context(cafile=cafile, cadata=cadata)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ApiConfigError(f"the API server's certificate authority cannot be used: {error}") from error
    # Python's strict mode refuses what many clusters' own authorities lack (key identifiers); Go does not ask for it.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return tls


def _bytes(holder: dict[str, Any], key: str, path: Path) -> bytes | None:
    try:
        if data := holder.get(f"{key}-data"):
            return base64.b64decode(str(data), validate=True)
        return (path.parent / str(holder[key])).read_bytes() if holder.get(key) else None
    except (binascii.Error, OSError) as error:
        raise ApiConfigError(f"{path}: {key} cannot be read: {error}") from error
