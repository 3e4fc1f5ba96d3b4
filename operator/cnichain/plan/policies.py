"""Network policies: which pods they select, in which direction they isolate them, and what they leave out. Pure.

Sources of the rules: the API reference of networking.k8s.io/v1 (a policy isolates the pods that it selects, in each of
its policyTypes), and Cilium's pkg/policy/api/rule.go (a rule isolates in each direction that it has rules for, unless
enableDefaultDeny says otherwise).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.render.manifests import canonical_digest

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

NETWORK_POLICY, CILIUM_POLICY, CILIUM_CLUSTERWIDE = (
    "NetworkPolicy",
    "CiliumNetworkPolicy",
    "CiliumClusterwideNetworkPolicy",
)
NAMESPACE_LABEL = "io.kubernetes.pod.namespace"
NAMESPACE_LABELS_PREFIX = "io.cilium.k8s.namespace.labels."
ACCOUNT_LABEL = "io.cilium.k8s.policy.serviceaccount"
HOST_ENTITIES = frozenset(("host", "all", "cluster"))
POD_IDENTITY_PORT = 80
PEERS = (
    "toEndpoints",
    "toRequires",
    "toCIDR",
    "toCIDRSet",
    "toEntities",
    "toServices",
    "toFQDNs",
    "toGroups",
    "toNodes",
)


@dataclass(frozen=True)
class Workload:
    """What counts of a pod here. labels: the pod's own and those that Cilium adds (see `workload_labels`)."""

    namespace: str
    name: str
    labels: Labels


@dataclass(frozen=True)
class PolicyRule:
    """One rule of a policy. selects: by labels as `workload_labels` gives them; None for one that is about nodes.

    ingress, egress: whether it isolates in that direction, so that what no policy allows is dropped. reaches_host:
    whether it allows egress to the node on TCP port 80, where the EKS Pod Identity agent answers.
    """

    selects: Selector | None
    ingress: bool
    egress: bool
    reaches_host: bool


@dataclass(frozen=True)
class Policy:
    """A policy with its rules. digest: of its spec. namespace: "" for one of the whole cluster."""

    kind: str
    namespace: str
    name: str
    digest: str
    rules: tuple[PolicyRule, ...]

    def selects(self, pod: Workload) -> bool:
        """Whether one of its rules is about the pod."""
        return any(self._is_about(rule, pod) for rule in self.rules)

    def isolates(self, pod: Workload) -> tuple[bool, bool]:
        """Whether it isolates the pod: (ingress, egress)."""
        mine = [rule for rule in self.rules if self._is_about(rule, pod)]
        return any(rule.ingress for rule in mine), any(rule.egress for rule in mine)

    def reaches_host(self, pod: Workload) -> bool:
        """Whether it lets the pod reach the Pod Identity agent on its node."""
        return any(rule.reaches_host and self._is_about(rule, pod) for rule in self.rules)

    def _is_about(self, rule: PolicyRule, pod: Workload) -> bool:
        if rule.selects is None or self.namespace not in {"", pod.namespace}:
            return False
        return rule.selects(pod.labels)


def workload_labels(
    namespace: str, own: Labels, of_namespace: Labels | None = None, service_account: str = "default"
) -> dict[str, str]:
    """A pod's labels as Cilium's selectors see them, without the source (`k8s:`)."""
    added = {f"{NAMESPACE_LABELS_PREFIX}{key}": value for key, value in (of_namespace or {}).items()}
    return {**own, **added, NAMESPACE_LABEL: namespace, ACCOUNT_LABEL: service_account}


def parse_policy(kind: str, item: Mapping[str, Any]) -> Policy:
    """A policy as the API serves it. What has no form that is known selects nothing."""
    metadata = item.get("metadata") or {}
    bodies = [item["spec"]] if isinstance(item.get("spec"), Mapping) else []
    bodies += [one for one in item.get("specs") or [] if isinstance(one, Mapping)]
    rule = _network_rule if kind == NETWORK_POLICY else _cilium_rule
    return Policy(
        kind=kind,
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        digest=canonical_digest(bodies),
        rules=tuple(map(rule, bodies)),
    )


