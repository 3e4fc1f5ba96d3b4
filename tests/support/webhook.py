"""An admission webhook over real TLS, which says what a test wants it to say."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cnichain.render.pki import make_ca, make_leaf


@dataclass
class Webhook:
    """port: where it listens, on 127.0.0.1. ca_bundle: for its clientConfig. denies: the words of a refusal, "" to
    allow. hangs: until it is cleared, no answer comes. asked: the objects that it was asked about."""

    port: int
    ca_bundle: str
    denies: str = ""
    hangs: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)


@contextmanager
def webhook(folder: Path) -> Iterator[Webhook]:
    """A webhook that allows everything, for the time of the block."""
    authority = make_ca(datetime.now(UTC), "webhook")
    leaf = make_leaf(["localhost"], authority, datetime.now(UTC), addresses=["127.0.0.1"])
    pair = folder / "webhook.pem"
    pair.write_bytes(base64.b64decode(leaf.certificate_text) + base64.b64decode(leaf.key_text))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    let_go = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = review["request"]
            one.asked.append(f"{request['kind']['kind']} {request.get('namespace', '')}/{request.get('name', '')}")
            if one.hangs.is_set():
                let_go.wait()
                return
            answer: dict[str, Any] = {"uid": request["uid"], "allowed": not one.denies}
            if one.denies:
                answer["status"] = {"code": 403, "message": one.denies}
            body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, *_: Any) -> None:
            """The API server hangs up when its time limit is over."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    one = Webhook(server.server_address[1], authority.certificate_text)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield one
    finally:
        let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
