"""What is taken from objects of the API, and above all what is not: no secret ever reaches the evidence."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cnichain.api.chainnode import to_wire
from cnichain.evidence.inventory import Kinds, inventory, unselected_pods
from cnichain.evidence.project import (
    certificate_facts,
    chain_fact,
    counted,
    export_fact,
    image_facts,
    images_of,
    node_fact,
    uses_pod_identity,
)
from cnichain.kube.resources import Discovery, Resource
from cnichain.plan.nodes import chain_node_record, node_record
from cnichain.plan.policies import Workload, workload_labels
from cnichain.render.pki import make_ca, make_leaf

NOW = "2026-11-28T12:00:00Z"
SECRET = "hunter2-do-not-tell"  # noqa: S105 - of nobody
DIGEST = f"sha256:{'ab' * 32}"


def test_the_values_of_the_user_are_named_and_never_told() -> None:
    values = {"extraEnv": [{"name": "A", "value": SECRET}], "clustermesh": {"config": {"clusters": SECRET}}, "x": {}}
    spec = {"cilium": {"version": "1.20.0", "values": values}, "hubble": {"export": {"profile": "all"}}}
    fact = chain_fact({"metadata": {"name": "default", "generation": 3}, "spec": spec, "status": {}})
    assert fact.value_keys == ("clustermesh.config.clusters", "extraEnv", "x")
    assert fact.spec == {"cilium": {"version": "1.20.0"}, "hubble": {"export": {"profile": "all"}}}
    assert SECRET not in json.dumps(to_wire(fact))


def test_of_a_secret_the_certificates_are_taken_and_no_key() -> None:
    ca = make_ca(datetime(2026, 1, 1, tzinfo=UTC))
    leaf = make_leaf(["*.default.hubble-grpc.cilium.io"], ca, datetime(2026, 1, 2, tzinfo=UTC))
    encoded = {
        "ca.crt": ca.certificate_text,
        "tls.crt": leaf.certificate_text,
        "tls.key": leaf.key_text,
        "broken.crt": base64.b64encode(b"\xff not PEM").decode(),
        "password": base64.b64encode(SECRET.encode()).decode(),
    }
    facts = list(certificate_facts("hubble-server-certs", {"data": encoded}))
    assert [(one.entry, one.names) for one in facts] == [
        ("ca.crt", ()),
        ("tls.crt", ("*.default.hubble-grpc.cilium.io",)),
    ]
    assert facts[1].issuer == facts[0].subject
    told = json.dumps(to_wire(facts))
    assert "PRIVATE" not in told
    assert SECRET not in told
    assert encoded["tls.key"][40:80] not in told


def flow_logs(text: str) -> dict[str, Any]:
    return {"data": {"flowlogs.yaml": text}}


@pytest.mark.parametrize(
    ("text", "active"),
    [
        ("flowLogs:\n- name: cnichain\n  filePath: /x\n", [True]),
        ("flowLogs:\n- name: cnichain\n  filePath: /x\n  end: '1970-01-01T00:00:00Z'\n", [False]),
        ("flowLogs:\n- name: cnichain\n  filePath: /x\n  end: 2027-01-01T00:00:00Z\n", [True]),
        ("flowLogs:\n", []),
        ("flowLogs: [oops", []),
        ("- 1", []),
        ("", []),
    ],
)
def test_an_exporter_is_active_when_agents_would_export(text: str, active: list[bool]) -> None:
    assert [one.active for one in export_fact("all", None, flow_logs(text), NOW).exporters] == active


def test_only_settings_that_are_known_to_hold_no_secret_are_told() -> None:
    config = {"data": {"policy-audit-mode": "true", "etcd-config": SECRET, "enable-policy": "default"}}
    fact = export_fact("off", config, None, NOW)
    assert fact.settings == {"enable-policy": "default", "policy-audit-mode": "true"}


def test_an_image_is_pinned_by_its_name_or_by_what_the_runtime_says() -> None:
    known = frozenset({f"quay.io/cilium/cilium:v1.20.0@{DIGEST}"})
    pod = {
        "spec": {
            "initContainers": [{"name": "i", "image": "other:v1"}],
            "containers": [
                {"name": "a", "image": f"quay.io/cilium/cilium:v1.20.0@{DIGEST}"},
                {"name": "b", "image": "b:v2"},
            ],
        },
        "status": {"containerStatuses": [{"name": "b", "imageID": f"example.com/b@{DIGEST}"}]},
    }  # fmt: skip
    facts = image_facts(images_of(pod, "DaemonSet kube-system/cilium"), known)
    assert [(one.image, one.pinned, one.known) for one in facts] == [
        (f"b:v2@{DIGEST}", True, True),
        ("other:v1", False, True),
        (f"quay.io/cilium/cilium:v1.20.0@{DIGEST}", True, True),
    ]
    (foreign,) = image_facts([("w", f"quay.io/cilium/cilium:v1.20.0@sha256:{'cd' * 32}", "")], known)
    assert not foreign.known, "an image of Cilium that the catalogue does not have"


def variable(value: str) -> dict[str, Any]:
    return {"containers": [{"env": [{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": value}]}]}


def token(audience: str) -> dict[str, Any]:
    return {"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"audience": audience}}]}}]}


@pytest.mark.parametrize(
    ("spec", "uses"),
    [
        (variable("http://169.254.170.23/v1/credentials"), True),
        (variable("http://[fd00:ec2::23]/v1/credentials"), True),
        (variable("http://127.0.0.1/"), False),
        (token("pods.eks.amazonaws.com"), True),
        (token("sts.amazonaws.com"), False),
        ({}, False),
    ],
)
def test_a_pod_that_uses_pod_identity_is_told_from_its_spec(spec: dict[str, Any], uses: bool) -> None:
    assert uses_pod_identity({"spec": spec}) is uses


def test_verdicts_are_added_up_over_nodes() -> None:
    one = 'hubble_flows_processed_total{verdict="FORWARDED",type="Trace"} 3\n'
    two = 'hubble_flows_processed_total{verdict="FORWARDED",type="L7"} 2\nhubble_drop_total{reason="POLICY_DENIED"} 7\n'
    assert counted([one, one + two]) == ({"FORWARDED": 8}, {"POLICY_DENIED": 7})
    for wrong in ("hubble_drop_total{reason=", 'hubble_drop_total{reason="X"} NaN\n'):
        with pytest.raises(ValueError, match=r"no number|could not convert"):
            counted([wrong])


def test_the_report_of_a_node_that_is_gone_counts_for_nothing() -> None:
    node = node_record({"metadata": {"name": "n1", "uid": "new"}})
    report = {
        "metadata": {"name": "n1", "generation": 1, "ownerReferences": [{"kind": "Node", "name": "n1", "uid": "old"}]},
        "status": {"state": "InSync", "observedGeneration": 1, "resultDigest": DIGEST,
                   "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip
    fact = node_fact(node, chain_node_record(report), report, {}, 4)
    assert (fact.verified, fact.digest, fact.pods) == (False, "", 4)
    report["metadata"]["ownerReferences"][0]["uid"] = "new"  # type: ignore[index]  # a literal's own type
    assert node_fact(node, chain_node_record(report), report, {}, 4).verified


KIND = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", namespaced=True)
CALICO = Resource("projectcalico.org", "v3", "networkpolicies", "NetworkPolicy", namespaced=True)
SERVED = Discovery({("networking.k8s.io/v1", "NetworkPolicy"): KIND, ("projectcalico.org/v3", "NetworkPolicy"): CALICO})


def test_the_inventory_counts_by_namespace_and_leaves_calicos_selectors_alone() -> None:
    pods = [
        Workload("shop", "web", workload_labels("shop", {"app": "web"})),
        Workload("shop", "db", workload_labels("shop", {"app": "db"})),
        Workload("free", "x", workload_labels("free", {})),
    ]
    web = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"]}
    kinds = Kinds.served(SERVED).with_items(
        {
            "NetworkPolicy": [{"metadata": {"name": "web", "namespace": "shop"}, "spec": web}],
            "NetworkPolicy.projectcalico.org": [
                {"metadata": {"name": "knp.default.web", "namespace": "shop"}, "spec": {"selector": "all()"}},
                {"metadata": {"name": "own", "namespace": "shop"}, "spec": {"selector": "all()"}},
            ],
        }
    )
    found = inventory(kinds, pods, ["empty", "shop", "free"])
    assert dict(found.counts) == {"NetworkPolicy": 1, "NetworkPolicy.projectcalico.org": 1}
    assert [(one.name, one.selected) for one in found.policies] == [("web", 1), ("own", -1)]
    shown = {one.name: (one.pods, one.ingress, one.egress, one.unselected) for one in found.namespaces}
    assert shown == {"empty": (0, 0, 0, 0), "free": (1, 0, 0, 1), "shop": (2, 1, 1, 1)}
    assert [pod.name for pod in unselected_pods(kinds.parsed, pods)] == ["db", "x"]
