"""Cilium as others install it: with the real helm and the real kubectl, from the official charts."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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


def helm(world: Harness, *arguments: str, stdin: str | None = None, program: str = "") -> str:
    """Standard output of helm against the test's API server. program: another name to run it under."""
    home = world.work / "helm-home"
    environment = {"PATH": os.defpath, "HOME": str(home), "KUBECONFIG": str(world.control_plane.kubeconfig)}
    command = [program or str(world.control_plane.toolbox.path("helm")), *arguments]
    done = subprocess.run(
        command, input=stdin, env=environment, capture_output=True, text=True, timeout=HELM_SECONDS, check=False
    )
    assert done.returncode == 0, f"helm {' '.join(arguments)} failed: {done.stderr}"
    return done.stdout


def _helm_install(world: Harness, cilium: Cilium, *flags: str, program: str = "") -> None:
    arguments = ("install", "cilium", cilium.chart(world), "--namespace=kube-system", "--values=-", *flags)
    helm(world, *arguments, stdin=json.dumps(cilium.values), program=program)


def helm_client_side(world: Harness, cilium: Cilium) -> None:
    """As Helm 3 does, by the same library's other way."""
    _helm_install(world, cilium, "--server-side=false")


def helm_server_side(world: Harness, cilium: Cilium) -> None:
    """As Helm 4 does."""
    _helm_install(world, cilium)


def cilium_cli(world: Harness, cilium: Cilium) -> None:
    """As cilium-cli does: helm's library in a program named cilium. (The program itself cannot be built here.)"""
    program = world.work / "bin" / "cilium"
    program.parent.mkdir(exist_ok=True)
    if not program.exists():
        os.link(world.control_plane.toolbox.path("helm"), program)
    _helm_install(world, cilium, "--server-side=false", program=str(program))


def rendered(world: Harness, cilium: Cilium, *, hooks: bool = False) -> str:
    """What `helm template` writes."""
    arguments = ("template", "cilium", cilium.chart(world), "--namespace=kube-system", "--kube-version=1.36.1")
    flags = () if hooks else ("--no-hooks",)
    return helm(world, *arguments, "--values=-", *flags, stdin=json.dumps(cilium.values))


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
    """An installation whose managedFields somebody has emptied, as backup tools and old clients do."""
    kubectl_create(world, cilium)
    for document in yaml.safe_load_all(rendered(world, cilium)):
        if document:
            kind, metadata = document["kind"], document["metadata"]
            where = [f"--namespace={metadata['namespace']}"] if "namespace" in metadata else []
            world.kubectl(
                *("patch", kind, metadata["name"], *where, "--type=merge"),
                '--patch={"metadata":{"managedFields":[{}],"annotations":{"kubectl.kubernetes.io/x":"y"}}}',
            )


def clear(world: Harness) -> None:
    """Take every Cilium away again, whoever made it, and the CNIChain with it."""
    world.delete_chain()
    for label in ("cnichain.io/owner", "app.kubernetes.io/part-of=cilium", "owner=helm"):
        world.kubectl("delete", KINDS.removesuffix(",namespaces"), "-A", f"--selector={label}", "--timeout=60s")
    for kind, names in LEFT.items():
        world.kubectl("delete", kind, *names, "--namespace=kube-system", "--ignore-not-found", "--timeout=30s")
    world.kubectl("delete", "namespace", "cilium-secrets", "--ignore-not-found", "--timeout=60s")
    world.kubectl("delete", "configmap", "cnichain-inventory-default", "-n", "cnichain-system", "--ignore-not-found")


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
    return {f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}": item for item in found}


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


def kubeconfig_of(world: Harness, account: str) -> Path:
    """A kubeconfig with a token of a service account of the operator's namespace."""
    token = world.kubectl("create", "token", account, "--namespace=cnichain-system", "--duration=1h").strip()
    config = json.loads(world.control_plane.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = world.work / f"{account}.kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
