"""What is kept of the cluster's objects."""

from typing import Any

import pytest

from cnichain.dev.manifests import aws_node, kube_proxy
from cnichain.preflight.project import (
    argo_cd,
    calico_dataplane,
    cidrs_of_pools,
    cidrs_of_services,
    daemon_set_seen,
    kube_proxy_mode,
)
from cnichain.preflight.webhooks import matches, webhooks_seen

KUBE_SYSTEM = {"metadata": {"labels": {"kubernetes.io/metadata.name": "kube-system", "control-plane": "true"}}}


def proxy(*flags: str) -> dict[str, Any]:
    body: dict[str, Any] = kube_proxy()[-1]
    body["spec"]["template"]["spec"]["containers"][0]["args"] = list(flags)
    return body


def config(text: str, key: str = "config") -> dict[str, Any]:
    return {"data": {key: text}}


IPVS = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"


@pytest.mark.parametrize(
    ("daemon_sets", "config_maps", "mode"),
    [
        ([], [config(IPVS)], "none"),
        ([aws_node()[-1]], [], "none"),
        ([proxy()], [], "iptables"),
        ([proxy()], [config(IPVS)], "ipvs"),
        ([proxy()], [config("clusters: []", "kubeconfig.conf"), config(IPVS, "config.conf")], "ipvs"),
        ([proxy()], [config(IPVS.replace("ipvs", '""'))], "iptables"),
        ([proxy()], [config(IPVS.replace("ipvs", "NFTables"))], "nftables"),
        ([proxy()], [config("{not: [yaml")], "iptables"),
        ([proxy("--proxy-mode=ipvs")], [config(IPVS.replace("ipvs", "iptables"))], "ipvs"),
    ],
)
def test_kube_proxy_mode(daemon_sets: list[Any], config_maps: list[Any], mode: str) -> None:
    assert kube_proxy_mode(daemon_sets, config_maps) == mode


def test_a_daemon_set_is_kept_as_names_images_and_owners() -> None:
    body = aws_node()[-1]
    body["metadata"]["annotations"] = {
        "meta.helm.sh/release-name": "cilium",
        "meta.helm.sh/release-namespace": "kube-system",
    }
    body["metadata"]["labels"]["cnichain.io/owner"] = "default"
    body["metadata"]["managedFields"] = [
        {"manager": name} for name in ("helm", "kube-controller-manager", "cnichain", "argocd-controller", "helm")
    ]
    seen = daemon_set_seen(body)
    assert str(seen) == "DaemonSet kube-system/aws-node"
    assert [image.rpartition("/")[2] for image in seen.images] == [
        "amazon-k8s-cni-init:v1.18.5-eksbuild.1",
        "amazon-k8s-cni:v1.18.5-eksbuild.1",
    ]
    assert (seen.owned, seen.helm_release, seen.managers) == (True, "kube-system/cilium", ("argocd-controller", "helm"))


def test_of_argo_cd_only_what_matters_is_kept() -> None:
    assert argo_cd(None) is None
    assert argo_cd({}) == {}
    exclusions = "- apiGroups: [cilium.io]\n  kinds: [CiliumIdentity]\n" + "# long\n" * 1000
    data = {"resource.exclusions": exclusions, "application.resourceTrackingMethod": "label", "oidc.config": "secret"}
    assert argo_cd({"data": data}) == {
        "resource.exclusions": "CiliumIdentity",
        "application.resourceTrackingMethod": "label",
    }


@pytest.mark.parametrize(
    ("installation", "felix", "dataplane"),
    [
        (None, None, ""),
        (None, {"spec": {"bpfEnabled": True}}, "BPF"),
        ({"spec": {}}, {"spec": {"bpfEnabled": False}}, "Iptables"),
        ({"spec": {"calicoNetwork": {"linuxDataplane": "BPF"}}}, None, "BPF"),
    ],
)
def test_calico_dataplane(installation: Any, felix: Any, dataplane: str) -> None:
    assert calico_dataplane(installation, felix) == dataplane


def test_cidrs() -> None:
    assert cidrs_of_services([{"spec": {"cidrs": ["fd00::/108", "10.100.0.0/16"]}}]) == ("10.100.0.0/16", "fd00::/108")
    assert cidrs_of_pools([{"spec": {"cidr": "10.1.0.0/16"}}, {"spec": {"cidr": "10.2.0.0/16", "disabled": True}}]) == (
        "10.1.0.0/16",
    )


def webhook(**changes: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], "scope": "*"}
    body = {
        "name": "check.example.com",
        "failurePolicy": "Fail",
        "rules": [rule | changes.pop("rule", {})],
        "clientConfig": {"service": {"namespace": "kyverno", "name": "svc"}},
    }
    return {"metadata": {"name": "kyverno"}, "webhooks": [body | changes]}


@pytest.mark.parametrize(
    ("changes", "resources"),
    [
        ({}, ("pods",)),
        ({"rule": {"apiGroups": ["*"], "resources": ["*"]}}, ("pods", "daemonsets")),
        ({"rule": {"apiGroups": ["apps"], "resources": ["daemonsets"], "operations": ["UPDATE"]}}, ("daemonsets",)),
        ({"rule": {"apiGroups": ["apps"]}}, None),
        ({"rule": {"operations": ["DELETE"]}}, None),
        ({"rule": {"resources": ["pods/exec"]}}, None),
        ({"failurePolicy": "Ignore"}, None),
        ({"namespaceSelector": {"matchLabels": {"inject": "yes"}}}, None),
        ({"objectSelector": {"matchLabels": {"inject": "yes"}}}, None),
        ({"objectSelector": {"matchExpressions": [{"key": "inject", "operator": "DoesNotExist"}]}}, ("pods",)),
        (
            {
                "namespaceSelector": {
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}
                    ]
                }
            },
            None,
        ),
    ],
)
def test_a_webhook_counts_when_it_may_deny_the_chains_pods(
    changes: dict[str, Any], resources: tuple[str, ...] | None
) -> None:
    seen = webhooks_seen([webhook(**changes)], KUBE_SYSTEM)
    assert [item.resources for item in seen] == ([resources] if resources else [])
    for item in seen:
        assert (item.name, item.target) == ("kyverno/check.example.com", "Service kyverno/svc")


def test_match_conditions_and_urls_are_told() -> None:
    conditions = [{"name": "x", "expression": "true"}]
    (seen,) = webhooks_seen([webhook(matchConditions=conditions, clientConfig={"url": "https://hook.example/x"})], None)
    assert (seen.conditional, seen.target) == (True, "hook.example")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, True),
        ({"key": "a", "operator": "In", "values": ["2"]}, False),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, False),
        ({"key": "b", "operator": "NotIn", "values": ["1"]}, True),
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "b", "operator": "DoesNotExist"}, True),
        ({"key": "a", "operator": "OfALaterRelease"}, True),
    ],
)
def test_selectors_select_as_the_api_server_does(expression: dict[str, Any], expected: bool) -> None:
    assert matches({"matchExpressions": [expression]}, {"a": "1"}) is expected
