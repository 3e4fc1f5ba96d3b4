"""Records of pods for the tests of pure decisions."""

from typing import Any

from cnichain.plan.pods import PodRecord, Workload

NODE = "a"


def pod(name: str = "web", **changes: Any) -> PodRecord:
    """A pod that is well, on the node `a`, of a Deployment `web`."""
    namespace = changes.get("namespace", "default")
    usual: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "uid": f"u-{name}",
        "node": NODE,
        "ips": ("10.0.0.1",),
        "live": True,
        "leaving": False,
        "ready": True,
        "kind": "",
        "created": changes.get("started", 100),
        "started": 100,
        "workload": Workload(namespace, "Deployment", "web"),
        "part_of": "",
        "security_group": False,
        "dns": False,
        "agent": False,
    }
    return PodRecord(**(usual | changes))
