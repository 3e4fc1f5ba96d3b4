"""A stand-in for what cilium-agent publishes of the fake pods of kwok: a CiliumEndpoint for each that went the chain.

A pod went through the chain when the first file of its node's folder had cilium-cni in it at the time when the pod was
first seen running; that is decided once for each pod, as its network is made once. So a pod that is older than the
chain has no endpoint, as on a real node. A pod with the annotation `WITHOUT` gets none either: one that missed the
chain for another reason.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cnichain.dev.nodefolder import NodeFolder

Object = dict[str, Any]

MANAGER = "cilium-agent"
WITHOUT = "dev.cnichain.io/without-endpoint"
LOOK_SECONDS = 1.0
_PODS = "/api/v1/pods?fieldSelector=status.phase%3DRunning,spec.hostNetwork%3Dfalse"
"""The pods that have a network of their own; of thousands of nodes the others are most."""
_GROUP = "/apis/cilium.io/v2"


class Api(Protocol):
    """What the stand-in needs of the API."""

    def get(self, path: str) -> Object | None:
        """The object at a path, None when there is none."""
        ...

    def apply(self, path: str, body: Object, manager: str) -> Object:
        """Server-side apply."""
        ...


@dataclass
class EndpointPublisher:
    """One look after the other at all pods.

    chained: by uid, whether the pod went through the chain. published: uids of the pods whose endpoint was made.
    """

    api: Api
    nodes_dir: Path
    say: Callable[[str], None]
    chained: dict[str, bool] | None = None
    published: set[str] = field(default_factory=set)
    looked: float = 0.0

    def look(self) -> None:
        """See what is there and do what is due; nothing when the last look is less than a second ago."""
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        pods = {pod["metadata"]["uid"]: pod for pod in self._pods()}
        # Pods that were there before the first look: their endpoints are there as well, or will never be.
        known = self.chained if self.chained is not None else dict.fromkeys(pods, False)
        self.chained = {uid: known[uid] if uid in known else self._goes_through(pod) for uid, pod in pods.items()}
        self.published &= set(pods)
        due = [pods[uid] for uid, chained in self.chained.items() if chained and uid not in self.published]
        if due and self._is_served():
            for pod in due:
                self._publish(pod)

    def _pods(self) -> Iterator[Object]:
        for pod in (self.api.get(_PODS) or {}).get("items", []):
            is_leaving = "deletionTimestamp" in pod["metadata"]
            if not is_leaving and pod["status"].get("podIP"):
                yield pod

    def _goes_through(self, pod: Object) -> bool:
        if WITHOUT in (pod["metadata"].get("annotations") or {}):
            return False
        folder = NodeFolder(self.nodes_dir / pod["spec"]["nodeName"]).conf_dir
        files = sorted(path for path in folder.glob("*.conf*") if path.suffix in {".conf", ".conflist"})
        try:
            plugins = json.loads(files[0].read_bytes()).get("plugins", []) if files else []
        except (OSError, ValueError):
            return False
        return any(plugin.get("type") == "cilium-cni" for plugin in plugins)

    def _is_served(self) -> bool:
        resources = (self.api.get(_GROUP) or {}).get("resources", [])
        return any(item["name"] == "ciliumendpoints" for item in resources)

    def _publish(self, pod: Object) -> None:
        metadata = pod["metadata"]
        body = endpoint(pod)
        path = f"{_GROUP}/namespaces/{metadata['namespace']}/ciliumendpoints/{metadata['name']}"
        try:
            self.api.apply(path, body, MANAGER)
        except http.client.HTTPException as error:
            self.say(f"stand-in for cilium-agent: {error}")
            return
        self.published.add(metadata["uid"])


def endpoint(pod: Object) -> Object:
    """The CiliumEndpoint of a pod, as cilium-agent makes it: of the pod's name, owned by it, with its addresses."""
    metadata = pod["metadata"]
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumEndpoint",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}],
        },
        "status": {
            "networking": {"addressing": [{"ipv4": pod["status"]["podIP"]}], "node": pod["status"].get("hostIP", "")},
            "state": "ready",
        },
    }
