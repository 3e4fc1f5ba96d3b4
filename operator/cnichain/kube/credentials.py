"""How to reach the API server: from a pod's service account, or from a kubeconfig. Standard library only.

Supported in a kubeconfig: bearer token, token file, client certificate, and exec plugins (`aws eks get-token`).
"""

import base64
import json
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_TIMEOUT_SECONDS = 60
TOKEN_FILE_SECONDS = 60
"""A projected token is rotated by the kubelet; client-go re-reads it every minute as well."""


class CredentialsError(Exception):
    """No way to the API server was found; the message says where it was looked for and what to do."""


@dataclass
class Credentials:
    """Where the API server is and how to prove who we are. Never printed: only `server` is in its repr."""

    server: str
    ssl_context: ssl.SSLContext | None = field(repr=False, default=None)
    ca_pem: bytes | None = field(repr=False, default=None)
    client_cert_pem: bytes | None = field(repr=False, default=None)
    client_key_pem: bytes | None = field(repr=False, default=None)
    _token: str | None = field(repr=False, default=None)
    _token_file: Path | None = field(repr=False, default=None)
    _exec: Mapping[str, Any] | None = field(repr=False, default=None)
    _expires: float = field(repr=False, default=0.0)

    def token(self, *, refresh: bool = False) -> str | None:
        """The bearer token, re-read when it is due or when the server refused the last one (`refresh`).

        Blocks on a file or on an exec plugin (bounded by EXEC_TIMEOUT_SECONDS): call it in a thread from asyncio.
        """
        if self._token is not None and not refresh and time.monotonic() < self._expires:
            return self._token
        if self._token_file is not None:
            self._token = self._token_file.read_text(encoding="utf-8").strip()
            self._expires = time.monotonic() + TOKEN_FILE_SECONDS
        elif self._exec is not None:
            self._token, self._expires = _run_exec_plugin(self._exec)
        return self._token

    @property
    def token_is_fresh(self) -> bool:
        """True when `token()` answers from memory."""
        return (self._token_file is None and self._exec is None) or time.monotonic() < self._expires


def load_credentials(kubeconfig: Path | None = None) -> Credentials:
    """Credentials from the given kubeconfig, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    Raises CredentialsError when none of them is there or the one that is cannot be used.
    """
    explicit = kubeconfig or (Path(os.environ["KUBECONFIG"]) if os.environ.get("KUBECONFIG") else None)
    if explicit is not None:
        return _from_kubeconfig(explicit)
    if (SERVICE_ACCOUNT / "token").exists() and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _from_service_account()
    fallback = Path.home() / ".kube" / "config"
    if fallback.exists():
        return _from_kubeconfig(fallback)
    raise CredentialsError(
        "no way to the API server: not in a pod, KUBECONFIG is not set and ~/.kube/config does not exist. "
        "Give one with --kubeconfig."
    )


def _from_service_account() -> Credentials:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if ":" in host:
        host = f"[{host}]"
    ca = (SERVICE_ACCOUNT / "ca.crt").read_bytes()
    return Credentials(
        server=f"https://{host}:{port}",
        ca_pem=ca,
        ssl_context=_ssl_context(ca, None, None),
        _token_file=SERVICE_ACCOUNT / "token",
    )


def _from_kubeconfig(path: Path) -> Credentials:
    # yaml only here: the agent reads a kubeconfig in development alone, and saves the memory otherwise.
    import yaml  # noqa: PLC0415

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context_name = config["current-context"]
        context = _named(config["contexts"], context_name)["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"] or {}
        server: str = cluster["server"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise CredentialsError(
            f"kubeconfig {path} cannot be used: {type(error).__name__}: {error}. It needs a current-context "
            "with a cluster and a user; KUBECONFIG with several files is not supported."
        ) from error
    ca = _inline_or_file(cluster, "certificate-authority", path)
    cert = _inline_or_file(user, "client-certificate", path)
    key = _inline_or_file(user, "client-key", path)
    token_file = user.get("tokenFile")
    return Credentials(
        server=server.rstrip("/"),
        ca_pem=ca,
        client_cert_pem=cert,
        client_key_pem=key,
        ssl_context=_ssl_context(ca, cert, key, verify=not cluster.get("insecure-skip-tls-verify", False))
        if server.startswith("https")
        else None,
        _token=user.get("token"),
        _expires=float("inf") if user.get("token") else 0.0,
        _token_file=path.parent / token_file if token_file and not user.get("token") else None,
        _exec=user.get("exec"),
    )


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in items if item["name"] == name)


def _inline_or_file(section: Mapping[str, Any], key: str, kubeconfig: Path) -> bytes | None:
    if section.get(f"{key}-data"):
        return base64.b64decode(section[f"{key}-data"])
    if section.get(key):
        return (kubeconfig.parent / str(section[key])).read_bytes()
    return None


def _ssl_context(ca: bytes | None, cert: bytes | None, key: bytes | None, *, verify: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.decode() if ca else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert and key:
        # ssl loads a key pair from files only; they live in a private folder for as long as the call takes.
        with tempfile.TemporaryDirectory(prefix="cnichain-") as folder:
            pair = Path(folder) / "pair.pem"
            pair.touch(mode=0o600)
            pair.write_bytes(cert + b"\n" + key)
            context.load_cert_chain(pair)
    return context


def _run_exec_plugin(plugin: Mapping[str, Any]) -> tuple[str, float]:
    """Token and its end (monotonic seconds) from a client-go exec credential plugin."""
    environment = {**os.environ, **{item["name"]: item["value"] for item in plugin.get("env") or []}}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(
        {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    )
    command = [plugin["command"], *(plugin.get("args") or [])]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=EXEC_TIMEOUT_SECONDS, check=True)
        status = json.loads(done.stdout)["status"]
        token: str = status["token"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise CredentialsError(
            f"credential plugin {plugin['command']} gave no token: {type(error).__name__}. "
            "Run it by hand to see why; plugins that give client certificates are not supported."
        ) from error
    if "expirationTimestamp" not in status:
        return token, float("inf")
    left = (datetime.fromisoformat(status["expirationTimestamp"]) - datetime.now(UTC)).total_seconds()
    return token, time.monotonic() + max(left - 60, 0)
