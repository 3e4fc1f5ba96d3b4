"""What kwok plays for fake nodes and their pods: our Stage objects (kwok.x-k8s.io/v1alpha1).

A node becomes Ready with conditions as a kubelet writes them, and keeps its lease (kwok's own flag). A bound pod is
Running and Ready at once, its init containers Completed; a pod of a Job ends Succeeded; a deleted pod goes at once.

Annotations, for fault tests:
  dev.cnichain.io/not-ready on a node: its Ready condition is False;
  dev.cnichain.io/stuck, unready and crash on a pod: see podstages.py.
"""

from typing import Any

import yaml

from cnichain.dev.podstages import pod_stages
from cnichain.dev.stage import Expression, annotated, stage, without

NOT_READY = "dev.cnichain.io/not-ready"

_READY_STATUS = '.status.conditions.[] | select( .type == "Ready" ) | .status'


def stages() -> list[dict[str, Any]]:
    """All stages; kwok plays the one whose selector matches."""
    return [*_node_stages(), *pod_stages()]


def stages_yaml() -> str:
    """The stages as kwok's --config file."""
    return yaml.safe_dump_all(stages(), sort_keys=False)


def _node_stages() -> list[dict[str, Any]]:
    ready: Expression = {"key": _READY_STATUS, "operator": "In", "values": ["True"]}
    not_ready: Expression = {"key": _READY_STATUS, "operator": "NotIn", "values": ["True"]}
    five_minutes = {"durationMilliseconds": 300_000, "jitterDurationMilliseconds": 330_000}
    return [
        stage("node-initialize", "Node", [without(NOT_READY), not_ready], _NODE_READY),
        stage("node-heartbeat", "Node", [without(NOT_READY), ready], _NODE_READY, delay=five_minutes),
        stage("node-not-ready", "Node", [annotated(NOT_READY), ready], _NODE_NOT_READY),
    ]


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
