"""A stand-in for metrics-server: a small HTTPS server that kube-apiserver asks, as it asks any aggregated API.

It knows the pods of the cluster and gives each the usage that a test sets for its part. The way to it is the real one:
APIService, aggregator, RBAC. kube-apiserver finds it by a Service of the type ExternalName, since a loopback address is
allowed in no Endpoints.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cnichain.plan.overhead import PARTS

Object = dict[str, Any]
PREFIX = "/apis/metrics.k8s.io/v1beta1"
API_SERVICE = "v1beta1.metrics.k8s.io"


class MetricsApi:
    """Serves PodMetrics. usage: by the name of a part (plan/overhead.py), (cpu, memory) as quantities."""

    def __init__(self, pods: Callable[[str], list[Object]], folder: Path) -> None:
        """pods: gives the pods of a namespace. folder: for the certificate."""
        self.usage: dict[str, tuple[str, str]] = {}
        self.asked = 0
        handler = type("Handler", (_Handler,), {"api": self, "pods": staticmethod(pods)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(folder))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve for the time of the block."""
        self._thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()

    def manifests(self) -> list[Object]:
        """What registers it."""
        service = {"namespace": "kube-system", "name": "metrics-server"}
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": service,
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": API_SERVICE},
                "spec": {
                    "group": "metrics.k8s.io",
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {**service, "port": self.port},
                },
            },
        ]

    def metrics(self, pod: Mapping[str, Any]) -> Object:
        """PodMetrics of a pod; of one that is no part of the chain, a little."""
        labels = pod["metadata"].get("labels") or {}
        names = (one.name for one in PARTS if any(labels.get(key) == value for key, value in one.labels.items()))
        cpu, memory = self.usage.get(next(names, ""), ("1m", "1Mi"))
        containers = pod["spec"]["containers"]
        # All of it in the first container: a pod's usage is that of its containers together.
        used = [{"cpu": cpu, "memory": memory}, *[{"cpu": "0", "memory": "0"}] * (len(containers) - 1)]
        return {
            "metadata": {key: pod["metadata"].get(key) for key in ("name", "namespace", "labels")},
            "timestamp": "2026-01-01T00:00:00Z",
            "window": "15s",
            "containers": [{"name": one["name"], "usage": use} for one, use in zip(containers, used, strict=True)],
        }


class _Handler(BaseHTTPRequestHandler):
    api: MetricsApi
    pods: Callable[[str], list[Object]]

    def do_GET(self) -> None:
        """Discovery, and the pods of a namespace."""
        path = self.path.partition("?")[0]
        if path == PREFIX:
            pods = {
                "name": "pods",
                "singularName": "",
                "namespaced": True,
                "kind": "PodMetrics",
                "verbs": ["get", "list"],
            }
            self._say(
                {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": "metrics.k8s.io/v1beta1",
                    "resources": [pods],
                }
            )
        elif path.startswith(f"{PREFIX}/namespaces/") and path.endswith("/pods"):
            self.api.asked += 1
            items = [self.api.metrics(pod) for pod in self.pods(path.split("/")[5])]
            self._say(
                {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}
            )
        else:
            self.send_error(404)

    def _say(self, body: Object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "metrics-api.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
