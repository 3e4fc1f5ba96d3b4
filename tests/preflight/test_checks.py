"""Every check by itself: what it says of a cluster, with which reason, and what is unknown when it may not look."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cnichain.api.chain import parse_spec
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import REASONS
from cnichain.catalogue.facts import NodeSystem
from cnichain.catalogue.load import load_catalogue
from cnichain.preflight.finding import Level, Result
from cnichain.preflight.gathered import (
    DaemonSetSeen,
    Gathered,
    Named,
    NodePoolSeen,
    NodesSeen,
    ReportsSeen,
    Unread,
    WebhookSeen,
)
from cnichain.preflight.registry import CHECKS, of_level, refusal, run_checks, summary
from cnichain.preflight.subject import Subject

CATALOGUE = load_catalogue()
RULE = CATALOGUE.primary(PrimaryPlugin.AWS_VPC_CNI)
NODES = NodesSeen(3, 3, {}, (NodeSystem("6.1.141-155.222.amzn2023.x86_64", "Amazon Linux 2023", 3, "a"),))
GATHERED: dict[str, Any] = {"kube_proxy_mode": "iptables", "service_cidrs": ("172.20.0.0/16",), "argo_cd": None}
SILENT = ReportsSeen()
NEWEST = {"cilium": {"version": "1.20.0"}}


def aws_node(image: str = "x/amazon-k8s-cni:v1.18.5-eksbuild.1", **env: str) -> dict[str, Any]:
    variables = [{"name": name, "value": value} for name, value in env.items()]
    containers = [{"name": "aws-node", "image": image, "env": variables}]
    return {"metadata": {"labels": {}}, "spec": {"template": {"spec": {"containers": containers}}}}


def with_policy_agent(on: str) -> dict[str, Any]:
    body = aws_node()
    agent = {"name": "aws-eks-nodeagent", "image": "a:v1", "args": [f"--enable-network-policy={on}"]}
    body["spec"]["template"]["spec"]["containers"].append(agent)
    return body


def with_early_demux(value: str) -> dict[str, Any]:
    body = aws_node(ENABLE_POD_ENI="true")
    init = {"name": "aws-vpc-cni-init", "env": [{"name": "DISABLE_TCP_EARLY_DEMUX", "value": value}]}
    body["spec"]["template"]["spec"]["initContainers"] = [init]
    return body


@dataclass(frozen=True)
class Case:
    """A cluster that differs from a good one, and what one check says of it."""

    check: str
    level: str
    reason: str
    said: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    gathered: Mapping[str, Any] = field(default_factory=dict)
    primary: Mapping[str, Any] | Unread | None = field(default_factory=aws_node)
    nodes: NodesSeen | Unread = NODES
    reports: ReportsSeen | Unread = SILENT
    kubernetes: str = "v1.34.1-eks-1"

    def results(self) -> dict[str, Result]:
        subject = Subject(
            spec=parse_spec({**NEWEST, **self.spec}),
            catalogue=CATALOGUE,
            rule=RULE,
            kubernetes=self.kubernetes,
            primary_read=self.primary,
            nodes_read=self.nodes,
            reports_read=self.reports,
            gathered=Gathered(**{**GATHERED, **self.gathered}),
        )
        return {item.check.code: item for item in run_checks(subject)}


def daemon_set(name: str, *images: str, namespace: str = "kube-system", **more: Any) -> DaemonSetSeen:
    return DaemonSetSeen(namespace, name, images or ("x/y:v1",), **more)


def cilium(version: str, **values: Any) -> dict[str, Any]:
    return {"cilium": {"version": version, "values": values}}


def systems(kernel: str, os_image: str = "Amazon Linux 2") -> NodesSeen:
    return NodesSeen(5, 5, {}, (NodeSystem(kernel, os_image, 2, "old-1"), *NODES.systems))


OUR_TOLERATION = {"key": "cnichain.io/chain-not-ready", "operator": "Exists"}
BOTTLEROCKET = systems("6.1.141", "Bottlerocket OS 1.40.0 (aws-k8s-1.33)")
CALICO_NODE = daemon_set("calico-node", "docker.io/calico/node:v3.29.1", namespace="calico-system")
ON_NODE = ReportsSeen(3, plugins=(Named("aws-cni", 3, "a"), Named("cilium-cni", 3, "a")))
POOL = NodePoolSeen("default", starts_tainted=True)
BARE = NodePoolSeen("bare", starts_tainted=False)
CASES = [
    # The primary and its settings.
    Case("eks-auto-mode", "ok", "PreflightPassed", "no node", nodes=NODES),
    Case("eks-auto-mode", "refused", "EksAutoMode", "2 of 2 nodes", nodes=NodesSeen(0, 2, {"Auto Mode": 2})),
    Case(
        "eks-auto-mode", "refused", "EksAutoMode", "no DaemonSet", nodes=NodesSeen(1, 3, {"Auto Mode": 2}), primary=None
    ),
    Case("eks-auto-mode", "ok", "PreflightPassed", "left out", nodes=NodesSeen(1, 3, {"Auto Mode": 2})),
    Case("primary", "ok", "PreflightPassed", "v1.18.5-eksbuild.1"),
    Case("primary", "refused", "PrimaryNotFound", "kube-system/aws-node", primary=None),
    Case("primary", "refused", "PrimaryTooOld", "v1.10.4", primary=aws_node("cni:v1.10.4")),
    Case("primary", "refused", "PrimaryVersionUnknown", "cni:latest", primary=aws_node("cni:latest")),
    Case("ip-family", "ok", "PreflightPassed", "IPv4"),
    Case("ip-family", "refused", "Ipv6NotEnabled", "ENABLE_IPv6=true", primary=aws_node(ENABLE_IPv6="true")),
    Case(
        "ip-family",
        "ok",
        "PreflightPassed",
        "ipv6.enabled is set",
        spec=cilium("1.20.0", ipv6={"enabled": True}),
        primary=aws_node(ENABLE_IPv6="true"),
    ),
    Case("egress-interface", "ok", "PreflightPassed", "none"),
    Case("egress-interface", "warning", "EgressInterfaceUnmanaged", "IPv4", primary=aws_node(ENABLE_IPv6="true")),
    Case(
        "egress-interface",
        "ok",
        "PreflightPassed",
        "none",
        primary=aws_node(ENABLE_IPv6="true", ENABLE_V4_EGRESS="false"),
    ),
    Case("egress-interface", "warning", "EgressInterfaceUnmanaged", "IPv6", primary=aws_node(ENABLE_V6_EGRESS="true")),
    Case("veth-prefix", "ok", "PreflightPassed", "eni*"),
    Case(
        "veth-prefix", "warning", "VethPrefixChanged", "=veth", primary=aws_node(AWS_VPC_K8S_CNI_VETHPREFIX="veth")
    ),
    Case(
        "veth-prefix",
        "refused",
        "VethPrefixChanged",
        "endpointRoutes.enabled",
        spec=cilium("1.20.0", endpointRoutes={"enabled": True}),
        primary=aws_node(AWS_VPC_K8S_CNI_VETHPREFIX="veth"),
    ),
    Case("early-demux", "ok", "PreflightPassed", "no pod"),
    Case("early-demux", "ok", "PreflightPassed", "is true", primary=with_early_demux("true")),
    Case("early-demux", "warning", "EarlyDemuxOn", "aws-vpc-cni-init", primary=with_early_demux("false")),
    Case(
        "early-demux",
        "ok",
        "PreflightPassed",
        "no pod",
        primary=aws_node(ENABLE_POD_ENI="true", POD_SECURITY_GROUP_ENFORCING_MODE="standard"),
    ),
    Case("pod-identity", "ok", "PreflightPassed", "not in use"),
    Case(
        "pod-identity",
        "warning",
        "PodIdentityAgent",
        "169.254.170.23",
        gathered={"daemon_sets": (daemon_set("eks-pod-identity-agent"),)},
    ),
    Case("strict-mode", "ok", "PreflightPassed", "not closed"),
    Case(
        "strict-mode",
        "warning",
        "PrimaryPolicyStrict",
        "=strict",
        primary=aws_node(NETWORK_POLICY_ENFORCING_MODE="strict"),
    ),
    # What an audit takes for granted.
    Case("policy-audit-mode", "ok", "PreflightPassed", "off"),
    Case("policy-audit-mode", "warning", "PolicyAuditMode", "verdict AUDIT", spec={"policyAuditMode": True}),
    Case("flow-export", "ok", "PreflightPassed", "the profile is all", spec={"hubble": {"export": {"profile": "all"}}}),
    Case(
        "flow-export",
        "warning",
        "FlowExportPartial",
        "Calico denies",
        spec={
            "hubble": {"export": {"profile": "denied"}},
            "policyEngine": "Calico",
            "calico": {"enabled": True, "version": "3.32.1"},
        },
    ),
    # What the catalogue judges.
    Case("release", "ok", "PreflightPassed", "1.20.0"),
    Case("release", "warning", "ReleaseUnmaintained", "1.17", spec=cilium("1.17.3")),
    Case("values", "ok", "PreflightPassed", "no value"),
    Case("values", "warning", "ValuesUntested", "probes", spec=cilium("1.20.0", policyEnforcementMode="always")),
    Case(
        "values", "warning", "ValuesUntested", "by mistake", spec=cilium("1.18.12", endpointRoutes={"enabled": True})
    ),
    Case("chaining-mode", "ok", "PreflightPassed", "aws-cni"),
    Case(
        "chaining-mode",
        "refused",
        "ChainingModeUnsafe",
        "SNAT",
        spec=cilium("1.17.3", cni={"chainingMode": "generic-veth"}),
    ),
    Case("cluster-id", "ok", "PreflightPassed", "not set"),
    Case("cluster-id", "ok", "PreflightPassed", "5", spec=cilium("1.20.0", cluster={"name": "a", "id": 5})),
    Case(
        "cluster-id",
        "refused",
        "ClusterIdUnusable",
        "128 to 255",
        spec=cilium("1.20.0", cluster={"name": "a", "id": 200}),
    ),
    Case("primary-version", "ok", "PreflightPassed", "v1.18.5"),
    Case("primary-version", "warning", "PrimaryUntested", "v1.99.0", primary=aws_node("cni:v1.99.0")),
    Case("kubernetes-version", "ok", "PreflightPassed", "v1.34.1"),
    Case("kubernetes-version", "warning", "KubernetesUntested", "1.28", kubernetes="v1.28.3"),
    Case("kernel", "ok", "PreflightPassed", "6.1.141"),
    Case("kernel", "refused", "KernelTooOld", "old-1 and 1 more", nodes=systems("5.4.219-126.411.amzn2.x86_64")),
    Case("kernel", "warning", "KernelUntested", "old-1", spec=cilium("1.17.3"), nodes=systems("4.18.0-553.el8_10")),
    Case("kube-proxy", "ok", "PreflightPassed", "iptables"),
    Case("kube-proxy", "ok", "PreflightPassed", "none in the cluster", gathered={"kube_proxy_mode": "none"}),
    Case("kube-proxy", "ok", "PreflightPassed", "ipvs", spec=cilium("1.18.12"), gathered={"kube_proxy_mode": "ipvs"}),
    Case(
        "kube-proxy", "refused", "KubeProxyIPVS", "ipvs", spec=cilium("1.19.6"), gathered={"kube_proxy_mode": "ipvs"}
    ),
    Case("security-group-pods", "ok", "PreflightPassed", "off"),
    Case(
        "security-group-pods", "warning", "PodSecurityGroups", "vlanBypass", primary=aws_node(ENABLE_POD_ENI="true")
    ),
    Case("policy-engines", "ok", "PreflightPassed", "Cilium alone", primary=with_policy_agent("false")),
    Case("policy-engines", "warning", "PolicyEnginesOverlap", "more than one", primary=with_policy_agent("true")),
    Case("policy-engines", "warning", "PolicyEnginesOverlap", "each", gathered={"daemon_sets": (CALICO_NODE,)}),
    Case(
        "policy-engines",
        "refused",
        "PolicyEnginesTooMany",
        "Calico",
        primary=with_policy_agent("true"),
        gathered={"daemon_sets": (CALICO_NODE,)},
    ),
    Case("calico-dataplane", "ok", "PreflightPassed", "no Calico"),
    Case(
        "calico-dataplane",
        "ok",
        "PreflightPassed",
        "Iptables",
        gathered={"daemon_sets": (CALICO_NODE,), "calico_dataplane": "Iptables"},
    ),
    Case(
        "calico-dataplane",
        "refused",
        "CalicoDataplaneConflict",
        "eBPF",
        gathered={"daemon_sets": (CALICO_NODE,), "calico_dataplane": "BPF"},
    ),
    Case("calico-version", "ok", "PreflightPassed", "no Calico"),
    Case("calico-version", "warning", "CalicoUntested", "0.1.2", gathered={"daemon_sets": (
        daemon_set("calico-node", "calico/node:v0.1.2"),)}),
    # What Cilium needs on a node.
    Case("tolerations", "ok", "PreflightPassed", "tolerate"),
    Case(
        "tolerations", "ok", "PreflightPassed", "tolerate", spec=cilium("1.20.0", tolerations=[{"operator": "Exists"}])
    ),
    Case("tolerations", "ok", "PreflightPassed", "tolerate", spec=cilium("1.20.0", tolerations=[OUR_TOLERATION])),
    Case("tolerations", "ok", "PreflightPassed", "is false", spec=cilium("1.20.0", tolerations=[])
         | {"nodes": {"startupTaint": False}}),
    *(
        Case("tolerations", "warning", "TolerationMissing", path, spec=cilium("1.20.0", **values))
        for path, values in (
            ("values.tolerations", {"tolerations": []}),
            ("values.tolerations", {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}),
            ("values.tolerations", {"tolerations": [{**OUR_TOLERATION, "operator": "Equal", "value": "no"}]}),
            ("values.envoy.tolerations", {"envoy": {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}}),
        )
    ),
    Case("host-routing", "ok", "PreflightPassed", "no node"),
    Case("host-routing", "warning", "HostRoutingUnsafe", "old-1", nodes=BOTTLEROCKET),
    Case("host-routing", "ok", "PreflightPassed", "is set", nodes=BOTTLEROCKET,
         spec=cilium("1.20.0", bpf={"hostLegacyRouting": True})),
    # Other writers and owners.
    *(
        item
        for code, reason, name, image in (
            ("multus", "MultusPresent", "kube-multus-ds", "ghcr.io/k8snetworkplumbingwg/multus-cni:v4"),
            ("istio-cni", "IstioCniPresent", "istio-cni-node", "docker.io/istio/install-cni:1.26"),
            ("linkerd-cni", "LinkerdCniPresent", "linkerd-cni", "cr.l5d.io/linkerd/cni-plugin:v1.6"),
            ("kuma-cni", "KumaCniPresent", "kuma-cni-node", "docker.io/kumahq/kuma-cni:2.9"),
        )
        for item in (
            Case(code, "ok", "PreflightPassed", "not in the cluster"),
            Case(code, "warning", reason, name, gathered={"daemon_sets": (daemon_set(name),)}),
            Case(code, "warning", reason, "renamed", gathered={"daemon_sets": (daemon_set("renamed", image),)}),
        )
    ),
    Case("effective-file", "ok", "PreflightPassed", "no agent has reported"),
    Case("effective-file", "ok", "PreflightPassed", "the primary's file", reports=ON_NODE),
    Case(
        "effective-file",
        "warning",
        "ForeignConflist",
        "02-istio-cni.conflist on 2 nodes, as on b",
        reports=ReportsSeen(3, effective_files=(Named("02-istio-cni.conflist", 2, "b"),)),
    ),
    Case("foreign-plugins", "ok", "PreflightPassed", "every plugin", reports=ON_NODE),
    Case(
        "foreign-plugins",
        "warning",
        "ForeignPlugin",
        "istio-cni on 1 node, as on c",
        reports=ReportsSeen(3, plugins=(*ON_NODE.plugins, Named("istio-cni", 1, "c"))),
    ),
    Case("drop-ins", "ok", "PreflightPassed", "none", reports=ON_NODE),
    Case(
        "drop-ins",
        "warning",
        "ConflistDropIns",
        "aws-cni/50-x.conf",
        reports=ReportsSeen(3, drop_ins=(Named("aws-cni/50-x.conf", 3, "a"),)),
    ),
    Case("tigera-operators", "ok", "PreflightPassed", "none"),
    Case(
        "tigera-operators",
        "ok",
        "PreflightPassed",
        "tigera-operator/tigera-operator",
        gathered={"tigera_operators": ("tigera-operator/tigera-operator",), "active_operator": "tigera-operator"},
    ),
    Case(
        "tigera-operators",
        "refused",
        "TwoTigeraOperators",
        "the one in old",
        gathered={"tigera_operators": ("old/tigera-operator", "new/tigera-operator"), "active_operator": "old"},
    ),
    Case(
        "tigera-operators",
        "refused",
        "TwoTigeraOperators",
        "never works",
        gathered={"tigera_operators": ("new/tigera-operator",), "active_operator": "old"},
    ),
    Case("second-cilium", "ok", "PreflightPassed", "none", gathered={"daemon_sets": (daemon_set("cilium"),)}),
    Case(
        "second-cilium",
        "refused",
        "SecondCilium",
        "networking/cilium",
        gathered={"daemon_sets": (daemon_set("cilium", namespace="networking"),)},
    ),
    Case(
        "second-cilium",
        "refused",
        "SecondCilium",
        "kube-system/other",
        gathered={"daemon_sets": (daemon_set("other", "quay.io/cilium/cilium:v1.17.3@sha256:00"),)},
    ),
    Case(
        "second-cilium",
        "ok",
        "PreflightPassed",
        "none",
        gathered={"daemon_sets": (daemon_set("cnichain-prepull", "quay.io/cilium/cilium:v1.17.3", owned=True),)},
    ),
    Case("cilium-owner", "ok", "PreflightPassed", "not installed"),
    Case("cilium-owner", "ok", "PreflightPassed", "", gathered={"daemon_sets": (daemon_set("cilium", owned=True),)}),
    Case(
        "cilium-owner",
        "warning",
        "CiliumOfOthers",
        "Helm release kube-system/cilium (field managers: helm)",
        gathered={"daemon_sets": (daemon_set("cilium", helm_release="kube-system/cilium", managers=("helm",)),)},
    ),
    Case("helm-release", "ok", "PreflightPassed", "none"),
    Case(
        "helm-release",
        "warning",
        "HelmReleaseRemains",
        "kube-system/cilium",
        gathered={"daemon_sets": (daemon_set("cilium", owned=True, helm_release="kube-system/cilium"),)},
    ),
    # The cluster around it.
    Case(
        "scope",
        "ok",
        "PreflightPassed",
        "1 of 5 nodes are in scope. Out of scope: 2 Fargate, 1 Windows, 1 hybrid.",
        nodes=NodesSeen(1, 5, {"Fargate": 2, "Windows": 1, "hybrid": 1}),
    ),
    Case("scope", "warning", "NoNodesInScope", "3 not selected", nodes=NodesSeen(0, 3, {"not selected": 3})),
    Case("node-pools", "ok", "PreflightPassed", "no NodePool"),
    Case("node-pools", "ok", "PreflightPassed", "NodePools in scope (1)", gathered={"node_pools": (POOL,)}),
    Case("node-pools", "warning", "StartupTaintMissing", "NodePool bare w", gathered={"node_pools": (POOL, BARE)}),
    Case(
        "node-pools",
        "warning",
        "StartupTaintMissing",
        "NodePools p0, p1, p2, p3, p4 and 4 more without the taint cnichain.io/chain-not-ready in spec.template.spec.",
        gathered={"node_pools": tuple(NodePoolSeen(f"p{number}", starts_tainted=False) for number in range(9))},
    ),
    Case(
        "node-pools",
        "warning",
        "StartupTaintMissing",
        "NodePool lasting with the taint",
        gathered={"node_pools": (NodePoolSeen("lasting", starts_tainted=False, stays_tainted=True),)},
    ),
    Case(
        "node-pools",
        "ok",
        "PreflightPassed",
        "startupTaint is false",
        spec={"nodes": {"startupTaint": False}},
        gathered={"node_pools": (BARE,)},
    ),
    Case(
        "node-pools",
        "ok",
        "PreflightPassed",
        "no NodePool of Karpenter's is in scope",
        gathered={"node_pools": (NodePoolSeen("w", starts_tainted=False, labels={"kubernetes.io/os": ("windows",)}),)},
    ),
    Case(
        "node-pools",
        "ok",
        "PreflightPassed",
        "in scope",
        spec={"nodes": {"selector": {"team": "net"}}},
        gathered={"node_pools": (NodePoolSeen("other", starts_tainted=False, labels={"team": ("web",)}),)},
    ),
    Case("webhooks", "ok", "PreflightPassed", "none may deny"),
    Case(
        "webhooks",
        "warning",
        "WebhookMayBlock",
        "kyverno/all is asked about pods and daemonsets of kube-system by Service kyverno/svc",
        gathered={"webhooks": (WebhookSeen("kyverno/all", ("pods", "daemonsets"), "Service kyverno/svc"),)},
    ),
    Case("addresses", "ok", "PreflightPassed", "10.0.0.0/8"),
    Case("addresses", "warning", "AddressOverlap", "Services use 10.100.0.0/16", gathered={
        "service_cidrs": ("10.100.0.0/16",)}),
    Case("addresses", "warning", "AddressOverlap", "10.1.2.0/24", nodes=NodesSeen(1, 1, networks=("10.1.2.0/24",))),
    Case("addresses", "warning", "AddressOverlap", "IPPool use 10.9.0.0/16", gathered={"ip_pools": ("10.9.0.0/16",)}),
    Case(
        "addresses",
        "ok",
        "PreflightPassed",
        "198.18.0.0/15",
        spec=cilium("1.20.0", ipam={"operator": {"clusterPoolIPv4PodCIDRList": ["198.18.0.0/15"]}}),
        gathered={"service_cidrs": ("10.100.0.0/16",)},
    ),
    Case("argocd-exclusions", "ok", "PreflightPassed", "no Argo CD"),
    Case("argocd-exclusions", "ok", "PreflightPassed", "alone", gathered={
        "argo_cd": {"resource.exclusions": "CiliumIdentity"}}),
    Case("argocd-exclusions", "warning", "ArgoCdIdentities", "CiliumIdentity", gathered={"argo_cd": {}}),
    Case("argocd-tracking", "ok", "PreflightPassed", "no Argo CD"),
    Case("argocd-tracking", "ok", "PreflightPassed", "annotation", gathered={
        "argo_cd": {"application.resourceTrackingMethod": "annotation"}}),
    Case(
        "argocd-tracking",
        "warning",
        "ArgoCdLabelTracking",
        "argocd.example/app",
        gathered={
            "argo_cd": {
                "application.resourceTrackingMethod": "label",
                "application.instanceLabelKey": "argocd.example/app",
            }
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}-{case.reason}")
def test_what_a_check_says(case: Case) -> None:
    finding = case.results()[case.check].finding
    assert (finding.level.value, finding.reason.value) == (case.level, case.reason), finding.message
    assert case.said in finding.message
    assert finding.message.endswith("."), "a message is a sentence"
    assert "\n" not in finding.message


def test_every_check_has_a_case_that_is_fine_and_one_that_is_not() -> None:
    tried = {(case.check, case.level == "ok") for case in CASES}
    untried = {(check.code, well) for check in CHECKS for well in (True, False)} - tried
    assert untried == set()


def test_no_two_checks_share_a_code_and_every_refusal_needs_a_person() -> None:
    codes = [check.code for check in CHECKS]
    assert len(codes) == len(set(codes))
    for case in CASES:
        if case.level == "refused":
            finding = case.results()[case.check].finding
            assert REASONS[finding.reason].terminal, f"{case.reason} stops the chain, so Stalled must say so"
            assert finding.fix, f"{case.reason}: who is stopped must be told what to do"


def test_a_good_cluster_has_nothing_but_ok() -> None:
    results = list(Case("", "", "", "").results().values())
    others = [(item.check.code, item.finding) for item in results if item.finding.level is not Level.OK]
    assert others == []
    assert len(results) == len(CHECKS)


FORBIDDEN = Unread('list daemonsets: daemonsets.apps is forbidden: User "x" cannot list')
NEEDS = {
    "daemon_sets": {
        *("policy-engines", "calico-version", "pod-identity", "multus", "istio-cni", "linkerd-cni"),
        *("kuma-cni", "second-cilium", "cilium-owner", "helm-release"),
    },
    "kube_proxy_mode": {"kube-proxy"},
    "tigera_operators": {"tigera-operators"},
    "active_operator": {"tigera-operators"},
    "calico_dataplane": {"calico-dataplane"},
    "webhooks": {"webhooks"},
    "service_cidrs": {"addresses"},
    "ip_pools": {"addresses"},
    "argo_cd": {"argocd-exclusions", "argocd-tracking"},
    "node_pools": {"node-pools"},
}


@pytest.mark.parametrize("what", NEEDS)
@pytest.mark.parametrize("version", ["1.17.3", "1.20.0"])
def test_what_may_not_be_read_makes_its_own_checks_unknown_and_no_other(what: str, version: str) -> None:
    results = Case("", "", "", "", spec=cilium(version), gathered={what: FORBIDDEN}).results()
    unknown = {code for code, item in results.items() if item.finding.level is Level.UNKNOWN}
    assert unknown == NEEDS[what]
    for code in unknown:
        assert results[code].finding.reason.value == "CheckNotPossible"
        assert "is forbidden" in results[code].finding.message
    assert refusal(list(results.values())) is None, "not to know is no reason to refuse"


def test_nodes_reports_and_primary_may_be_unreadable_as_well() -> None:
    results = Case("", "", "", "", nodes=FORBIDDEN, reports=FORBIDDEN, primary=FORBIDDEN).results()
    for code in ("scope", "kernel", "eks-auto-mode", "effective-file", "primary", "ip-family"):
        assert results[code].finding.level is Level.UNKNOWN, code


def test_all_refusals_are_told_and_the_first_decides() -> None:
    case = Case(
        *("", "", "", ""),
        spec=cilium("1.19.6", cluster={"name": "a", "id": 200}),
        gathered={"kube_proxy_mode": "ipvs", "tigera_operators": ("a/x", "b/x")},
    )
    error = refusal(list(case.results().values()))
    assert error is not None
    assert error.reason.value == "ClusterIdUnusable"
    for other in ("KubeProxyIPVS", "TwoTigeraOperators"):
        assert f"Also refused: {other}: " in error.message


def test_warnings_are_summed_up_with_their_reasons() -> None:
    results = list(
        Case("", "", "", "", gathered={"argo_cd": {}, "daemon_sets": (daemon_set("linkerd-cni"),)}).results().values()
    )
    text = summary(results)
    assert text.startswith(" 2 warnings: ")
    assert "LinkerdCniPresent: " in text
    assert "ArgoCdIdentities: " in text
    assert len(of_level(results, Level.WARNING)) == 2
    assert summary([]) == ""


@pytest.mark.parametrize("plugin", [item for item in PrimaryPlugin if item is not PrimaryPlugin.AWS_VPC_CNI])
def test_settings_of_the_vpc_cni_are_not_asked_of_another_primary(plugin: PrimaryPlugin) -> None:
    case = Case("", "", "", "", spec={"primary": {"plugin": plugin.value}}, primary=aws_node(ENABLE_IPv6="true"))
    finding = case.results()["ip-family"].finding
    assert finding.level is Level.OK
    assert plugin.value in finding.message
