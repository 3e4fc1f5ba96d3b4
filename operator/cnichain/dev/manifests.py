"""Objects of an EKS-like cluster: nodes, aws-node, kube-proxy. Plain dictionaries, ready for server-side apply."""

from typing import Any

Object = dict[str, Any]

ZONES = ("us-west-2a", "us-west-2b", "us-west-2c")
POOLS = ("general",)
"""Node groups, when no others are named."""
REGISTRY = "602401143452.dkr.ecr.us-west-2.amazonaws.com"
"""Amazon's own image registry for us-west-2, as in the image of every EKS add-on there."""
VPC_CNI_VERSION = "v1.18.5-eksbuild.1"
KUBE_PROXY_VERSION = "v1.36.1-eksbuild.1"

NODES_MAX = 3 * 32 * 250
"""Addresses of three zones, each with a /19 of the VPC."""


def node_address(index: int) -> str:
    """The address of node `index` (from 0): the zones take turns, each with a /19 of the VPC 192.168.0.0/16."""
    zone, place = index % len(ZONES), index // len(ZONES)
    return f"192.168.{32 * zone + place // 250}.{4 + place % 250}"  # AWS keeps the first four of a subnet


def node_name(index: int) -> str:
    """`ip-192-168-0-4.us-west-2.compute.internal`."""
    return f"ip-{node_address(index).replace('.', '-')}.us-west-2.compute.internal"


def node(
    index: int,
    *,
    pools: tuple[str, ...] = POOLS,
    kernel: str = "6.1.141-155.222.amzn2023.x86_64",
    kubelet: str = "v1.36.1",
) -> Object:
    """A Node as an EKS managed node group of m6i.xlarge with Amazon Linux 2023 brings it up; kwok plays its kubelet.

    pools: names of node groups, which take turns; each has nodes in every zone.
    """
    name, zone = node_name(index), ZONES[index % len(ZONES)]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "beta.kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/instance-type": "m6i.xlarge",
                "beta.kubernetes.io/os": "linux",
                "eks.amazonaws.com/capacityType": "ON_DEMAND",
                "eks.amazonaws.com/nodegroup": pools[index // len(ZONES) % len(pools)],
                "eks.amazonaws.com/nodegroup-image": "ami-0fd3ac4abb734302a",
                "failure-domain.beta.kubernetes.io/region": "us-west-2",
                "failure-domain.beta.kubernetes.io/zone": zone,
                "k8s.io/cloud-provider-aws": "a94967527effcefb5f5829f529c0a1b9",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "m6i.xlarge",
                "topology.k8s.aws/zone-id": f"usw2-az{index % len(ZONES) + 1}",
                "topology.kubernetes.io/region": "us-west-2",
                "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": {"providerID": f"aws:///{zone}/i-{index + 0x0A1B2C3D4E5F60718:017x}"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node_address(index)},
                {"type": "InternalDNS", "address": name},
                {"type": "Hostname", "address": name},
            ],
            # An m6i.xlarge has 4 interfaces of 15 addresses: 4 * (15 - 1) + 2 = 58 pods (VPC CNI's own formula).
            "capacity": {"cpu": "4", "memory": "16073216Ki", "ephemeral-storage": "83873772Ki", "pods": "58"},
            "allocatable": {"cpu": "3920m", "memory": "15056384Ki", "ephemeral-storage": "76224326324", "pods": "58"},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": f"00000000-0000-4000-8000-{index:012x}",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": kernel,
                "kubeProxyVersion": "",
                "kubeletVersion": kubelet,
                "machineID": f"ec2{index:029x}",
                "operatingSystem": "linux",
                "osImage": "Amazon Linux 2023.7.20250623",
                "systemUUID": f"ec200000-0000-4000-8000-{index:012x}",
            },
        },
    }


