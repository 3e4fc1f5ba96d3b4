"""Good and bad documents against the real API server, and what its table shows."""

import json
import subprocess
from typing import Any, Protocol

import pytest

from cnichain.api.chain import parse_spec
from cnichain.api.chainstatus import CNIChainStatus, parse_status
from cnichain.api.crd import chain_crd, node_crd, structural
from cnichain.api.errors import ChainError

pytestmark = pytest.mark.controlplane


class Kubectl(Protocol):
    """The fixture of tests/conftest.py."""

    def __call__(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]: ...


def document(spec: Any, name: str = "default", **extra: Any) -> str:
    body = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChain", "metadata": {"name": name}, "spec": spec}
    return json.dumps(body | extra)


CILIUM = {"cilium": {"version": "1.17.3"}}
GOOD = {
    "the least": CILIUM,
    "the whole": {
        "primary": {"plugin": "aws-vpc-cni", "minVersion": "1.16.2"},
        "cilium": {"version": "1.17.3", "values": {"bpf": {"masquerade": None}, "extraArgs": ["--x"], "n": 1.5}},
        "hubble": {
            "relay": {"enabled": True},
            "ui": {"enabled": True},
            "metrics": ["dns", "drop", "tcp", "flow", "port-distribution", "icmp", "http"],
            "export": {
                "profile": "denied",
                "allow": [
                    {"sourcePod": ["shop/", "shop/web"], "destinationPort": [443], "protocol": ["tcp"]},
                    {"destinationIP": ["10.0.0.0/8", "fd00::/8"], "trafficDirection": ["EGRESS"]},
                ],
                "deny": [{"sourceLabel": ["app.kubernetes.io/name=prober", "k8s:quiet"]}],
                "rotation": {"maxSizeMB": 20, "maxFiles": 9},
            },
            "dropEvents": {"enabled": True, "interval": "5m"},
        },
        "policyAuditMode": True,
        "calico": {"enabled": True, "version": "3.26.0", "containerIPForwarding": "Enabled"},
        "policyEngine": "Calico",
        "conflist": {"writer": "CNIChain", "onCiliumDown": "Open"},
        "nodes": {"selector": {"pool": "a", "kubernetes.io/arch": "arm64"}, "startupTaint": False},
        "rollout": {
            "canary": {"nodes": 0, "soak": "1h30m"},
            "maxUnavailable": "25%",
            "paused": True,
            "autoRollback": False,
            "progressDeadline": "90s",
        },
        "unmanagedPods": {"action": "Restart"},
        "deletionPolicy": "Uninstall",
        "suspend": True,
    },
    "hubble without relay and ui": CILIUM | {"hubble": {"relay": {"enabled": False}, "ui": {"enabled": False}}},
    "a count of nodes": CILIUM | {"rollout": {"maxUnavailable": "3"}},
}
BAD: dict[str, tuple[Any, str]] = {
    "no spec": (None, "spec: Required value"),
    "no cilium": ({}, "spec.cilium: Required value"),
    "a version that is a range": ({"cilium": {"version": "1.17"}}, "spec.cilium.version"),
    "a version with a v": ({"cilium": {"version": "v1.17.3"}}, "spec.cilium.version"),
    "an unknown field": (CILIUM | {"cillium": {}}, 'unknown field "spec.cillium"'),
    "an unknown primary": (CILIUM | {"primary": {"plugin": "weave"}}, "Unsupported value"),
    "an unknown metric": (CILIUM | {"hubble": {"metrics": ["dns", "nope"]}}, "Unsupported value"),
    "a metric twice": (CILIUM | {"hubble": {"metrics": ["dns", "dns"]}}, "Duplicate value"),
    "ui without relay": (CILIUM | {"hubble": {"relay": {"enabled": False}}}, "hubble.ui needs hubble.relay"),
    "calico without version": (CILIUM | {"calico": {"enabled": True}}, "calico.enabled needs calico.version"),
    "calico enforces but is off": (CILIUM | {"policyEngine": "Calico"}, "policyEngine Calico needs calico.enabled"),
    "too many unavailable": (CILIUM | {"rollout": {"maxUnavailable": "101%"}}, "spec.rollout.maxUnavailable"),
    "none unavailable": (CILIUM | {"rollout": {"maxUnavailable": "0"}}, "spec.rollout.maxUnavailable"),
    "a duration in words": (CILIUM | {"rollout": {"progressDeadline": "ten minutes"}}, "progressDeadline"),
    "an unknown export profile": (CILIUM | {"hubble": {"export": {"profile": "everything"}}}, "Unsupported value"),
    "a filter of a name that Hubble does not have": (
        CILIUM | {"hubble": {"export": {"deny": [{"sourcePods": ["a/"]}]}}},
        'unknown field "spec.hubble.export.deny[0].sourcePods"',
    ),
    "a filter that matches every flow": (CILIUM | {"hubble": {"export": {"deny": [{}]}}}, "spec.hubble.export.deny[0]"),
    "a pod without a namespace": (
        CILIUM | {"hubble": {"export": {"allow": [{"sourcePod": ["web"]}]}}},
        "spec.hubble.export.allow[0].sourcePod[0]",
    ),
    "a file that would fill the memory": (
        CILIUM | {"hubble": {"export": {"rotation": {"maxSizeMB": 101}}}},
        "spec.hubble.export.rotation.maxSizeMB",
    ),
    "a canary below zero": (CILIUM | {"rollout": {"canary": {"nodes": -1}}}, "spec.rollout.canary.nodes"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_document_is_accepted_and_understood(kubectl: Kubectl, name: str) -> None:
    strict = ("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-")
    done = kubectl(*strict, stdin=document(GOOD[name]))
    stored = json.loads(done.stdout)["spec"]
    assert stored == GOOD[name], "the API server must store a spec as it was written: no defaults, nothing pruned"
    parse_spec(stored)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_refused_with_the_field_named(kubectl: Kubectl, name: str) -> None:
    spec, said = BAD[name]
    text = document(spec) if spec is not None else json.dumps({**json.loads(document(None)), "spec": None})
    done = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text, check=False)
    assert done.returncode != 0, f"{name}: the API server accepted {spec}"
    assert said in done.stderr, f"{name}: the refusal does not say {said!r}: {done.stderr}"


def test_a_second_chain_is_refused_with_its_reason(kubectl: Kubectl) -> None:
    done = kubectl("create", "--dry-run=server", "-f", "-", stdin=document(CILIUM, name="other"), check=False)
    assert done.returncode != 0
    assert "NotSingleton" in done.stderr


def test_the_primary_cannot_be_exchanged(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=document(CILIUM | {"suspend": True}))
    try:
        for changed in ({"primary": {"plugin": "flannel"}},):
            done = kubectl("apply", "--dry-run=server", "-f", "-", stdin=document(CILIUM | changed), check=False)
            assert done.returncode != 0
            assert "primary.plugin cannot be changed" in done.stderr
        named = CILIUM | {"primary": {"plugin": "aws-vpc-cni"}}
        kubectl("apply", "--dry-run=server", "-f", "-", stdin=document(named))
    finally:
        kubectl("delete", "cnichain", "default", "--timeout=20s")


def test_the_table_has_the_columns_and_short_names(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=document(CILIUM | {"suspend": True}))
    try:
        header = kubectl("get", "cnc").stdout.splitlines()[0].split()
        wide = kubectl("get", "cnichain", "-o", "wide").stdout.splitlines()[0].split()
    finally:
        kubectl("delete", "cnichain", "default", "--timeout=20s")
    assert header == ["NAME", "PRIMARY", "CILIUM", "HUBBLE", "NODES", "UNMANAGED", "READY", "STATUS", "AGE"]
    assert wide == [*header, "CALICO", "WRITER", "PRIMARY-VERSION"]


def test_a_node_object_stores_spec_and_status_apart(kubectl: Kubectl) -> None:
    body: dict[str, Any] = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChainNode", "metadata": {"name": "table"}}
    body |= {"spec": {"desired": "Chained"}, "status": {"state": "InSync"}}
    kubectl("apply", "-f", "-", stdin=json.dumps(body))
    try:
        stored = json.loads(kubectl("get", "cncn", "table", "-o", "json").stdout)
        header = kubectl("get", "cnichainnodes").stdout.splitlines()[0].split()
    finally:
        kubectl("delete", "cnichainnode", "table", "--timeout=20s")
    assert "status" not in stored, "status must be writable by its subresource alone"
    assert header == ["NAME", "STATE", "CHAIN", "CILIUM", "DRIFTS", "LAST-REPAIR", "READY", "AGE"]


def test_no_default_reaches_the_schema_of_spec() -> None:
    for crd in (chain_crd(), node_crd()):
        (version,) = crd["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert '"default"' not in json.dumps(spec), "GitOps would diff for ever"


def test_what_cannot_be_structural_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not enough values|too many values|not expressible"):
        structural({"anyOf": [{"type": "string"}, {"type": "integer"}]})


def test_a_spec_that_a_looser_schema_let_in_names_its_fields() -> None:
    with pytest.raises(ChainError, match=r"spec\.cilium\.version.*spec\.cillium"):
        parse_spec({"cilium": {"version": "1"}, "cillium": {}})


def test_a_status_of_another_release_is_read_or_left() -> None:
    assert parse_status({"versions": {"cilium": "1.17.3", "aNewField": 1}}).versions is not None
    assert parse_status({"versions": "of another form"}) == CNIChainStatus()
