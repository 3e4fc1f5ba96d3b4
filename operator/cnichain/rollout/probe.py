"""The probe: a pod of the operator's own that shows whether a node gives a new pod a network that Cilium manages. Pure.

It is placed by node affinity, as the DaemonSet controller does, and not by `spec.nodeName`: the scheduler then keeps
count of the node's room, where kubelet would refuse the pod on a full node, and tells in words what stands in the way.
It tolerates every taint, since a new node is to be probed while the startup taint still keeps other pods away.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cnichain.api.names import OWNER_LABEL, SYSTEM_NAMESPACE
from cnichain.api.times import parse_rfc3339

Object = Mapping[str, Any]

NAME_LABEL, NAME = "app.kubernetes.io/name", "cnichain-probe"
SECONDS = 90.0
"""cilium-cni waits 30 s for its agent, so a pod that meets a restart of it may need two tries."""
LEFTOVER_SECONDS = 600
"""kubelet ends a probe that its operator has forgotten."""
RUN_AS = 65532
MESSAGE_LIMIT = 300
SHOWN_EVENTS = 2


class ProbeState(StrEnum):
    """What is known of a probe."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"
    NOT_POSSIBLE = "notPossible"
    """The scheduler has no place for it, as on a full node: that says nothing about the network."""


@dataclass(frozen=True)
class ProbeResult:
    """message: what is waited for, or what was seen."""

    state: ProbeState
    message: str

    @property
    def over(self) -> bool:
        """Whether the probe has ended, so that its pod goes."""
        return self.state is not ProbeState.WAITING


@dataclass(frozen=True)
class ProbeTarget:
    """Where and for what. attempt: any text; a new one makes a new probe. image: one that is on the node already, with
    the program `sleep`, as Cilium's own. owner: the CNIChain's name."""

    node: str
    node_uid: str
    attempt: str
    image: str
    owner: str

    @property
    def pod_name(self) -> str:
        """The same for the same node and attempt, so that an operator that was killed finds its probe again."""
        digest = hashlib.sha256(f"{self.node_uid}/{self.attempt}".encode()).hexdigest()[:10]
        return f"{NAME}-{digest}"


def selector(owner: str) -> str:
    """The label selector of all probes of a CNIChain."""
    return f"{NAME_LABEL}={NAME},{OWNER_LABEL}={owner}"


def probe_pod(target: ProbeTarget) -> dict[str, Any]:
    """The pod: it asks for next to nothing, may do nothing (Pod Security level `restricted`) and goes with the node."""
    on_node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [target.node]}]}
    container = {
        "name": "probe",
        "image": target.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", str(LEFTOVER_SECONDS)],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": target.pod_name,
            "namespace": SYSTEM_NAMESPACE,
            "labels": {NAME_LABEL: NAME, OWNER_LABEL: target.owner},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": target.node, "uid": target.node_uid}],
        },
        "spec": {
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [on_node]}}
            },
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": LEFTOVER_SECONDS,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": RUN_AS,
                "runAsGroup": RUN_AS,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


def judge(pod: Object, endpoint: Object | None, events: Sequence[Object], node: str, now: datetime) -> ProbeResult:
    """What a probe's pod shows. endpoint: the CiliumEndpoint of its name. events: those about the pod.

    The pod's age is taken from the API server's clock and the operator's; they may differ by less than SECONDS.
    """
    metadata, status = pod["metadata"], pod.get("status") or {}
    name = f"pod {SYSTEM_NAMESPACE}/{metadata['name']} on {node}"
    if metadata.get("deletionTimestamp"):
        return ProbeResult(ProbeState.WAITING, f"{name} of an earlier try is being removed")
    address, phase = str(status.get("podIP") or ""), str(status.get("phase") or "")
    managed = is_endpoint_of(endpoint, pod)
    if phase == "Running" and address and managed:
        return ProbeResult(ProbeState.PASSED, f"{name} got {address} and is managed by Cilium")
    if phase in {"Failed", "Succeeded"}:
        why = f"{status.get('reason') or phase}: {status.get('message') or 'its container has ended'}"
        return ProbeResult(ProbeState.FAILED, _said(f"{name} ended: {why}", events))
    missing = _missing(pod, address, phase, managed=managed)
    made = parse_rfc3339(str(metadata.get("creationTimestamp")))
    if made is None or (now - made).total_seconds() < SECONDS:
        return ProbeResult(ProbeState.WAITING, f"{name} {missing} yet")
    if not (pod.get("spec") or {}).get("nodeName"):
        said = _condition(status, "PodScheduled") or "no word of the scheduler's"
        return ProbeResult(ProbeState.NOT_POSSIBLE, f"{name} finds no room: {said}"[:MESSAGE_LIMIT])
    return ProbeResult(ProbeState.FAILED, _said(f"{name} {missing} after {SECONDS:.0f} s", events))


def is_endpoint_of(endpoint: Object | None, pod: Object) -> bool:
    """Whether a CiliumEndpoint is of this very pod: the agent makes it owned by the pod."""
    owners = ((endpoint or {}).get("metadata") or {}).get("ownerReferences") or []
    return any(owner.get("uid") == pod["metadata"]["uid"] for owner in owners)


def is_forgotten(pod: Object) -> bool:
    """Whether kubelet has ended the pod because no operator looked after it: it says nothing, and is tried again."""
    status = pod.get("status") or {}
    return status.get("phase") == "Failed" and status.get("reason") == "DeadlineExceeded"


def _missing(pod: Object, address: str, phase: str, *, managed: bool) -> str:
    if not (pod.get("spec") or {}).get("nodeName"):
        return "is not scheduled"
    if not address:
        return "has no address"
    return "does not run" if managed or phase != "Running" else f"got {address} and has no CiliumEndpoint of its own"


def _said(what: str, events: Sequence[Object]) -> str:
    """The message with the newest warnings about the pod, in the words of whoever gave them."""
    warnings = [item for item in events if item.get("type") == "Warning" and item.get("message")]
    newest = sorted(warnings, key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
    lines = [f"{item.get('reason')}: {str(item['message']).splitlines()[0]}" for item in newest[-SHOWN_EVENTS:]]
    return "; ".join([what, *(line[:MESSAGE_LIMIT] for line in reversed(lines))])


def _condition(status: Object, kind: str) -> str:
    found = [item for item in status.get("conditions") or [] if item.get("type") == kind]
    return str(found[0].get("message") or "") if found else ""
