"""A DaemonSet that pulls the images of Cilium's agents ahead of their restart. Pure.

While an agent is down its node starts no pods (with `onCiliumDown: Closed`), so nothing of that time may be spent on a
registry. Model: the pre-puller of OpenShift's cluster-network-operator (pkg/network/ovn_kubernetes.go).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnichain.api.names import CILIUM_NAMESPACE, PREPULL_DAEMON_SET
from cnichain.api.objects import ObjectKey
from cnichain.render.manifests import Manifest
from cnichain.render.placement import AGENT_DAEMON_SETS, agent_daemon_sets

KEY = ObjectKey("apps/v1", "DaemonSet", CILIUM_NAMESPACE, PREPULL_DAEMON_SET)
TAKEN_OVER = ("nodeSelector", "tolerations", "imagePullSecrets")
"""Of the agents' pod spec: where they run, and how their images are pulled. Not all of their affinity: it keeps every
other pod of Cilium's off the node."""
NOTHING_ALLOWED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESOURCES = {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}}


def images_of(daemon_sets: Iterable[Mapping[str, Any]]) -> list[str]:
    """The images of all containers of Cilium's DaemonSets, sorted."""
    found = set()
    for item in daemon_sets:
        pod = item["spec"]["template"]["spec"]
        found |= {one["image"] for one in [*(pod.get("initContainers") or []), *pod["containers"]]}
    return sorted(found)


def agent_image(items: Iterable[Manifest]) -> str:
    """The image of the Cilium agent, "" when there is none among the manifests."""
    for item in agent_daemon_sets(items):
        if item.name == AGENT_DAEMON_SETS[0]:
            return str(item.body["spec"]["template"]["spec"]["containers"][0]["image"])
    return ""


def prepull(mine: Sequence[Manifest]) -> Manifest:
    """The DaemonSet for the images of these DaemonSets of Cilium's, of which there is at least one.

    One init container for each image ends at once; the last image idles, so that the pod is Ready when all are pulled.
    It uses the host's network: it is there to be independent of the chain that is about to restart.
    """
    images = images_of([item.body for item in mine])
    pod = mine[0].body["spec"]["template"]["spec"]
    labels = {"app.kubernetes.io/name": PREPULL_DAEMON_SET}
    body = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": PREPULL_DAEMON_SET, "namespace": CILIUM_NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **{key: pod[key] for key in TAKEN_OVER if key in pod},
                    "affinity": {"nodeAffinity": (pod.get("affinity") or {}).get("nodeAffinity") or {}},
                    "hostNetwork": True,
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 1,
                    "initContainers": [
                        _container(f"pull-{number}", image, "true") for number, image in enumerate(images[1:], start=1)
                    ],
                    "containers": [_container("pull-0", images[0], "sleep", "infinity")],
                },
            },
        },
    }
    return Manifest("apps/v1", "DaemonSet", CILIUM_NAMESPACE, PREPULL_DAEMON_SET, body)


def _container(name: str, image: str, *command: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "resources": RESOURCES,
        "securityContext": NOTHING_ALLOWED,
    }
