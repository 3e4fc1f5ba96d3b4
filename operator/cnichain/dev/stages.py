"""What kwok plays for fake nodes and their pods: our Stage objects (kwok.x-k8s.io/v1alpha1).

A node becomes Ready with conditions as a kubelet writes them, and keeps its lease (kwok's own flag). A bound pod is
Running and Ready at once, its init containers Completed; a pod of a Job ends Succeeded; a deleted pod goes at once.

Two annotations, for fault tests:
  dev.cnichain.io/stuck on a pod: it stays Pending, its containers waiting for the reason in the annotation's value;
  dev.cnichain.io/not-ready on a node: its Ready condition is False.
"""

from typing import Any

import yaml

STUCK = "dev.cnichain.io/stuck"
NOT_READY = "dev.cnichain.io/not-ready"

_Expression = dict[str, Any]

_ALIVE: _Expression = {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}
_READY_STATUS = '.status.conditions.[] | select( .type == "Ready" ) | .status'


def stages() -> list[dict[str, Any]]:
    """All stages; kwok plays the one whose selector matches."""
    ready: _Expression = {"key": _READY_STATUS, "operator": "In", "values": ["True"]}
    not_ready: _Expression = {"key": _READY_STATUS, "operator": "NotIn", "values": ["True"]}
    pending: _Expression = {"key": ".status.phase", "operator": "In", "values": ["Pending"]}
    running: _Expression = {"key": ".status.phase", "operator": "In", "values": ["Running"]}
    of_job: _Expression = {"key": ".metadata.ownerReferences.[].kind", "operator": "In", "values": ["Job"]}
    five_minutes = {"durationMilliseconds": 300_000, "jitterDurationMilliseconds": 330_000}
    return [
        _stage("node-initialize", "Node", [_without(NOT_READY), not_ready], _NODE_READY),
        _stage("node-heartbeat", "Node", [_without(NOT_READY), ready], _NODE_READY, delay=five_minutes),
        _stage("node-not-ready", "Node", [_annotated(NOT_READY), ready], _NODE_NOT_READY),
        _stage("pod-ready", "Pod", [_ALIVE, _without(STUCK), pending], _POD_READY),
        _stage("pod-stuck", "Pod", [_ALIVE, _annotated(STUCK), pending, _not_waiting()], _POD_STUCK),
        _stage("pod-completed", "Pod", [_ALIVE, running, of_job], _POD_COMPLETED),
        {**_header("pod-delete"), "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}]},
            "next": {"delete": True},
        }},
    ]  # fmt: skip


def stages_yaml() -> str:
    """The stages as kwok's --config file."""
    return yaml.safe_dump_all(stages(), sort_keys=False)


def _stage(
    name: str, kind: str, expressions: list[_Expression], template: str, delay: dict[str, int] | None = None
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": expressions},
        "next": {"statusTemplate": template},
    }
    if delay is not None:
        spec["delay"] = delay
    return {**_header(name), "spec": spec}


def _header(name: str) -> dict[str, Any]:
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}}


def _annotated(annotation: str) -> _Expression:
    return {"key": f'.metadata.annotations["{annotation}"]', "operator": "Exists"}


def _without(annotation: str) -> _Expression:
    return {"key": f'.metadata.annotations["{annotation}"]', "operator": "DoesNotExist"}


def _not_waiting() -> _Expression:
    return {"key": ".status.containerStatuses", "operator": "DoesNotExist"}


_NODE_READY = """\
{{ $now := Now }}
{{ $since := or .metadata.creationTimestamp $now }}
conditions:
{{ range NodeConditions }}
- {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }},
   message: {{ .message | Quote }}, lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $since | Quote }}}
{{ end }}
{{ if not .status.addresses }}
addresses:
- {type: InternalIP, address: {{ NodeIP | Quote }}}
- {type: Hostname, address: {{ NodeName | Quote }}}
{{ end }}
{{ if not .status.capacity }}
capacity: {cpu: "4", memory: 16Gi, pods: "58"}
{{ end }}
{{ if not .status.allocatable }}
allocatable: {cpu: "4", memory: 16Gi, pods: "58"}
{{ end }}
phase: Running
"""

_NODE_NOT_READY = """\
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
{{ if eq .type "Ready" }}
- {type: Ready, status: "False", reason: KubeletNotReady, message: "set by the annotation dev.cnichain.io/not-ready",
   lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
{{ else }}
- {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }},
   message: {{ .message | Quote }}, lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
{{ end }}
{{ end }}
"""

_ADDRESSES = """\
{{ with NodeIPsWith .spec.nodeName }}
hostIP: {{ index . 0 | Quote }}
hostIPs: [{{ range . }}{ip: {{ . | Quote }}},{{ end }}]
{{ end }}
"""

_POD_READY = (
    """\
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
conditions:
{{ range (list "Initialized" "ContainersReady" "Ready") }}
- {type: {{ . }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
{{ range .spec.readinessGates }}
- {type: {{ .conditionType | Quote }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: {{ .image | Quote }}, ready: true, started: true,
   restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
{{ with .spec.initContainers }}
initContainerStatuses:
{{ range . }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: true
  restartCount: 0
  {{ if eq (or .restartPolicy "") "Always" }}
  started: true
  state: {running: {startedAt: {{ $now | Quote }}}}
  {{ else }}
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
  {{ end }}
{{ end }}
{{ end }}
"""
    + _ADDRESSES
    + """\
{{ with PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
podIP: {{ index . 0 | Quote }}
podIPs: [{{ range . }}{ip: {{ . | Quote }}},{{ end }}]
{{ end }}
"""
)

_POD_STUCK = (
    """\
{{ $now := Now }}
{{ $reason := index .metadata.annotations "dev.cnichain.io/stuck" }}
phase: Pending
startTime: {{ $now | Quote }}
conditions:
- {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, started: false,
   restartCount: 0, state: {waiting: {reason: {{ $reason | Quote }}, message: "set by the annotation of the pod"}}}
{{ end }}
"""
    + _ADDRESSES
)

_POD_COMPLETED = """\
{{ $now := Now }}
phase: Succeeded
conditions:
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: {{ .image | Quote }}, ready: false, started: false,
   restartCount: 0, state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }},
   finishedAt: {{ $now | Quote }}}}}
{{ end }}
"""
