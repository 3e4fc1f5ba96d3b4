"""A stand-in for cilium-agent, for the real cilium-cni to ask. Run by path, in the node's namespaces.

The real agent needs eBPF and an operator. This one answers the calls that cilium-cni makes for a chained pod (Cilium's
API v1 on its unix socket) and the health check, and writes a line per endpoint. It enforces no policy whatsoever.
"""

import argparse
import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SOCKET = Path("/var/run/cilium/cilium.sock")
HEALTH = ("127.0.0.1", 9879)
_ANSWERS: dict[str, object] = {"/v1/config": {"spec": {}, "status": {}}, "/v1/healthz": {}, "/healthz": {}}
"""Of GET, on socket and port alike."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = self.path in _ANSWERS
        self._answer(200 if known else 404, _ANSWERS[self.path] if known else {})

    def do_PUT(self) -> None:
        asked = json.loads(self._body() or b"{}")
        pod = f"{asked.get('k8s-namespace')}/{asked.get('k8s-pod-name')}"
        print(f"endpoint {pod} {asked.get('addressing', {}).get('ipv4')} {asked.get('interface-name')}", flush=True)
        self._answer(201, {})

    def do_DELETE(self) -> None:
        self._body()
        self._answer(200, 0)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: what matters is printed by the methods."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, code: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class UnixServer(socketserver.ThreadingUnixStreamServer):
    """The same over a unix socket."""

    daemon_threads = True


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    SOCKET.parent.mkdir(parents=True, exist_ok=True)
    SOCKET.unlink(missing_ok=True)  # of an earlier one that was killed
    health = ThreadingHTTPServer(HEALTH, Handler)
    threading.Thread(target=health.serve_forever, daemon=True).start()
    with UnixServer(str(SOCKET), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
