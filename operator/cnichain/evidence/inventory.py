"""The inventory of policies: which kinds the cluster serves, and what they do to pods, by namespace. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from cnichain.evidence.model import Inventory, NamespaceFact, PolicyFact
from cnichain.kube.resources import Discovery, Resource
from cnichain.plan.policies import (
    CILIUM_CLUSTERWIDE,
    CILIUM_POLICY,
    NETWORK_POLICY,
    Policy,
    Workload,
    parse_policy,
)
from cnichain.render.manifests import canonical_digest

EVALUATED = (
    ("networking.k8s.io/v1", NETWORK_POLICY),
    ("cilium.io/v2", CILIUM_POLICY),
    ("cilium.io/v2", CILIUM_CLUSTERWIDE),
)
CALICO_VERSIONS = ("projectcalico.org/v3", "crd.projectcalico.org/v1")
"""Calico's own API server, else what it stores: either holds all of its policies."""
CALICO_KINDS = ("NetworkPolicy", "GlobalNetworkPolicy")
OF_KUBERNETES = "knp."
"""Names of what Calico's API shows of Kubernetes' own NetworkPolicies: they are counted already."""


@dataclass(frozen=True)
class Kinds:
    """The kinds of policies that a cluster serves, by the name that the evidence gives them, and what was listed."""

    resources: Mapping[str, Resource]
    parsed: tuple[Policy, ...] = ()
    others: tuple[PolicyFact, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def served(cls, discovery: Discovery) -> Self:
        """Those of a server."""
        found = {kind: discovery.resource(version, kind) for version, kind in EVALUATED}
        calico = next((one for one in CALICO_VERSIONS if discovery.resource(one, CALICO_KINDS[0])), "")
        found |= {f"{kind}.projectcalico.org": discovery.resource(calico, kind) for kind in CALICO_KINDS}
        return cls({kind: resource for kind, resource in found.items() if resource is not None})

    def with_items(self, items: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Kinds":
        """The same with the objects of each kind. Of Calico's policies only name and digest are taken."""
        parsed, others, counts = list[Policy](), list[PolicyFact](), dict[str, int]()
        evaluated = {kind for _, kind in EVALUATED}
        for kind, listed in items.items():
            if kind in evaluated:
                mine = [parse_policy(kind, item) for item in listed]
                parsed += mine
                counts[kind] = len(mine)
                continue
            foreign = [
                PolicyFact(
                    kind,
                    str(item["metadata"].get("namespace") or ""),
                    str(item["metadata"]["name"]),
                    canonical_digest(item.get("spec") or {}),
                )
                for item in listed
                if not str(item["metadata"]["name"]).startswith(OF_KUBERNETES)
            ]
            others += foreign
            counts[kind] = len(foreign)
        return replace(self, parsed=tuple(parsed), others=tuple(others), counts=counts)


class _Index:
    """Policies by the namespace that they can select pods of."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._by_namespace = defaultdict[str, list[Policy]](list)
        for policy in policies:
            self._by_namespace[policy.namespace].append(policy)

    def of(self, pod: Workload) -> Iterator[Policy]:
        """The policies that select a pod."""
        for policy in (*self._by_namespace.get(pod.namespace, ()), *self._by_namespace.get("", ())):
            if policy.selects(pod):
                yield policy


def isolation(policies: Iterable[Policy], pod: Workload) -> tuple[bool, bool]:
    """Whether policies isolate a pod: (ingress, egress)."""
    found = [policy.isolates(pod) for policy in policies]
    return any(ingress for ingress, _ in found), any(egress for _, egress in found)


def unselected_pods(policies: Iterable[Policy], pods: Iterable[Workload]) -> list[Workload]:
    """Pods that no policy isolates in either direction."""
    index = _Index(policies)
    return [pod for pod in pods if not any(isolation(index.of(pod), pod))]


def inventory(kinds: Kinds, pods: Sequence[Workload], namespaces: Iterable[str]) -> Inventory:
    """All policies with the pods that they select, and each namespace with what its pods have."""
    index = _Index(kinds.parsed)
    selected = Counter[int]()
    counts = {name: Counter[str]() for name in sorted({*namespaces, *(pod.namespace for pod in pods)})}
    for pod in pods:
        mine = list(index.of(pod))
        selected.update(id(policy) for policy in mine)
        ingress, egress = isolation(mine, pod)
        counts[pod.namespace].update(
            {"pods": 1, "ingress": int(ingress), "egress": int(egress), "unselected": int(not (ingress or egress))}
        )
    facts = [PolicyFact(one.kind, one.namespace, one.name, one.digest, selected[id(one)]) for one in kinds.parsed]
    listed = sorted((*facts, *kinds.others), key=lambda one: (one.namespace, one.kind, one.name))
    by_namespace = defaultdict[str, Counter[str]](Counter)
    for one in listed:
        by_namespace[one.namespace][one.kind] += 1
    return Inventory(
        counts=dict(kinds.counts),
        policies=tuple(listed),
        namespaces=tuple(
            NamespaceFact(name=name, policies=dict(sorted(by_namespace[name].items())), **count)
            for name, count in counts.items()
        ),
    )
