"""What is kept of a Pod and of a CiliumEndpoint: a few short strings, those that many share kept once. Pure.

There may be 50,000 of each, so a record has slots and no dictionary, and nothing of the object stays alive.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cnichain.api.names import CILIUM_NAMESPACE, OWNER_LABEL
from cnichain.api.times import parse_rfc3339

HOST_NETWORK = "host network"
STATIC = "static"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
POD_ENI = "vpc.amazonaws.com/pod-eni"
"""The annotation that the VPC resource controller sets on a pod with a security group of its own, and the resource
that such a pod asks for (AWS user guide, "Assign security groups to individual Pods")."""
DNS_LABEL = ("k8s-app", "kube-dns")
"""What CoreDNS carries as well, on EKS and everywhere else."""
CALICO_NAMESPACES = ("calico-system", "calico-apiserver", "tigera-operator")
HASH_LABEL = "pod-template-hash"
UNKNOWN_SECONDS = -1

OF_CILIUM = "Cilium's own"
OF_PRIMARY = "the primary CNI's own"
OF_CALICO = "Calico's own"


class Workload(NamedTuple):
    """What keeps a pod's replicas. kind: Deployment, StatefulSet, DaemonSet, or another; "" for a bare pod."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.namespace}/{self.name}" if self.kind else f"Pods without an owner in {self.namespace}"
        )


@dataclass(frozen=True, slots=True)
class PodRecord:
    """What is kept of a Pod.

    live: Running, or Pending with an address; neither finished nor on its way out. leaving: has a deletionTimestamp.
    ready: its condition Ready. kind: why no chain is for it, by its own spec ("host network", "static"), else "".
    created, started: seconds since 1970, by the API server's and the node's clock. part_of: whose own it is that no
    restart may touch, else "".
    network_after, started_after: seconds from its being scheduled to a sandbox with network, and to its first running
    container, as kubelet tells them; UNKNOWN_SECONDS where it does not, or where they are those of a restart.
    """

    namespace: str
    name: str
    uid: str
    node: str
    ips: tuple[str, ...]
    live: bool
    leaving: bool
    ready: bool
    kind: str
    created: int
    started: int
    workload: Workload
    part_of: str
    security_group: bool
    dns: bool
    agent: bool
    network_after: int = UNKNOWN_SECONDS
    started_after: int = UNKNOWN_SECONDS


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """What is kept of a CiliumEndpoint: the uid of the pod that it was made for, and its addresses."""

    pod_uid: str
    ips: tuple[str, ...]


