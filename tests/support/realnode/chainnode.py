"""The CNIChainNode of a real node, in the place of the operator that writes it in a whole installation."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnichain.api.chainnode import NodeSpec, to_wire
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from reads import Reads

ROOT = Path(__file__).resolve().parents[3]
_LOOK_SECONDS = 0.1


@dataclass
class ChainNode:
    """Give the node's agent its orders and read its answers."""

    control_plane: ControlPlane
    node: str
    reads: Reads = field(init=False)

    def __post_init__(self) -> None:
        self.reads = Reads(self.control_plane)

    def give(self, spec: NodeSpec) -> None:
        """Create the object, or change its spec."""
        body = {
            "apiVersion": "cnichain.io/v1alpha1",
            "kind": "CNIChainNode",
            "metadata": {"name": self.node},
            "spec": to_wire(spec),
        }
        self.control_plane.run_kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=test",
            "--filename=-",
            stdin=json.dumps(body),
        )

    def status(self) -> dict[str, Any]:
        """What the agent has reported for the spec as it is now; empty when nothing."""
        found = self.reads.get("cnichainnode", self.node)
        status: dict[str, Any] = found.get("status") or {}
        return status if status.get("observedGeneration") == found["metadata"]["generation"] else {}

    def wait_state(self, state: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait until the agent reports a state for the present spec; the status."""
        deadline = time.monotonic() + seconds
        while (status := self.status()).get("state") != state:
            if time.monotonic() > deadline:
                raise DevError(f"The agent of {self.node} did not report {state} within {seconds:.0f} s: {status}")
            time.sleep(_LOOK_SECONDS)
        return status

    def delete(self) -> None:
        """Remove the object, if it is there."""
        self.control_plane.run_kubectl("delete", "cnichainnode", self.node, "--ignore-not-found", "--timeout=20s")
