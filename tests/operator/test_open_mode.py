"""`onCiliumDown: Open`, from spec to node and back: a node whose Cilium does not answer runs the primary CNI alone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from cnichain.dev.nodefolder import NodeFolder
from harness import Harness

pytestmark = pytest.mark.controlplane


class Health(ThreadingHTTPServer):
    """Stands in for cilium-agent's health endpoint, since no cilium-agent can run here."""

    well = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/healthz"


class _Answer(BaseHTTPRequestHandler):
    server: Health

    def do_GET(self) -> None:
        self.send_response(200 if self.server.well else 503)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: what matters is in the agent's status."""


@contextmanager
def health() -> Iterator[Health]:
    with Health(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_node_falls_back_and_comes_back_with_an_event_both_ways(world: Harness) -> None:
    folders = [NodeFolder(path) for path in sorted(world.control_plane.nodes_dir.iterdir())]
    first, *others = folders
    name, chained = first.root.name, first.conf_dir / "05-cilium.conflist"

    def told(reason: str) -> bool:
        events = world.get("events", "--namespace=default")["items"]
        return any(item["reason"] == reason and name in item["message"] for item in events)

    with ExitStack() as stack:
        mine, rest = stack.enter_context(health()), stack.enter_context(health())
        stack.enter_context(world.operator())
        for folder in folders:
            stack.enter_context(world.agent(folder, cilium_health_url=(mine if folder is first else rest).url))
        world.apply_chain({"cilium": {"version": "1.17.3"}, "conflist": {"onCiliumDown": "Open"}})
        world.wait_ready()
        mine.well = False
        world.wait("the chained conflist is gone from that node", lambda: not chained.exists(), 60)
        world.wait("the event says so", lambda: told("CiliumDownOpen"), 30)
        condition = world.wait_reason("ChainReady", "NodesNotVerified")
        assert f"{name}: CiliumDown: CiliumDownOpen" in condition["message"]
        assert all((folder.conf_dir / chained.name).exists() for folder in others), "other nodes keep the chain"
        mine.well = True
        world.wait("the chained conflist is back", chained.exists, 60)
        world.wait_ready()
        world.wait("the event says so", lambda: told("ChainVerified"), 30)
        world.delete_chain()
