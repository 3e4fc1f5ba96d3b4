"""Objects as the API serves them, for tests of what the command line prints."""

from typing import Any

Object = dict[str, Any]
TIME = "2026-11-28T12:00:00Z"
NODE = "ip-10-0-1-23.eu-central-1.compute.internal"
PLUGINS = ["aws-cni", "egress-cni", "portmap", "cilium-cni"]


def condition(kind: str, status: str, reason: str, message: str = "", generation: int = 1) -> Object:
    """A condition of a CNIChain."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message or f"{kind} is {status}.",
        "lastTransitionTime": TIME,
        "observedGeneration": generation,
    }


def conditions(**changed: Object) -> list[Object]:
    """Those of a chain that is Ready, but for some."""
    well = {
        "Ready": condition("Ready", "True", "Ready", "Chained after aws-vpc-cni v1.18.5-eksbuild.1."),
        "Reconciling": condition("Reconciling", "False", "Ready"),
        "Stalled": condition("Stalled", "False", "Reconciling"),
        "PreflightPassed": condition("PreflightPassed", "True", "PreflightPassed"),
        "CiliumReady": condition("CiliumReady", "True", "Ready", "Cilium is available."),
        "ChainReady": condition("ChainReady", "True", "ChainVerified", "3/3 nodes verified."),
        "HubbleReady": condition("HubbleReady", "True", "Ready", "Hubble is available."),
        "CalicoReady": condition("CalicoReady", "False", "Disabled", "spec.calico.enabled is false."),
        "PodsManaged": condition("PodsManaged", "True", "AllManaged"),
        "Drifted": condition("Drifted", "False", "NoDrift"),
        "RollingOut": condition("RollingOut", "False", "Ready"),
        "RolledBack": condition("RolledBack", "False", "NoRollback"),
        "CatalogueValid": condition("CatalogueValid", "True", "CatalogueValid"),
    }
    return list((well | changed).values())


def chain(generation: int = 1, spec: Object | None = None, **status: Any) -> Object:
    """A CNIChain that is Ready, but for what is changed in its status."""
    usual: Object = {
        "observedGeneration": 1,
        "conditions": conditions(),
        "versions": {
            "operator": "0.1.0", "primary": "v1.18.5-eksbuild.1", "cilium": "1.17.3", "ciliumTarget": "1.17.3",
            "kubernetes": "v1.36.1",
        },
        "effective": {"primary": "aws-vpc-cni", "policyEngine": "Cilium"},
        "nodes": {"inScope": 3, "verified": 3, "summary": "3/3", "outOfScopeByKind": {"Fargate": 1}},
        "pods": {"managed": 12, "unmanaged": 0, "outOfScopeByKind": {"host network": 9}},
        "certificates": {"notAfter": "2027-11-28T12:00:00Z", "caNotAfter": "2036-11-28T12:00:00Z"},
        "rollout": {"state": "Done", "done": 3, "total": 3, "wave": 2},
    }  # fmt: skip
    return {
        "apiVersion": "cnichain.io/v1alpha1",
        "kind": "CNIChain",
        "metadata": {"name": "default", "generation": generation, "resourceVersion": "7"},
        "spec": spec or {"cilium": {"version": "1.17.3"}},
        "status": usual | status,
    }


def chain_node(name: str = NODE, state: str = "InSync", ready: bool = True, **status: Any) -> Object:
    """A CNIChainNode with its agent's report."""
    usual: Object = {
        "observedGeneration": 1,
        "state": state,
        "reason": "ChainVerified" if ready else "ConflistShadowed",
        "message": "" if ready else "00-multus.conf sorts before 05-cilium.conflist.",
        "effectiveFile": "05-cilium.conflist" if ready else "00-multus.conf",
        "plugins": PLUGINS if ready else ["multus"],
        "lastWriter": "Agent",
        "repairs": {"total": 4, "drifts": 3},
        "lastRepair": {"time": TIME, "cause": "DriftDest", "durationMilliseconds": 3},
        "runtime": {"name": "containerd 2.1.4", "view": "Verified"},
        "conditions": [
            condition("Ready", "True" if ready else "False", "ChainVerified" if ready else "ConflistShadowed")
        ],
    }
    return {
        "kind": "CNIChainNode",
        "metadata": {
            "name": name, "generation": 1, "ownerReferences": [{"kind": "Node", "name": name, "uid": f"uid-{name}"}]
        },
        "spec": {"desired": "Chained"},
        "status": usual | status,
    }  # fmt: skip


def node(name: str = NODE, **labels: str) -> Object:
    """A Node that is Ready and has the chain."""
    return {
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {"kubernetes.io/os": "linux", "cnichain.io/chained": "true"} | labels,
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(name: str = "web-0", started: str = "2026-11-28T12:10:00Z", **spec: Any) -> Object:
    """A Pod that runs."""
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "creationTimestamp": started},
        "spec": {"nodeName": NODE} | spec,
        "status": {"phase": "Running", "startTime": started, "podIPs": [{"ip": "10.0.1.77"}]},
    }


def agent_pod() -> Object:
    """The Cilium agent of the node."""
    return {
        "metadata": {
            "name": "cilium-x", "namespace": "kube-system", "uid": "a", "labels": {"k8s-app": "cilium"},
        },
        "spec": {"nodeName": NODE, "hostNetwork": True},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


def endpoint(uid: str = "uid-web-0", **status: Any) -> Object:
    """A CiliumEndpoint."""
    usual: Object = {
        "id": 1234,
        "identity": {"id": 20481, "labels": ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]},
        "state": "ready",
        "networking": {"addressing": [{"ipv4": "10.0.1.77"}]},
    }
    owners = [{"kind": "Pod", "name": "web-0", "uid": uid}]
    return {"metadata": {"name": "web-0", "ownerReferences": owners}, "status": usual | status}
