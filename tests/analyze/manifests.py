"""Manifests with one mistake each, as the parts of the world around a CNIChain write them."""

import json
from typing import Any

import yaml

GOOD = {"cilium": {"version": "1.20.0"}}


def text(*bodies: Any) -> str:
    """Documents as one YAML text."""
    return yaml.safe_dump_all(bodies, sort_keys=False)


def body(api_version: str, kind: str, name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    """An object."""
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    metadata |= rest.pop("metadata", {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def chain(name: str = "default", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A CNIChain that is fine, but for what is said."""
    metadata = {"annotations": annotations} if annotations else {}
    return body("cnichain.io/v1alpha1", "CNIChain", name, metadata=metadata, spec={**GOOD, **spec})


def values(**given: Any) -> dict[str, Any]:
    """A CNIChain with these values of Cilium's chart."""
    return chain(cilium={"version": "1.20.0", "values": given})


def daemon_set(name: str, namespace: str = "kube-system", image: str = "x/y:v1", **env: str) -> dict[str, Any]:
    """A DaemonSet with one container of its own name."""
    container = {"name": name, "image": image, "env": [{"name": key, "value": value} for key, value in env.items()]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return body("apps/v1", "DaemonSet", name, namespace, spec=spec)


def aws_node(**env: str) -> dict[str, Any]:
    """A whole aws-node with these settings."""
    return daemon_set("aws-node", image="602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.20.1", **env)


def patch_of_aws_node(container: str = "aws-node", **env: str) -> dict[str, Any]:
    """A patch that sets these variables."""
    one = {"name": container, "env": [{"name": key, "value": value} for key, value in env.items()]}
    kind = "initContainers" if container.endswith("init") else "containers"
    return body("apps/v1", "DaemonSet", "aws-node", "kube-system", spec={"template": {"spec": {kind: [one]}}})


def add_on(name: str = "vpc-cni", version: str = "v1.20.1-eksbuild.1", **configuration: Any) -> dict[str, Any]:
    """An add-on of ACK."""
    spec = {"name": name, "addonVersion": version, "clusterName": "c"}
    spec |= {"configurationValues": json.dumps(configuration)} if configuration else {}
    return body("eks.services.k8s.aws/v1alpha1", "Addon", name, "ack", spec=spec)


def eksctl(**rest: Any) -> dict[str, Any]:
    """A ClusterConfig of eksctl."""
    return body("eksctl.io/v1alpha5", "ClusterConfig", "prod", **rest)


def node_pool(startup: list[Any] | None = None, taints: list[Any] | None = None) -> dict[str, Any]:
    """A NodePool of Karpenter's."""
    spec: dict[str, Any] = {"nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"}}
    spec |= {"startupTaints": startup} if startup else {}
    spec |= {"taints": taints} if taints else {}
    return body("karpenter.sh/v1", "NodePool", "general", spec={"template": {"spec": spec}})


TAINT = {"key": "cnichain.io/chain-not-ready", "value": "true", "effect": "NoSchedule"}


def node(name: str, kernel: str, os_image: str) -> dict[str, Any]:
    """A Node as a cluster shows it."""
    return body("v1", "Node", name, status={"nodeInfo": {"kernelVersion": kernel, "osImage": os_image}})


def helm_release(chart: str, namespace: str, version: str = "1", **given: Any) -> dict[str, Any]:
    """A HelmRelease of Flux."""
    source = {"kind": "HelmRepository", "name": "repo"}
    spec = {
        "interval": "1h",
        "chart": {"spec": {"chart": chart, "version": version, "sourceRef": source}},
        "values": given,
    }
    return body("helm.toolkit.fluxcd.io/v2", "HelmRelease", chart, namespace, spec=spec)


def application(repository: str, chart: str = "", path: str = "", namespace: str = "x", **rest: Any) -> dict[str, Any]:
    """An Application of Argo CD."""
    source: dict[str, Any] = {"repoURL": repository, "targetRevision": "1.0.0"}
    source |= {"chart": chart} if chart else {"path": path}
    source |= {"helm": rest.pop("helm")} if "helm" in rest else {}
    destination = {"server": "https://kubernetes.default.svc", "namespace": namespace}
    return body(
        "argoproj.io/v1alpha1",
        "Application",
        "app",
        "argocd",
        spec={"source": source, "destination": destination} | rest,
    )


def webhook(selector: dict[str, Any] | None = None, policy: str = "Fail") -> dict[str, Any]:
    """A webhook that is asked about every pod."""
    one = {
        "name": "pods.example.com",
        "failurePolicy": policy,
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "clientConfig": {"service": {"namespace": "policy", "name": "hook"}},
        "namespaceSelector": selector or {},
    }
    return body("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "hook", webhooks=[one])


def argocd_cm(**data: str) -> dict[str, Any]:
    """The settings of Argo CD."""
    return body("v1", "ConfigMap", "argocd-cm", "argocd", data={"url": "https://argocd.example.com"} | data)


def egress(*rules: Any, kind: str = "CiliumNetworkPolicy", selector: Any = None, **spec: Any) -> dict[str, Any]:
    """A policy of Cilium's that restricts egress."""
    namespace = "" if "Clusterwide" in kind else "app"
    given = {"endpointSelector": selector or {"matchLabels": {"app": "a"}}, "egress": list(rules)} | spec
    return body("cilium.io/v2", kind, "p", namespace, spec=given)


TO_AGENT = {"toEntities": ["host"], "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}
TO_DNS = {
    "toEndpoints": [{"matchLabels": {"k8s-app": "kube-dns"}}],
    "toPorts": [{"ports": [{"port": "53", "protocol": "UDP"}]}],
}


def network_policy(*rules: Any) -> dict[str, Any]:
    """A NetworkPolicy that restricts egress."""
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": list(rules)}
    return body("networking.k8s.io/v1", "NetworkPolicy", "p", "app", spec=spec)
