"""What the node's container runtime says of itself: CRI's Status, verbose, over its socket."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnichain.dev.run import capture


@dataclass(frozen=True)
class RuntimeStatus:
    """network_ready, reason, message: the condition NetworkReady.

    network: the name inside the conflist that is loaded, empty when none is. plugins: their types in order.
    source: the text of that conflist. last_load: what the last load of the folder ended with, "OK" when well.
    """

    network_ready: bool
    reason: str
    message: str
    network: str
    plugins: list[str]
    source: str
    last_load: str

    @property
    def mtu(self) -> object:
        """`mtu` of the first plugin in the loaded list: tests tell versions of a file apart by it."""
        return json.loads(self.source)["plugins"][0].get("mtu") if self.source else None


def runtime_status(program: Path, socket: Path) -> RuntimeStatus:
    """Ask the runtime. program: cri-status of the toolchain. DevError when it does not answer."""
    answer = json.loads(capture([str(program), f"--socket={socket}"], timeout=20))
    condition = answer["conditions"].get("NetworkReady", {})
    loaded = _loaded(answer["info"].get("cniconfig") or {})
    return RuntimeStatus(
        network_ready=bool(condition.get("status")),
        reason=str(condition.get("reason", "")),
        message=str(condition.get("message", "")),
        network=str(loaded.get("Name", "")),
        plugins=[plugin["Network"]["type"] for plugin in loaded.get("Plugins") or []],
        source=str(loaded.get("Source", "")),
        last_load=str(answer["info"].get("lastCNILoadStatus", "")),
    )


def _loaded(cni: dict[str, Any]) -> dict[str, Any]:
    """The one list from the configuration folder; the other network is containerd's own loopback."""
    networks = [network["Config"] for network in cni.get("Networks") or []]
    return next((config for config in networks if config["Name"] != "cni-loopback"), {})