def pod_record(pod: Mapping[str, Any]) -> PodRecord:
    """The record of a Pod."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    namespace = sys.intern(metadata["namespace"])
    ips = tuple(str(one["ip"]) for one in status.get("podIPs") or () if one.get("ip"))
    leaving = bool(metadata.get("deletionTimestamp"))
    phase = status.get("phase")
    conditions = status.get("conditions") or ()
    created = _seconds(metadata.get("creationTimestamp"))
    network_after, started_after = _start_times(conditions, status)
    return PodRecord(
        namespace=namespace,
        name=metadata["name"],
        uid=metadata["uid"],
        node=sys.intern(spec.get("nodeName") or ""),
        ips=ips,
        live=not leaving and (phase == "Running" or (phase == "Pending" and bool(ips))),
        leaving=leaving,
        ready=any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions),
        kind=HOST_NETWORK if spec.get("hostNetwork") else STATIC if MIRROR_ANNOTATION in annotations else "",
        created=created,
        started=_seconds(status.get("startTime")) or created,
        workload=_workload(namespace, metadata, labels),
        part_of=_part_of(namespace, labels),
        security_group=POD_ENI in annotations or _asks_for_eni(spec),
        dns=labels.get(DNS_LABEL[0]) == DNS_LABEL[1],
        agent=namespace == CILIUM_NAMESPACE and labels.get("k8s-app") == "cilium",
        network_after=network_after,
        started_after=started_after,
    )


def endpoint_record(item: Mapping[str, Any]) -> EndpointRecord:
    """The record of a CiliumEndpoint.

    The agent makes one owned by its pod (cilium's pkg/endpointmanager/endpointsynchronizer.go); the uid tells the pod
    of a StatefulSet from the one that had its name before.
    """
    owners = [one["uid"] for one in item["metadata"].get("ownerReferences") or () if one.get("kind") == "Pod"]
    networking = (item.get("status") or {}).get("networking") or {}
    addresses = [
        str(pair[key]) for pair in networking.get("addressing") or () for key in ("ipv4", "ipv6") if key in pair
    ]
    return EndpointRecord(pod_uid=str(owners[0]) if owners else "", ips=tuple(addresses))


def is_managed(pod: PodRecord, endpoint: EndpointRecord | None) -> bool:
    """Whether an endpoint of the pod's name is this very pod's: the same uid, and one address where both have any."""
    if endpoint is None or endpoint.pod_uid != pod.uid:
        return False
    # The first is the usual case, and the fastest of them: this is asked 50,000 times in a count.
    return endpoint.ips == pod.ips or not endpoint.ips or not pod.ips or bool(set(endpoint.ips) & set(pod.ips))


def _workload(namespace: str, metadata: Mapping[str, Any], labels: Mapping[str, str]) -> Workload:
    """The pod's controller; of a ReplicaSet that a Deployment has made, the Deployment.

    A Deployment names its ReplicaSets `<deployment>-<hash>` and labels their pods with the hash, so no ReplicaSet has
    to be read.
    """
    owner = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
    if owner is None:
        return Workload(namespace, "", "")
    kind, name, suffix = str(owner["kind"]), str(owner["name"]), f"-{labels.get(HASH_LABEL, '')}"
    if kind == "ReplicaSet" and len(suffix) > 1 and name.endswith(suffix):
        kind, name = "Deployment", name.removesuffix(suffix)
    return Workload(namespace, sys.intern(kind), sys.intern(name))


def _part_of(namespace: str, labels: Mapping[str, str]) -> str:
    if labels.get("app.kubernetes.io/part-of") == "cilium" or labels.get("k8s-app") in {"cilium", "cilium-envoy"}:
        return OF_CILIUM
    if OWNER_LABEL in labels:
        return "the operator's own"
    if namespace == CILIUM_NAMESPACE and labels.get("k8s-app") == "aws-node":
        return OF_PRIMARY
    return OF_CALICO if namespace in CALICO_NAMESPACES else ""


def _asks_for_eni(spec: Mapping[str, Any]) -> bool:
    resources = (container.get("resources") or {} for container in spec.get("containers") or ())
    return any(POD_ENI in (one.get("limits") or {}) or POD_ENI in (one.get("requests") or {}) for one in resources)


def _start_times(conditions: Sequence[Mapping[str, Any]], status: Mapping[str, Any]) -> tuple[int, int]:
    """(network_after, started_after) of a pod, see PodRecord.

    PodReadyToStartContainers is kubelet's word for a sandbox with network (Kubernetes 1.29 and later). A restarted
    container, or a sandbox that is younger than its containers, tells nothing of the start.
    """
    times = {one["type"]: one.get("lastTransitionTime") for one in conditions if one.get("status") == "True"}
    scheduled = _seconds(times.get("PodScheduled"))
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    if not scheduled or any(one.get("restartCount") for one in containers):
        return UNKNOWN_SECONDS, UNKNOWN_SECONDS
    states = [one.get("state") or {} for one in containers]
    moments = (state.get("running") or state.get("terminated") or {} for state in states)
    started = min((second for one in moments if (second := _seconds(one.get("startedAt")))), default=0)
    network = _seconds(times.get("PodReadyToStartContainers"))
    if network and started and network > started:
        network = 0
    return _after(scheduled, network), _after(scheduled, started)


def _after(scheduled: int, moment: int) -> int:
    return moment - scheduled if moment >= scheduled else UNKNOWN_SECONDS


def _seconds(text: Any) -> int:
    moment = parse_rfc3339(str(text or ""))
    return int(moment.timestamp()) if moment else 0
