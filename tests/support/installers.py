"""Cilium as others install it: with the real helm and the real kubectl, from the official charts."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from harness import Harness

HELM_SECONDS = 60
CHAINED: dict[str, Any] = {
    "cni": {"chainingMode": "aws-cni", "exclusive": False},
    "enableIPv4Masquerade": False,
    "routingMode": "native",
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}},
}
"""Values after upstream's guide for chaining after the AWS VPC CNI."""
KINDS = (
    "configmaps,secrets,serviceaccounts,services,daemonsets.apps,deployments.apps,jobs.batch,cronjobs.batch,"
    "poddisruptionbudgets.policy,clusterroles,clusterrolebindings,roles,rolebindings,namespaces"
)
"""Kinds that the charts render, for kubectl."""


@dataclass(frozen=True)
class Cilium:
    """A Cilium that is about to be installed: version and values of the official chart."""

    version: str = "1.17.3"
    values: Mapping[str, Any] = field(default_factory=lambda: CHAINED)

    def chart(self, world: Harness) -> str:
        """Path of the chart's archive."""
        return str(world.chart_dir / f"cilium-{self.version}.tgz")


Install = Callable[[Harness, Cilium], None]


def helm(world: Harness, *arguments: str, stdin: str | None = None) -> str:
    """Standard output of helm against the test's API server."""
    home = world.work / "helm-home"
    environment = {"PATH": os.defpath, "HOME": str(home), "KUBECONFIG": str(world.control_plane.kubeconfig)}
    command = [str(world.control_plane.toolbox.path("helm")), *arguments]
    done = subprocess.run(
        command, input=stdin, env=environment, capture_output=True, text=True, timeout=HELM_SECONDS, check=False
    )
    assert done.returncode == 0, f"helm {' '.join(arguments)} failed: {done.stderr}"
    return done.stdout


def _helm_install(world: Harness, cilium: Cilium, *flags: str) -> None:
    arguments = ("install", "cilium", cilium.chart(world), "--namespace=kube-system", "--values=-", *flags)
    helm(world, *arguments, stdin=json.dumps(cilium.values))


def helm_client_side(world: Harness, cilium: Cilium, *flags: str) -> None:
    """As Helm 3 does: Helm 4 still has that way."""
    _helm_install(world, cilium, "--server-side=false", *flags)


def helm_server_side(world: Harness, cilium: Cilium) -> None:
    """As Helm 4 does."""
    _helm_install(world, cilium)


def cilium_cli(world: Harness, cilium: Cilium) -> None:
    """As cilium-cli does: helm's library creates each object, under the name of the program. Emulated by kubectl, since
    cilium-cli itself cannot be built here."""
    documents = [one for one in yaml.safe_load_all(rendered(world, cilium)) if one]
    for document in documents:
        metadata = document["metadata"]
        metadata["labels"] = (metadata.get("labels") or {}) | {"app.kubernetes.io/managed-by": "Helm"}
        metadata["annotations"] = (metadata.get("annotations") or {}) | RELEASE
    stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    world.kubectl("create", "--field-manager=cilium", "--filename=-", stdin=stdin)


RELEASE = {"meta.helm.sh/release-name": "cilium", "meta.helm.sh/release-namespace": "kube-system"}


def rendered(world: Harness, cilium: Cilium) -> str:
    """What `helm template` writes, without hooks."""
    arguments = ("template", "cilium", cilium.chart(world), "--namespace=kube-system", "--kube-version=1.36.1")
    return helm(world, *arguments, "--values=-", "--no-hooks", stdin=json.dumps(cilium.values))


def kubectl_apply(world: Harness, cilium: Cilium) -> None:
    """`helm template | kubectl apply`."""
    world.kubectl("apply", "--filename=-", stdin=rendered(world, cilium))


