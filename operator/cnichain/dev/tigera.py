"""A stand-in for tigera-operator, whose pod runs no program on a fake node.

It does what CNIChain can see of the real one, and nothing of a data plane:

- while its Deployment is available and an Installation is there: it puts its two finalizers and its defaults into the
  Installation (under its own field manager, as an Update, as the real one does), claims to be the active operator, lets
  a DaemonSet calico-node run, and reports in the TigeraStatus `calico`: what it waits for as Degraded, then Available;
- an Installation that it would refuse (a field that is only for Calico's own CNI plugin) stays Degraded;
- a deleted Installation loses its finalizers only after calico-node is gone. Without the Deployment nothing happens.

Source of the behaviour: tigera/operator, pkg/controller/installation (core_controller.go, validation.go).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

Object = dict[str, Any]

MANAGER = "operator"
FINALIZERS = ["operator.tigera.io/installation-controller", "tigera.io/operator-cleanup"]
CALICO_OF_OPERATOR = {"v1.30.0": "v3.26.0", "v1.42.3": "v3.32.1"}
_TIGERA = "/apis/operator.tigera.io/v1"
_INSTALLATION = f"{_TIGERA}/installations/default"
_STATUS = f"{_TIGERA}/tigerastatuses/calico"
_DEPLOYMENT = "/apis/apps/v1/namespaces/tigera-operator/deployments/tigera-operator"
_NAMESPACE = "/api/v1/namespaces/calico-system"
_NODE = "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node"
_ACTIVE = "/api/v1/namespaces/calico-system/configmaps/active-operator"


class Api(Protocol):
    """What the stand-in needs of the API."""

    def get(self, path: str) -> Object | None:
        """The object at a path, None when there is none."""
        ...

    def apply(self, path: str, body: Object, manager: str) -> Object:
        """Server-side apply."""
        ...

    def merge(self, path: str, body: Object, manager: str) -> Object:
        """A JSON merge patch."""
        ...

    def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        ...


@dataclass
class TigeraOperator:
    """One look after the other at the Installation."""

    api: Api
    say: Callable[[str], None]

    def look(self) -> None:
        """See what is there and do what is due."""
        deployment = self.api.get(_DEPLOYMENT)
        if deployment is None or not _is_available(deployment):
            return
        installation = self.api.get(_INSTALLATION)
        if installation is None:
            if self.api.get(_STATUS) is not None:
                self.api.delete(_STATUS)
            return
        if installation["metadata"].get("deletionTimestamp"):
            self._tear_down(installation)
        else:
            self._install(installation, deployment)

    def _install(self, installation: Object, deployment: Object) -> None:
        network = installation["spec"].get("calicoNetwork") or {}
        if "containerIPForwarding" in network and installation["spec"]["cni"]["type"] != "Calico":
            why = "spec.calicoNetwork.containerIPForwarding is supported only for Calico CNI"
            self._report(installation, "InvalidConfigurationError", f"Invalid Installation provided: {why}")
            return
        if not installation["metadata"].get("finalizers"):
            defaults = {
                "variant": "Calico",
                "cni": {"ipam": {"type": "AmazonVPC"}},
                "calicoNetwork": {"bgp": "Disabled"},
            }
            body = {"metadata": {"finalizers": FINALIZERS}, "spec": defaults}
            installation = self.api.merge(_INSTALLATION, body, MANAGER)
            self._report(installation, "ResourceNotReady", "Waiting for Installation defaulting to occur")
            self.say("stand-in for tigera-operator: took the Installation over")
        if self.api.get(_NODE) is None:
            for path, item in ((_NAMESPACE, _NAMESPACE_BODY), (_ACTIVE, _ACTIVE_BODY), (_NODE, _NODE_BODY)):
                self.api.apply(path, item, MANAGER)
        node = self.api.get(_NODE) or {}
        wanted, there = (node.get("status", {}).get(key, 0) for key in ("desiredNumberScheduled", "numberAvailable"))
        if not wanted or there < wanted:
            self._report(installation, "ResourceNotReady", f"Waiting for calico-node: {there} of {wanted} pods")
            return
        version = CALICO_OF_OPERATOR[
            deployment["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
        ]
        if installation.get("status", {}).get("calicoVersion") != version:
            self.api.merge(f"{_INSTALLATION}/status", {"status": {"calicoVersion": version}}, MANAGER)
        self._report(installation, "", "")

    def _tear_down(self, installation: Object) -> None:
        if self.api.get(_NODE) is not None:
            self.api.delete(_NODE)
            return
        there = installation["metadata"].get("finalizers") or []
        mine = next((item for item in FINALIZERS if item in there), None)
        if mine is not None:
            left = [item for item in there if item != mine]
            self.api.merge(_INSTALLATION, {"metadata": {"finalizers": left}}, MANAGER)
            self.say(f"stand-in for tigera-operator: took off the finalizer {mine}")

    def _report(self, installation: Object, reason: str, message: str) -> None:
        """Write the TigeraStatus: Degraded for a reason, or Available when there is none."""
        generation = installation["metadata"]["generation"]
        good = {"status": "False", "reason": "AllObjectsAvailable", "message": "All objects available"}
        bad = {"status": "True", "reason": reason, "message": message}
        kinds = {"Available": good | {"status": "True"}, "Degraded": good, "Progressing": good}
        if reason:
            kinds = {"Available": {"status": "False"}, "Degraded": bad, "Progressing": good}
        wanted = [{"type": kind, "observedGeneration": generation, **body} for kind, body in kinds.items()]
        found = (self.api.get(_STATUS) or {}).get("status", {}).get("conditions") or []
        if [{key: value for key, value in item.items() if key != "lastTransitionTime"} for item in found] == wanted:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        header = {"apiVersion": "operator.tigera.io/v1", "kind": "TigeraStatus", "metadata": {"name": "calico"}}
        self.api.apply(_STATUS, header, MANAGER)
        status = {"conditions": [{**item, "lastTransitionTime": now} for item in wanted]}
        self.api.merge(f"{_STATUS}/status", {"status": status}, MANAGER)
        self.say(f"stand-in for tigera-operator: {reason or 'Available'} {message}".rstrip())


def _is_available(deployment: Object) -> bool:
    status = deployment.get("status", {})
    conditions = {item["type"]: item["status"] for item in status.get("conditions", [])}
    current = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return current and conditions.get("Available") == "True" and status.get("updatedReplicas", 0) > 0


_NAMESPACE_BODY: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "calico-system"}}
_ACTIVE_BODY: Object = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "active-operator", "namespace": "calico-system"},
    "data": {"active-namespace": "tigera-operator"},
}
_NODE_BODY: Object = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "calico-node", "namespace": "calico-system"},
    "spec": {
        "selector": {"matchLabels": {"k8s-app": "calico-node"}},
        "template": {
            "metadata": {"labels": {"k8s-app": "calico-node"}},
            "spec": {
                "hostNetwork": True,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "calico-node", "image": "registry.invalid/stand-in-for-calico-node"}],
            },
        },
    },
}
