"""Stands in for the API server in the benchmark: one CNIChainNode over TLS, a watch that stays open, a status taken.

`standin_api.py CERTIFICATE KEY`: prints its port and serves until standard input is closed. It exists so that the
agent's memory and its idle time are those with a TLS session and an open watch, as on a node.
"""

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NODE: dict[str, Any] = {
    "apiVersion": "cnichain.io/v1alpha1",
    "kind": "CNIChainNode",
    "metadata": {"name": "node-1", "uid": "bench", "generation": 1, "resourceVersion": "1"},
    "spec": {"primary": "aws-vpc-cni", "desired": "Chained"},
}


class Handler(BaseHTTPRequestHandler):
    """List, watch and apply; nothing is checked and nothing is kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The list, or a watch that says nothing until the client asked it to end."""
        if "watch=1" not in self.path:
            self._answer({"kind": "CNIChainNodeList", "metadata": {"resourceVersion": "1"}, "items": [NODE]})
            return
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        time.sleep(300)

    def do_PATCH(self) -> None:
        """A status by server-side apply."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(NODE)

    def log_message(self, *_: object) -> None:
        """Nothing: the benchmark's output is a table."""

    def _answer(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """A client that goes away in the middle of an answer is nothing to tell: the benchmark ends each of its agents."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing."""


def main(certificate: str, key: str) -> None:
    """Serves."""
    server = Server(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:3])
