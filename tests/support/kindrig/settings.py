"""Pins, and the objects that the suite on kind applies. No I/O."""

import secrets
from typing import Any

from harness import AT_ONCE

Object = dict[str, Any]

NODE_IMAGE = "kindest/node:v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0"
"""Of those that the release notes of kind v0.33.0 name (tools/kind pins kind), the newest that the catalogue's records
have for CILIUM."""
CILIUM = "1.19.6"
POD_SUBNET = "10.244.0.0/24"
"""One node, so its range is the cluster's: kube-proxy masks no pod, whose address a policy would then not know."""
NAMESPACE = "cnichain-e2e"
PORT = 8080
VALUES: Object = {"operator": {"replicas": 1}}
"""Of Cilium's chart: its two operators may not share a node."""


def new_name() -> str:
    """A name that no cluster on this machine has, in all likelihood."""
    return f"cnichain-e2e-{secrets.token_hex(4)}"


def cluster_config() -> Object:
    """kind's configuration: one node, without kindnet, so that the stand-in (primary.py) is the only CNI."""
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": True, "podSubnet": POD_SUBNET, "kubeProxyMode": "iptables"},
        "nodes": [{"role": "control-plane", "image": NODE_IMAGE}],
    }


def chain() -> Object:
    """The CNIChain. The user interface of Hubble is left out: it adds two images and nothing that is asked for here."""
    spec: Object = {
        "cilium": {"version": CILIUM, "values": VALUES},
        "hubble": {"ui": {"enabled": False}},
        "rollout": AT_ONCE,
        "deletionPolicy": "Uninstall",
    }
    return {
        "apiVersion": "cnichain.io/v1alpha1",
        "kind": "CNIChain",
        "metadata": {"name": "default"},
        "spec": spec,
    }


def pod(name: str, image: str, *command: str, **labels: str) -> Object:
    """A pod that ends at once when it is told to."""
    container = {"name": "main", "image": image, "imagePullPolicy": "Never", "command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name, **labels}},
        "spec": {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [container]},
    }


def server(image: str) -> Object:
    """Answers HTTP."""
    return pod("server", image, "python3", "-m", "http.server", str(PORT))


def client(name: str, image: str, **labels: str) -> Object:
    """Waits for what it is asked to run."""
    return pod(name, image, "python3", "-c", "import signal; signal.pause()", **labels)


CONNECT = (
    "import socket, sys\n"
    "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()\n"
    "except TimeoutError: print('timeout')\n"
    "except OSError as error: print(error.errno)\n"
    "else: print('connected')\n"
)
"""`python3 -c CONNECT ADDRESS PORT`. What a policy forbids is dropped and not refused: `timeout`."""


def policy() -> Object:
    """Only pods with the label `role: allowed` reach the server."""
    allowed: Object = {
        "fromEndpoints": [{"matchLabels": {"role": "allowed"}}],
        "toPorts": [{"ports": [{"port": str(PORT), "protocol": "TCP"}]}],
    }
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "server", "namespace": NAMESPACE},
        "spec": {"endpointSelector": {"matchLabels": {"app": "server"}}, "ingress": [allowed]},
    }