def kubectl_apply_server_side(world: Harness, cilium: Cilium) -> None:
    """`helm template | kubectl apply --server-side`."""
    world.kubectl("apply", "--server-side", "--filename=-", stdin=rendered(world, cilium))


def kubectl_create(world: Harness, cilium: Cilium) -> None:
    """`helm template | kubectl create`."""
    world.kubectl("create", "--filename=-", stdin=rendered(world, cilium))


def kubectl_replace(world: Harness, cilium: Cilium) -> None:
    """`kubectl create`, and `kubectl replace` after it."""
    text = rendered(world, cilium)
    world.kubectl("create", "--filename=-", stdin=text)
    world.kubectl("replace", "--filename=-", stdin=text)


def untracked(world: Harness, cilium: Cilium) -> None:
    """`kubectl apply`, and somebody has emptied the managedFields since, as backup tools and old clients do."""
    kubectl_apply(world, cilium)
    world.kubectl(
        *("patch", "--filename=-", "--type=merge", '--patch={"metadata":{"managedFields":[{}]}}'),
        stdin=rendered(world, cilium),
    )


def clear(world: Harness) -> None:
    """Take every Cilium away again, whoever made it, and the CNIChain with it."""
    world.delete_chain()
    if world.exists("namespace", "cilium-secrets"):
        world.kubectl("delete", "namespace", "cilium-secrets", "--wait=false")
    for label in ("cnichain.io/owner", "app.kubernetes.io/part-of=cilium", "owner=helm"):
        world.kubectl("delete", KINDS.removesuffix(",namespaces"), "-A", f"--selector={label}", "--wait=false")
    left = [f"{kind}/{name}" for kind, names in LEFT.items() for name in names]
    world.kubectl("delete", *left, "--namespace=kube-system", "--ignore-not-found", "--timeout=30s")
    world.kubectl("delete", "configmap", "cnichain-inventory-default", "-n", "cnichain-system", "--ignore-not-found")
    world.kubectl("wait", "--for=delete", "namespace/cilium-secrets", "--timeout=60s")


LEFT = {
    "configmap": ("cilium-config", "cilium-envoy-config", "hubble-relay-config", "hubble-ui-nginx"),
    "serviceaccount": ("cilium", "cilium-operator", "cilium-envoy", "hubble-relay", "hubble-ui"),
    "secret": ("cilium-ca", "hubble-server-certs", "hubble-relay-client-certs"),
}
"""Objects of the charts that carry no label."""

SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "selfLink")
SERVERS_ANNOTATIONS = ("deprecated.daemonset.template.generation", "deployment.kubernetes.io/revision")


def objects(world: Harness, *selector: str) -> dict[str, dict[str, Any]]:
    """Objects of the charts' kinds by "Kind namespace/name", as they are in the cluster, managedFields among them."""
    text = world.kubectl("get", KINDS, "-A", *selector, "--output=json", "--show-managed-fields")
    found: list[dict[str, Any]] = json.loads(text)["items"]
    keys = {
        f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}": item for item in found
    }
    return {key: item for key, item in keys.items() if "cnichain-inventory" not in key}


def comparable(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what differs between two installations of the same thing: what the server gave it, its status,
    and the content of certificates."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in SERVERS_OWN}
    annotations = {
        key: value for key, value in metadata.pop("annotations", {}).items() if key not in SERVERS_ANNOTATIONS
    }
    metadata["annotations"] = annotations
    metadata["managedFields"] = sorted(
        (
            {key: value for key, value in entry.items() if key != "time"}
            for entry in metadata.get("managedFields", [])
            if entry.get("subresource") != "status"
        ),
        key=str,
    )
    result = {key: value for key, value in item.items() if key != "status"} | {"metadata": metadata}
    if item["kind"] == "Secret":
        result["data"] = sorted(item["data"])
    if item["kind"] == "Service":
        spec = {key: value for key, value in item["spec"].items() if key not in {"clusterIP", "clusterIPs"}}
        result["spec"] = spec
    return result
