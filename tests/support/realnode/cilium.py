"""Stand-ins for the parts of Cilium that cannot run on the real node, for tests in which the operator installs it.

The node has no image of Cilium's. So the DaemonSets are told to run nowhere, cilium-operator runs on a node of kwok's,
and here are in the agent's place: a pod that carries the labels and annotations of the DaemonSet's and is Ready,
Cilium's CRDs (registered by Cilium's own code), and the CiliumEndpoints of those pods that the real cilium-cni has told
the stand-in agent of (ciliumagent.py).
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cnichain.dev import manifests
from cnichain.dev.endpoints import endpoint
from realnode.config import PAUSE_IMAGE
from realnode.node import RealNode
from realnode.pods import pod

Object = dict[str, Any]

NOWHERE = {"cnichain.dev/nowhere": "true"}
FAKE = {"cnichain.dev/fake": "true"}
VALUES: Object = {"nodeSelector": NOWHERE, "envoy": {"enabled": False}, "operator": {"nodeSelector": FAKE}}
"""Values of the chart with which nothing of Cilium's is put on the real node."""
AGENT_POD = "cilium-stand-in"
SYSTEM = ("--namespace=kube-system",)


def log_of(node: RealNode) -> str:
    """What the stand-in for cilium-agent was told on this node so far, "" before the first start."""
    log = node.layout.log_dir / "cilium-agent.log"
    return log.read_text(encoding="utf-8") if log.exists() else ""


@dataclass
class StandInCilium:
    """published: names of the pods in `default` whose endpoint was made. earlier: characters of the log before it."""

    node: RealNode
    earlier: int = 0
    published: set[str] = field(default_factory=set)

    @classmethod
    @contextmanager
    def run(cls, node: RealNode) -> Iterator["StandInCilium"]:
        """A node of kwok's, aws-node's DaemonSet for preflight to find, the CRDs, and what cilium-cni asks."""
        fake = manifests.node(0)
        fake["metadata"]["labels"] |= FAKE
        # Agents and cilium-operator tolerate it. Another program would seem to run there, and do nothing.
        fake["spec"]["taints"] = [{"key": next(iter(FAKE)), "effect": "NoSchedule"}]
        aws_node = manifests.aws_node()
        for item in aws_node:
            if item["kind"] == "DaemonSet":
                item["spec"]["template"]["spec"]["nodeSelector"] = NOWHERE
        everything = "\n---\n".join(json.dumps(item) for item in (fake, *aws_node))
        kubectl = node.control_plane.run_kubectl
        node.install_plugin("cilium-cni")
        earlier = len(log_of(node))
        node.start_cilium_agent()
        try:
            kubectl("apply", "--server-side", "--filename=-", stdin=everything)
            command = [str(node.control_plane.toolbox.path("cilium-crds"))]
            command.append(f"--kubeconfig={node.control_plane.kubeconfig}")
            subprocess.run(command, capture_output=True, timeout=60, check=True)
            yield cls(node, earlier)
        finally:
            kubectl("delete", "pod", AGENT_POD, *SYSTEM, "--ignore-not-found", "--timeout=60s", timeout=70)
            arguments = ("--ignore-not-found", "--timeout=60s", "--filename=-")
            kubectl("delete", *arguments, stdin=everything, timeout=70)

    def start_agent_pod(self) -> None:
        """Make the agent's pod once its DaemonSet is there: as one of its pods, but for the image and the owner.

        The DaemonSet controller would delete a pod of its own on a node that it is not to run on, and adopt one without
        an owner; so its service account, of the same name, is given as the controller.
        """
        kubectl = self.node.control_plane.run_kubectl
        found = kubectl("get", "daemonset,serviceaccount,pod", *SYSTEM, "--output=json")
        items = {(item["kind"], item["metadata"]["name"]): item for item in json.loads(found)["items"]}
        daemon_set, account = items.get(("DaemonSet", "cilium")), items.get(("ServiceAccount", "cilium"))
        if daemon_set is None or account is None or ("Pod", AGENT_POD) in items:
            return
        body = pod(AGENT_POD, self.node.name, image=PAUSE_IMAGE, host_network=True)
        made_from = daemon_set["spec"]["template"]["metadata"]
        owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "cilium", "controller": True}
        body["metadata"] |= {
            "namespace": "kube-system",
            "labels": made_from["labels"],
            "annotations": made_from.get("annotations", {}),
            "ownerReferences": [owner | {"uid": account["metadata"]["uid"]}],
        }
        kubectl("create", "--filename=-", stdin=json.dumps(body))

    def told(self) -> set[str]:
        """Names of the pods in `default` that went through the chain: cilium-cni has told of them."""
        lines = log_of(self.node)[self.earlier :].splitlines()
        named = [line.split()[1] for line in lines if line.startswith("endpoint ")]
        return {name.removeprefix("default/") for name in named if name.startswith("default/")}

    def publish_endpoints(self) -> None:
        """Make the CiliumEndpoint of each such pod that runs, as cilium-agent does."""
        kubectl = self.node.control_plane.run_kubectl
        for item in json.loads(kubectl("get", "pods", "--output=json"))["items"]:
            name = item["metadata"]["name"]
            if name in self.told() - self.published and item["status"].get("podIP"):
                body = json.dumps(endpoint(item))
                kubectl("apply", "--server-side", "--field-manager=cilium-agent", "--filename=-", stdin=body)
                self.published.add(name)
