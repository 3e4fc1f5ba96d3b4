"""Pods of the chain run on nodes that the chain is for, once the wave of the node is open. Pure.

The chart's DaemonSets tolerate every taint, so without a node affinity they land on Fargate, Auto Mode and hybrid
nodes, where a CNI cannot be chained (AWS user guide, "Alternate CNI plugins for Amazon EKS clusters").

Cilium's own also require a label that the operator sets wave by wave, and are restarted by it alone (OnDelete): a new
version reaches a node only in the wave of that node.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from cnichain.api.names import CHAINED_LABEL, STARTUP_TAINT, TEMPLATE_ANNOTATION
from cnichain.render.manifests import Manifest, short_digest

COMPUTE_TYPE_LABEL = "eks.amazonaws.com/compute-type"
OUT_OF_SCOPE_COMPUTE_TYPES = ("auto", "fargate", "hybrid")
OS_LABEL = "kubernetes.io/os"
AGENT_DAEMON_SETS = ("cilium", "cilium-envoy")
"""DaemonSets that run on the nodes whose wave is open and nowhere else."""

Expression = dict[str, Any]


def place(item: Manifest) -> Manifest:
    """A DaemonSet with the node affinity that keeps it where it belongs, and cilium-operator with a toleration of our
    startup taint; any other manifest as it is."""
    if (item.kind, item.name) == ("Deployment", "cilium-operator"):
        return _tolerating(item, STARTUP_TAINT)
    if item.kind != "DaemonSet":
        return item
    body = copy.deepcopy(item.body)
    pod = body["spec"]["template"]["spec"]
    wanted = [_expression(COMPUTE_TYPE_LABEL, "NotIn", *OUT_OF_SCOPE_COMPUTE_TYPES)]
    if OS_LABEL not in (pod.get("nodeSelector") or {}):
        wanted.append(_expression(OS_LABEL, "In", "linux"))
    if item.name in AGENT_DAEMON_SETS:
        wanted.append(_expression(CHAINED_LABEL, "In", "true"))
    pod["affinity"] = with_node_affinity(pod.get("affinity"), wanted)
    if item.name in AGENT_DAEMON_SETS:
        _restarted_by_us(body)
    return Manifest(item.api_version, item.kind, item.namespace, item.name, body)


def _restarted_by_us(body: dict[str, Any]) -> None:
    """A changed pod template waits for the operator, which sees by the digest in it which pods are of an older one."""
    body["spec"]["updateStrategy"] = {"type": "OnDelete"}
    metadata = body["spec"]["template"].setdefault("metadata", {})
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(TEMPLATE_ANNOTATION, None)
    metadata["annotations"] = annotations
    annotations[TEMPLATE_ANNOTATION] = short_digest(body["spec"]["template"])


def agent_daemon_sets(items: Iterable[Manifest]) -> list[Manifest]:
    """Cilium's own DaemonSets among manifests."""
    return [item for item in items if item.kind == "DaemonSet" and item.name in AGENT_DAEMON_SETS]


def template_digest(item: Manifest) -> str:
    """The digest that the pods of a DaemonSet of Cilium's carry, "" when it is none of those."""
    annotations = (item.body["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(TEMPLATE_ANNOTATION, ""))


def with_node_affinity(affinity: Mapping[str, Any] | None, wanted: list[Expression]) -> dict[str, Any]:
    """An affinity that also requires every wanted expression; the same again when it requires them already.

    Terms are alternatives, so each of them gets the expressions. A term without any condition matches no node by
    definition and stays so: with an expression it would begin to match.
    """
    result = copy.deepcopy(dict(affinity or {}))
    node = result["nodeAffinity"] = dict(result.get("nodeAffinity") or {})
    required = dict(node.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
    terms = [dict(term or {}) for term in required.get("nodeSelectorTerms") or []]
    node["requiredDuringSchedulingIgnoredDuringExecution"] = required
    required["nodeSelectorTerms"] = [_narrow(term, wanted) for term in terms] or [{"matchExpressions": wanted}]
    return result


def _tolerating(item: Manifest, taint: str) -> Manifest:
    """The workload with a toleration of a taint, unless it tolerates it already.

    Charts from 1.18 on give cilium-operator a short list of tolerations: on a cluster whose nodes all start with our
    taint it would wait for a node, and the nodes' chains for it.
    """
    tolerations = item.body["spec"]["template"]["spec"].get("tolerations") or []
    if any(entry.get("operator") == "Exists" and entry.get("key") in (None, taint) for entry in tolerations):
        return item
    body = copy.deepcopy(item.body)
    body["spec"]["template"]["spec"]["tolerations"] = [*tolerations, {"key": taint, "operator": "Exists"}]
    return Manifest(item.api_version, item.kind, item.namespace, item.name, body)


def _narrow(term: dict[str, Any], wanted: list[Expression]) -> dict[str, Any]:
    expressions = list(term.get("matchExpressions") or [])
    if not expressions and not term.get("matchFields"):
        return term
    missing = [expression for expression in wanted if expression not in expressions]
    return {**term, "matchExpressions": expressions + missing}


def _expression(key: str, operator: str, *values: str) -> Expression:
    return {"key": key, "operator": operator, "values": list(values)}
