"""Which pods policies select and isolate, and which they cut off from EKS Pod Identity."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cnichain.plan.policies import (
    CILIUM_CLUSTERWIDE,
    CILIUM_POLICY,
    NETWORK_POLICY,
    Policy,
    Workload,
    cut_off_from_pod_identity,
    parse_policy,
    selector,
    workload_labels,
)

PACK = Path(__file__).resolve().parents[2] / "deploy" / "policies"
LABELS = workload_labels("shop", {"app": "web", "tier": "front"}, {"team": "a"}, "web")
POD = Workload("shop", "web-0", LABELS)
OTHER = Workload("pay", "card-0", workload_labels("pay", {"app": "card"}))
EMPTY: dict[str, Any] = {}


def policy(kind: str, spec: Any, namespace: str = "shop") -> Policy:
    return parse_policy(kind, {"metadata": {"name": "p", "namespace": namespace}, "spec": spec})


def network(**spec: Any) -> Policy:
    return policy(NETWORK_POLICY, {"podSelector": {}, **spec})


def cilium(**spec: Any) -> Policy:
    return policy(CILIUM_POLICY, {"endpointSelector": {}, **spec})


@pytest.mark.parametrize(
    ("raw", "selected"),
    [
        ({}, True),
        (None, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"k8s:app": "web", "any:tier": "front"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchLabels": {"k8s:io.kubernetes.pod.namespace": "shop"}}, True),
        ({"matchLabels": {"k8s:io.cilium.k8s.namespace.labels.team": "a"}}, True),
        ({"matchLabels": {"k8s:io.cilium.k8s.policy.serviceaccount": "web"}}, True),
        ({"matchLabels": {"reserved:host": ""}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "k8s:tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Sometimes"}]}, False),
        ("odd", False),
    ],
)
def test_a_selector_selects_by_labels(raw: Any, selected: bool) -> None:
    assert selector(raw)(LABELS) is selected


@pytest.mark.parametrize(
    ("which", "isolated"),
    [
        (network(), (True, False)),
        (network(egress=[{}]), (True, True)),
        (network(policyTypes=["Egress"]), (False, True)),
        (network(policyTypes=["Ingress", "Egress"]), (True, True)),
        (cilium(ingress=[EMPTY]), (True, False)),
        (cilium(egress=[EMPTY]), (False, True)),
        (cilium(egressDeny=[{"toEntities": ["world"]}]), (False, True)),
        (cilium(ingress=[EMPTY], egress=[EMPTY], enableDefaultDeny={"ingress": False}), (False, True)),
        (cilium(enableDefaultDeny={"egress": True}), (False, True)),
        (cilium(ingress=[], egress=[]), (False, False)),
        (policy(CILIUM_CLUSTERWIDE, {"nodeSelector": {}, "ingress": [{}]}, ""), (False, False)),
        (policy(CILIUM_CLUSTERWIDE, {"endpointSelector": {}, "ingress": [{}]}, ""), (True, False)),
        (policy(NETWORK_POLICY, {"podSelector": {}}, "other"), (False, False)),
        (parse_policy(CILIUM_POLICY, {"metadata": {"name": "p", "namespace": "shop"}, "specs": [
            {"endpointSelector": {}, "ingress": [{}]}, {"endpointSelector": {}, "egress": [{}]}]}), (True, True)),
    ],
)  # fmt: skip
def test_a_policy_isolates_in_its_directions(which: Policy, isolated: tuple[bool, bool]) -> None:
    assert which.isolates(POD) == isolated


def to_host(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"toEntities": ["host"], **({"toPorts": [{"ports": list(ports)}]} if ports else {})}


@pytest.mark.parametrize(
    ("policies", "cut_off"),
    [
        ([], False),
        ([network()], False),  # ingress alone
        ([network(egress=[{}])], False),  # the working one of cilium issue 34387
        ([network(egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])], True),  # the one that does not work
        ([network(egress=[{"ports": [{"port": 80}]}])], False),
        ([network(egress=[{"ports": [{"port": 443}]}])], True),
        ([network(egress=[{"ports": [{"port": 1, "endPort": 100}]}])], False),
        ([network(policyTypes=["Egress"])], True),
        ([cilium(egress=[{"toCIDR": ["169.254.170.23/32"]}])], True),
        ([cilium(egress=[to_host()])], False),
        ([cilium(egress=[to_host({"port": "80", "protocol": "TCP"})])], False),
        ([cilium(egress=[to_host({"port": "80", "protocol": "UDP"})])], True),
        ([cilium(egress=[to_host({"port": "http"})])], True),
        ([cilium(egress=[{"toPorts": [{"ports": [{"port": "80"}]}]}])], False),
        ([cilium(egress=[{}])], True),
        ([cilium(egress=[{}]), cilium(egress=[to_host()], enableDefaultDeny={"egress": False})], False),
    ],
)
def test_a_pod_is_cut_off_from_pod_identity_unless_a_rule_reaches_the_host(
    policies: list[Policy], cut_off: bool
) -> None:
    assert cut_off_from_pod_identity(policies, POD) is cut_off


def pack(name: str) -> list[Policy]:
    folder = PACK / name
    files = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    documents = [one for file in files for one in yaml.safe_load_all((folder / file).read_text(encoding="utf-8"))]
    return [parse_policy(one["kind"], one) for one in documents]


def test_the_baseline_isolates_nobody_and_opens_imds_and_the_api_server_by_label_alone() -> None:
    baseline = pack("baseline")
    labelled = Workload("shop", "x", {**LABELS, "cnichain.io/allow-imds": "true"})
    dns = Workload("kube-system", "dns", workload_labels("kube-system", {"k8s-app": "kube-dns"}))
    for pod in (POD, OTHER, labelled, dns):
        assert {one.isolates(pod) for one in baseline} == {(False, False)}, f"{pod.name} would be isolated"
    assert not any(one.selects(POD) for one in baseline if "imds" in one.name or "apiserver" in one.name)
    assert any(one.selects(labelled) for one in baseline if "imds" in one.name)


def test_the_default_deny_isolates_labelled_namespaces_alone_and_the_baseline_keeps_pod_identity() -> None:
    deny, baseline = pack("default-deny"), pack("baseline")
    closed = Workload("shop", "x", workload_labels("shop", {}, {"cnichain.io/default-deny": "true"}))
    assert [one.isolates(closed) for one in deny] == [(True, True)]
    assert [one.isolates(POD) for one in deny] == [(False, False)]
    assert cut_off_from_pod_identity(deny, closed)
    assert not cut_off_from_pod_identity([*deny, *baseline], closed)