def cut_off_from_pod_identity(policies: Iterable[Policy], pod: Workload) -> bool:
    """Whether policies isolate the pod's egress and none of them lets it reach the EKS Pod Identity agent.

    The agent answers at 169.254.170.23 on the node itself, which Cilium takes for the entity `host`: a rule that allows
    addresses does not reach it (cilium issue 34387). An explicit deny is not looked for.
    """
    mine = [policy for policy in policies if policy.selects(pod)]
    return any(policy.isolates(pod)[1] for policy in mine) and not any(policy.reaches_host(pod) for policy in mine)


def _network_rule(spec: Mapping[str, Any]) -> PolicyRule:
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    reaches = any(not one.get("to") and _ports_open(one.get("ports")) for one in _mappings(spec.get("egress")))
    return PolicyRule(
        selector(spec.get("podSelector")), ingress="Ingress" in types, egress="Egress" in types, reaches_host=reaches
    )


def _cilium_rule(spec: Mapping[str, Any]) -> PolicyRule:
    chosen = spec.get("enableDefaultDeny") or {}

    def isolates(direction: str) -> bool:
        said = chosen.get(direction)
        return bool(spec.get(direction) or spec.get(f"{direction}Deny")) if said is None else bool(said)

    return PolicyRule(
        selector(spec["endpointSelector"]) if isinstance(spec.get("endpointSelector"), Mapping) else None,
        ingress=isolates("ingress"),
        egress=isolates("egress"),
        reaches_host=any(map(_egress_reaches_host, _mappings(spec.get("egress")))),
    )


def _egress_reaches_host(rule: Mapping[str, Any]) -> bool:
    to_ports = _mappings(rule.get("toPorts"))
    if not any(rule.get(peer) for peer in PEERS):
        # Ports alone are ports of everybody; a rule without anything allows nothing.
        named = bool(to_ports)
    else:
        named = bool(HOST_ENTITIES & set(rule.get("toEntities") or ()))
    return named and (not to_ports or any(_ports_open(one.get("ports")) for one in to_ports))


def _ports_open(ports: Any) -> bool:
    """Whether a list of ports has TCP port 80; no list has every port."""
    found = _mappings(ports)
    return not found or any(_is_pod_identity_port(one) for one in found)


def _is_pod_identity_port(port: Mapping[str, Any]) -> bool:
    if str(port.get("protocol") or "TCP").upper() not in {"TCP", "ANY"}:
        return False
    first = str(port.get("port") or "0")
    if not first.isdecimal():
        return False  # a name, which is a port of a pod
    last = port.get("endPort")
    return first == "0" or int(first) <= POD_IDENTITY_PORT <= (last if isinstance(last, int) and last else int(first))


def selector(raw: Any) -> Selector:
    """A label selector, of Kubernetes or of Cilium. An empty one selects everything; one without form, nothing."""
    if not isinstance(raw, Mapping):
        return lambda _: raw is None
    wanted: list[tuple[str, str, tuple[str, ...]]] = [
        (_key(key), "In", (str(value),)) for key, value in (raw.get("matchLabels") or {}).items()
    ]
    wanted += [
        (_key(one.get("key")), str(one.get("operator")), tuple(map(str, one.get("values") or ())))
        for one in _mappings(raw.get("matchExpressions"))
    ]
    return lambda labels: all(_matches(labels, *one) for one in wanted)


def _matches(labels: Labels, key: str, operator: str, values: tuple[str, ...]) -> bool:
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def _key(key: Any) -> str:
    """A key without Cilium's source of labels. Other sources than Kubernetes keep theirs, so that no pod has them."""
    source, colon, rest = str(key).partition(":")
    return rest if colon and source in {"k8s", "any"} else str(key)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