def aws_node(version: str = VPC_CNI_VERSION, env: dict[str, str] | None = None) -> list[Object]:
    """The VPC CNI add-on: service account and DaemonSet of the right shape; `env` adds to or overrides its settings."""
    settings = {**_AWS_NODE_ENV, **(env or {})}
    variables: list[Object] = [{"name": key, "value": value} for key, value in settings.items()]
    variables.append({"name": "MY_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})
    labels = {"k8s-app": "aws-node", "app.kubernetes.io/name": "aws-node", "app.kubernetes.io/instance": "aws-vpc-cni"}
    pod_spec: Object = {
        **_system_pod("aws-node"),
        "terminationGracePeriodSeconds": 10,
        "initContainers": [
            {
                "name": "aws-vpc-cni-init",
                "image": f"{REGISTRY}/amazon-k8s-cni-init:{version}",
                "env": [{"name": "DISABLE_TCP_EARLY_DEMUX", "value": "false"}],
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "cni-bin-dir", "mountPath": "/host/opt/cni/bin"}],
            }
        ],
        "containers": [
            {
                "name": "aws-node",
                "image": f"{REGISTRY}/amazon-k8s-cni:{version}",
                "env": variables,
                "ports": [{"name": "metrics", "containerPort": 61678, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "25m"}},
                "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
                "volumeMounts": [
                    {"name": "cni-bin-dir", "mountPath": "/host/opt/cni/bin"},
                    {"name": "cni-net-dir", "mountPath": "/host/etc/cni/net.d"},
                ],
            }
        ],
        "volumes": [
            {"name": "cni-bin-dir", "hostPath": {"path": "/opt/cni/bin"}},
            {"name": "cni-net-dir", "hostPath": {"path": "/etc/cni/net.d"}},
        ],
    }
    return [_account("aws-node"), _daemon_set("aws-node", labels, {"k8s-app": "aws-node"}, pod_spec)]


def kube_proxy(version: str = KUBE_PROXY_VERSION) -> list[Object]:
    """The kube-proxy add-on, in iptables mode as EKS sets it up."""
    config = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: "iptables"\n'
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-proxy-config", "namespace": "kube-system"},
        "data": {"config": config},
    }
    pod_spec: Object = {
        **_system_pod("kube-proxy"),
        "containers": [
            {
                "name": "kube-proxy",
                "image": f"{REGISTRY}/eks/kube-proxy:{version}",
                "command": ["kube-proxy", "--config=/var/lib/kube-proxy-config/config"],
                "resources": {"requests": {"cpu": "100m"}},
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "config", "mountPath": "/var/lib/kube-proxy-config"}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "kube-proxy-config"}}],
    }
    labels = {"k8s-app": "kube-proxy"}
    return [config_map, _account("kube-proxy"), _daemon_set("kube-proxy", labels, labels, pod_spec)]


def _system_pod(account: str) -> Object:
    compute = [
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]},
        {"key": "eks.amazonaws.com/compute-type", "operator": "NotIn", "values": ["fargate", "hybrid", "auto"]},
    ]
    required = {"nodeSelectorTerms": [{"matchExpressions": compute}]}
    return {
        "serviceAccountName": account,
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    }


def _account(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}}


def _daemon_set(name: str, labels: dict[str, str], selector: dict[str, str], pod_spec: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": selector},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
        },
    }


_AWS_NODE_ENV = {
    "ADDITIONAL_ENI_TAGS": "{}",
    "AWS_VPC_CNI_NODE_PORT_SUPPORT": "true",
    "AWS_VPC_ENI_MTU": "9001",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
    "AWS_VPC_K8S_CNI_EXTERNALSNAT": "false",
    "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
    "AWS_VPC_K8S_CNI_LOG_FILE": "/host/var/log/aws-routed-eni/ipamd.log",
    "AWS_VPC_K8S_CNI_RANDOMIZESNAT": "prng",
    "AWS_VPC_K8S_CNI_VETHPREFIX": "eni",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE": "/var/log/aws-routed-eni/plugin.log",
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "DEBUG",
    "DISABLE_INTROSPECTION": "false",
    "DISABLE_METRICS": "false",
    "ENABLE_IPv4": "true",
    "ENABLE_IPv6": "false",
    "ENABLE_POD_ENI": "false",
    "ENABLE_PREFIX_DELEGATION": "false",
    "WARM_ENI_TARGET": "1",
    "WARM_PREFIX_TARGET": "1",
}
"""The add-on's settings that matter to a chain, with its defaults."""
