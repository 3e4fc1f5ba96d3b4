"""What kwok plays for pods.

Annotations of a pod, for fault tests:
  dev.cnichain.io/stuck: it stays Pending, its containers waiting for the reason in the annotation's value, such as
    ImagePullBackOff;
  dev.cnichain.io/unready: its containers run and never become ready;
  dev.cnichain.io/crash: its containers crash again and again (CrashLoopBackOff, with a growing restartCount). The value
    is the time that it is Ready before, as "3s"; with "0s" it is never Ready.
"""

from typing import Any

from cnichain.dev.stage import Expression, annotated, annotation, header, stage, valued, without

STUCK = "dev.cnichain.io/stuck"
UNREADY = "dev.cnichain.io/unready"
CRASH = "dev.cnichain.io/crash"
AT_ONCE = "0s"
"""Value of CRASH: no time at all."""
CRASH_MILLISECONDS = 1_000
"""From one crash to the next. A kubelet waits ever longer; tests would wait with it."""

_ALIVE: Expression = {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}
_READY_STATUS = '.status.conditions.[] | select( .type == "Ready" ) | .status'


def pod_stages() -> list[dict[str, Any]]:
    """The stages of pods; no two of them fit one pod at the same time."""
    pending: Expression = {"key": ".status.phase", "operator": "In", "values": ["Pending"]}
    running: Expression = {"key": ".status.phase", "operator": "In", "values": ["Running"]}
    ready: Expression = {"key": _READY_STATUS, "operator": "In", "values": ["True"]}
    not_ready: Expression = {"key": _READY_STATUS, "operator": "NotIn", "values": ["True"]}
    of_job: Expression = {"key": ".metadata.ownerReferences.[].kind", "operator": "In", "values": ["Job"]}
    untold: Expression = {"key": ".status.containerStatuses", "operator": "DoesNotExist"}
    at_once, later = valued(CRASH, AT_ONCE), valued(CRASH, AT_ONCE, is_so=False)
    its_time = {"durationFrom": {"expressionFrom": annotation(CRASH)}}
    a_while = {"durationMilliseconds": CRASH_MILLISECONDS}
    return [
        stage("pod-ready", "Pod", [_ALIVE, without(STUCK), without(UNREADY), later, pending], _POD_READY),
        stage("pod-stuck", "Pod", [_ALIVE, annotated(STUCK), pending, untold], _POD_STUCK),
        stage("pod-unready", "Pod", [_ALIVE, without(STUCK), annotated(UNREADY), pending, untold], _POD_UNREADY),
        stage("pod-crash-at-once", "Pod", [_ALIVE, without(STUCK), without(UNREADY), at_once, pending], _POD_CRASHED),
        stage("pod-crash-later", "Pod", [_ALIVE, annotated(CRASH), later, ready], _POD_CRASHED, its_time),
        stage("pod-crash-again", "Pod", [_ALIVE, annotated(CRASH), running, not_ready], _POD_CRASHED, a_while),
        stage("pod-completed", "Pod", [_ALIVE, without(CRASH), running, of_job], _POD_COMPLETED),
        {**header("pod-delete"), "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}]},
            "next": {"delete": True},
        }},
    ]  # fmt: skip


_ADDRESSES = """\
{{ with NodeIPsWith .spec.nodeName }}
hostIP: {{ index . 0 | Quote }}
hostIPs: [{{ range . }}{ip: {{ . | Quote }}},{{ end }}]
{{ end }}
"""


_POD_ADDRESSES = """\
{{ if not .status.podIP }}
{{ with PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
podIP: {{ index . 0 | Quote }}
podIPs: [{{ range . }}{ip: {{ . | Quote }}},{{ end }}]
{{ end }}
{{ end }}
"""

_INIT_CONTAINERS_ARE_DONE = """\
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
"""
    + _INIT_CONTAINERS_ARE_DONE
    + _ADDRESSES
    + _POD_ADDRESSES
)

_NOT_READY = """\
{{ $now := Now }}
phase: Running
startTime: {{ or .status.startTime $now | Quote }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
"""

_POD_UNREADY = (
    _NOT_READY
    + """\
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: {{ .image | Quote }}, ready: false, started: true,
   restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
"""
    + _INIT_CONTAINERS_ARE_DONE
    + _ADDRESSES
    + _POD_ADDRESSES
)

_POD_CRASHED = (
    _NOT_READY
    + """\
{{ $restarts := 1 }}
{{ with .status.containerStatuses }}{{ $restarts = add1 (index . 0).restartCount }}{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: {{ $restarts }}
  state: {waiting: {reason: CrashLoopBackOff, message: "back-off restarting failed container"}}
  lastState: {terminated: {exitCode: 1, reason: Error, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
{{ end }}
"""
    + _INIT_CONTAINERS_ARE_DONE
    + _ADDRESSES
    + _POD_ADDRESSES
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
