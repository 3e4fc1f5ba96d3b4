"""Pods on one node, as a user would see them: started, running with an address, or refused with the reason."""

import json
from dataclasses import dataclass, field
from typing import Any

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from reads import Reads
from realnode.config import PAUSE_IMAGE
from realnode.namespaces import wait_for

Object = dict[str, Any]

RUN_SECONDS = 60.0
REFUSE_SECONDS = 120.0
DELETE_SECONDS = 90
_REFUSED = "FailedCreatePodSandBox"


@dataclass
class Pods:
    """Pods in the namespace `default`, bound to the node without the scheduler."""

    control_plane: ControlPlane
    node: str
    started: list[str] = field(default_factory=list)
    reads: Reads = field(init=False)

    def __post_init__(self) -> None:
        self.reads = Reads(self.control_plane)

    def start(self, name: str, *, image: str = PAUSE_IMAGE, host_network: bool = False, **container: Any) -> None:
        """Make a pod of one container. container: further fields of it, as `command`."""
        body = pod(name, self.node, image=image, host_network=host_network, **container)
        self.control_plane.run_kubectl("create", "--filename=-", stdin=json.dumps(body))
        self.started.append(name)

    def wait_running(self, name: str, seconds: float = RUN_SECONDS) -> str:
        """Wait until the pod runs; its address."""

        def address() -> str:
            status = self.get(name)["status"]
            return str(status.get("podIP", "")) if status.get("phase") == "Running" else ""

        try:
            return wait_for(f"pod {name} does not run", address, seconds)
        except DevError as error:
            raise DevError(f"{error}\n{self.events(name)}") from error

    def run(self, name: str, **options: Any) -> str:
        """Start a pod and wait until it runs; its address."""
        self.start(name, **options)
        return self.wait_running(name)

    def wait_exit(self, name: str, seconds: float = RUN_SECONDS) -> int:
        """Wait until the pod's container has ended at least once; the exit code of the first time."""

        def ended() -> str:
            status = (self.get(name)["status"].get("containerStatuses") or [{}])[0]
            states = [status.get("lastState", {}), status.get("state", {})]
            return next((str(state["terminated"]["exitCode"]) for state in states if "terminated" in state), "")

        return int(wait_for(f"the container of pod {name} has not ended", ended, seconds))

    def log(self, name: str) -> str:
        """What the pod's container has written."""
        return self.control_plane.run_kubectl("logs", name)

    def wait_refused(self, name: str, seconds: float = REFUSE_SECONDS) -> str:
        """Wait for the event that says why the pod got no sandbox; its message."""
        return wait_for(f"pod {name} was not refused", lambda: self.event(name, _REFUSED), seconds)

    def event(self, name: str, reason: str) -> str:
        """Message of a pod's newest event with a reason; empty when there is none."""
        selector = f"--field-selector=involvedObject.name={name},reason={reason}"
        items = self.reads.get("events", selector)["items"]
        return str(items[-1]["message"]) if items else ""

    def events(self, name: str) -> str:
        """All that kubelet and others have said about a pod, for people."""
        return self.control_plane.run_kubectl("get", "events", f"--field-selector=involvedObject.name={name}")

    def count(self, name: str, reason: str) -> int:
        """How often a pod's events with a reason have happened."""
        selector = f"--field-selector=involvedObject.name={name},reason={reason}"
        items = self.reads.get("events", selector)["items"]
        return sum(int(item.get("count") or 1) for item in items)

    def waiting(self, name: str) -> str:
        """Why the pod's container waits, as kubectl shows it; empty when it does not."""
        states = self.get(name)["status"].get("containerStatuses") or [{}]
        return str(states[0].get("state", {}).get("waiting", {}).get("reason", ""))

    def get(self, name: str) -> Object:
        """The pod object."""
        return self.reads.get("pod", name)

    def delete_all(self) -> None:
        """Delete the pods that were started here and wait until kubelet has ended them."""
        names, self.started = self.started, []
        if names:
            self.control_plane.run_kubectl(
                "delete", "pods", *names, "--ignore-not-found", "--grace-period=1", f"--timeout={DELETE_SECONDS}s",
                timeout=DELETE_SECONDS + 10,
            )  # fmt: skip


def pod(name: str, node: str, *, image: str, host_network: bool = False, **container: Any) -> Object:
    """A pod that needs nothing but its image, which is on the node already."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "hostNetwork": host_network,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": image, "imagePullPolicy": "Never", **container}],
        },
    }
