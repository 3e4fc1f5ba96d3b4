"""The nodes of a rollout from what the watches have seen. Pure."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from cnichain.api.chainnode import Desired, NodeSpec, to_wire
from cnichain.api.names import TEMPLATE_ANNOTATION
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord
from cnichain.render.manifests import short_digest
from cnichain.rollout.nodes import CRASHING, PULL_FAILURES, AgentPod, NodeSituation
from cnichain.rollout.order import ZONE_LABEL, pool_of
from cnichain.rollout.view import Target

AGENT_LABELS = "k8s-app in (cilium,cilium-envoy)"
"""Of the pods of Cilium's DaemonSets, as its chart labels them."""


def agent_pod(pod: Mapping[str, Any]) -> AgentPod:
    """The record of a pod of Cilium's."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    owners = [one["name"] for one in metadata.get("ownerReferences") or [] if one.get("controller")]
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    reasons = [str(((one.get("state") or {}).get("waiting") or {}).get("reason", "")) for one in statuses]
    telling = [reason for reason in reasons if reason == CRASHING or reason in PULL_FAILURES]
    ready = [one for one in status.get("conditions") or [] if one["type"] == "Ready" and one["status"] == "True"]
    return AgentPod(
        name=metadata["name"],
        uid=metadata["uid"],
        node=sys.intern((pod.get("spec") or {}).get("nodeName", "")),
        daemon_set=sys.intern(owners[0] if owners else ""),
        template=sys.intern((metadata.get("annotations") or {}).get(TEMPLATE_ANNOTATION, "")),
        ready=bool(ready),
        restarts=sum(one.get("restartCount", 0) for one in statuses),
        waiting=telling[0] if telling else "",
        deleting="deletionTimestamp" in metadata,
        ready_since=str(ready[0].get("lastTransitionTime") or "") if ready else "",
    )


def target(templates: Mapping[str, str], wanted: NodeSpec, *, back: bool) -> Target:
    """What every node should have. templates: of the DaemonSets; wanted: the spec of every CNIChainNode."""
    return Target(short_digest([sorted(templates.items()), content(to_wire(wanted))]), templates, back)


def content(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A CNIChainNode's spec but for `frozen`: to suspend is no change of what a node has."""
    return {key: value for key, value in spec.items() if key != "frozen"}


def has_chain(record: ChainNodeRecord | None, node: NodeRecord) -> bool:
    """Whether this very node was told to have the chain."""
    return record is not None and record.node_uid == node.uid and record.spec.get("desired") != Desired.UNCHAINED.value


def situations(
    scope: Mapping[str, NodeRecord],
    reports: Mapping[str, ChainNodeRecord],
    pods: Iterable[AgentPod],
    wanted: NodeSpec,
) -> list[NodeSituation]:
    """The nodes in scope, with what they have of what they should have."""
    by_node: dict[str, list[AgentPod]] = {}
    for pod in pods:
        by_node.setdefault(pod.node, []).append(pod)
    spec = to_wire(wanted)
    want = content(spec)
    found = []
    for name, node in scope.items():
        record = reports.get(name)
        chained = has_chain(record, node)
        said = f"{record.state}: {record.reason}" if record and record.state else "no report from its agent yet"
        found.append(
            NodeSituation(
                name=name,
                zone=node.labels.get(ZONE_LABEL, ""),
                pool=pool_of(node.labels),
                reachable=node.ready,
                closed=node.closed,
                opened=node.chained,
                told=chained and record is not None and (record.spec == spec or content(record.spec) == want),
                verified=chained and record is not None and record.verified,
                chain=said,
                pods=tuple(by_node.get(name, ())),
                uid=node.uid,
            )
        )
    return found
