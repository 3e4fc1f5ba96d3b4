"""Every mistake that a manifest can show is found, with the code that the operator would give, in its place; and what
is right is left alone."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.analyze import manifests as m

from cnichain.analyze.documents import parse
from cnichain.analyze.problem import Problem
from cnichain.analyze.run import analyze
from cnichain.api.reasons import REASONS
from cnichain.catalogue.load import load_catalogue

CATALOGUE = load_catalogue()
PAGE = Path(__file__).resolve().parents[2] / "docs" / "analyze.md"
CALICO: dict[str, Any] = {"calico": {"enabled": True, "version": "3.32.1"}}
ENI, EARLY = {"ENABLE_POD_ENI": "true"}, {"DISABLE_TCP_EARLY_DEMUX": "true"}


@dataclass(frozen=True)
class Case:
    """Documents with a mistake. row: of the list of mistakes in docs/analyze.md. at: a text of the line that is named.
    beside: codes that the same mistake brings too.
    """

    row: int
    found: str
    documents: tuple[Any, ...]
    said: str
    at: str
    installed: str = ""
    beside: tuple[str, ...] = ()


def case(row: int, found: str, said: str, at: str, *documents: Any, installed: str = "", beside: str = "") -> Any:
    one = Case(row, found, documents, said, at, installed, tuple(beside.split()))
    return pytest.param(one, id=f"{row}-{found.partition(' ')[2]}-{at[:30]}")


MISTAKES = [
    # 1 the primary's version, 2 other writers
    case(1, "error PrimaryTooOld", "1.11.0", "configurationValues", m.chain(), m.add_on(version="v1.11.0",
         env={"A": "b"})),
    case(1, "error PrimaryTooOld", "older than 1.16.2", "name: aws-node", m.chain(),
         m.daemon_set("aws-node", image="amazon-k8s-cni:v1.15.0")),
    case(1, "warning PrimaryUntested", "v1.99.0", "name: vpc-cni",
         m.chain(), m.eksctl(addons=[{"name": "vpc-cni", "version": "v1.99.0"}])),
    case(2, "warning IstioCniPresent", "02-istio-cni", "chart: cni",
         m.application("https://istio-release.storage.googleapis.com/charts", "cni")),
    case(2, "warning IstioCniPresent", "istio-cni-node", "kind: IstioCNI",
         m.body("sailoperator.io/v1", "IstioCNI", "default", spec={"namespace": "istio-cni"})),
    case(2, "warning IstioCniPresent", "istio-cni-node", "name: istio-cni-node", m.daemon_set("istio-cni-node",
         "istio")),
    case(2, "warning LinkerdCniPresent", "every conflist", "chart: linkerd2-cni",
         m.helm_release("linkerd2-cni", "linkerd-cni")),
    case(2, "warning KumaCniPresent", "sorts first", "chart: kuma", m.helm_release("kuma", "kuma",
         cni={"enabled": True})),
    case(2, "warning MultusPresent", "00-multus.conf", "name: kube-multus-ds", m.daemon_set("kube-multus-ds")),
    # 4, 6 nodes that start open, or never open
    case(4, "warning StartupTaintMissing", "node group workers", "name: workers",
         m.eksctl(managedNodeGroups=[{"name": "workers"}])),
    case(6, "warning StartupTaintMissing", "general without the taint", "spec:", m.node_pool()),
    case(6, "warning StartupTaintMissing", "lasting one", "spec:", m.node_pool(taints=[m.TAINT])),
    case(6, "warning TolerationMissing", "no Cilium starts", "tolerations:",
         m.values(tolerations=[{"key": "dedicated", "operator": "Exists"}])),
    # 7, 9 values that are the operator's
    case(7, "error ReservedValue", "spec.unmanagedPods.action", "restart: true",
         m.values(operator={"unmanagedPodWatcher": {"restart": True}})),
    case(8, "warning DeletionUnprotected", "taken off every node", "deletionPolicy: Uninstall",
         m.chain(deletionPolicy="Uninstall")),
    case(8, "warning DeletionUnprotected", "Application app", "metadata:", m.chain(),
         m.application("https://git.example.com", path=".", syncPolicy={"automated": {"prune": True}})),
    case(8, "warning DeletionUnprotected", "Kustomization net", "metadata:",
         m.chain(annotations={"argocd.argoproj.io/sync-options": "Prune=false"}),
         m.body("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "net", spec={"prune": True, "path": "./"})),
    case(9, "error ReservedValue", "whenever an agent's pod stops", "uninstall: true",
         m.values(cni={"uninstall": True})),
    # 10 pods with security groups
    case(10, "warning PodSecurityGroups", "vlanBypass", "name: ENABLE_POD_ENI", m.aws_node(**ENI),
         beside="EarlyDemuxOn"),
    case(10, "warning EarlyDemuxOn", "aws-vpc-cni-init", "configurationValues", m.add_on(env=ENI),
         beside="PodSecurityGroups"),
    case(10, "warning PodSecurityGroups", "branch interfaces", "spec:",
         m.body("vpcresources.k8s.aws/v1beta1", "SecurityGroupPolicy", "db", "app", spec={"podSelector": {}})),
    # 11 layer 7
    case(11, "warning Layer7InChain", "rules for http", "toPorts:", m.egress(ingress=[
        {"toPorts": [{"ports": [{"port": "80"}], "rules": {"http": [{"method": "GET"}]}}]}])),
    case(11, "warning Layer7InChain", "toFQDNs", "toFQDNs:",
         m.egress(m.TO_AGENT, {"toFQDNs": [{"matchName": "example.com"}]})),
    # 12 versions
    case(12, "error UpgradeSkipsMinor", "1.18 first", "version: 1.20.0", m.chain(), installed="1.17.18"),
    case(12, "error LatestPatchFirst", "1.19.6 first", "version: 1.20.0", m.chain(), installed="1.19.1"),
    case(12, "error VersionUnknown", "1.20.99", "version: 1.20.99", m.chain(cilium={"version": "1.20.99"})),
    # 13 flags that were wrong
    case(13, "warning ValuesUntested", "by mistake", "enabled: true", m.values(endpointRoutes={"enabled": True})),
    case(13, "error ReservedValue", "renames the primary's conflist", "exclusive: true",
         m.values(cni={"exclusive": True})),
    case(13, "error ReservedValue", "chainingMode", "chainingMode: generic-veth",
         m.values(cni={"chainingMode": "generic-veth"}), beside="ChainingModeUnsafe"),
    case(13, "error VethPrefixChanged", "endpointRoutes", "name: AWS_VPC_K8S_CNI_VETHPREFIX",
         m.values(endpointRoutes={"enabled": True}), m.aws_node(AWS_VPC_K8S_CNI_VETHPREFIX="veth"),
         beside="ValuesUntested"),
    # 14 Bottlerocket
    case(14, "warning HostRoutingUnsafe", "hostLegacyRouting", "amiSelectorTerms:", m.chain(), m.body(
        "karpenter.k8s.aws/v1", "EC2NodeClass", "default", spec={"amiSelectorTerms": [{"alias": "bottlerocket@v1"}]})),
    case(14, "warning HostRoutingUnsafe", "node group workers", "amiFamily: Bottlerocket", m.chain(), m.eksctl(
        managedNodeGroups=[{"name": "workers", "amiFamily": "Bottlerocket", "taints": [m.TAINT]}])),
    # 15 addresses
    case(15, "warning AddressOverlap", "Services use 10.100.0.0/16", "serviceIPv4CIDR: 10.100.0.0/16",
         m.chain(), m.eksctl(kubernetesNetworkConfig={"serviceIPv4CIDR": "10.100.0.0/16"})),
    case(15, "warning AddressOverlap", "nodes use 10.42.0.0/16", "cidr: 10.42.0.0/16",
         m.chain(), m.eksctl(vpc={"cidr": "10.42.0.0/16"})),
    case(15, "warning AddressOverlap", "Services use", "cidrs:", m.chain(), m.body(
        "networking.k8s.io/v1", "ServiceCIDR", "kubernetes", spec={"cidrs": ["10.100.0.0/16"]})),
    case(15, "error ReservedValue", "assigns the addresses", "mode: cluster-pool",
         m.values(ipam={"mode": "cluster-pool"})),
    case(15, "error ReservedValue", "15596", "encryption:", m.values(encryption={"enabled": True})),
    # 16 certificates and second writers
    case(16, "error ReservedValue", "certificates", "enabled: true",
         m.values(hubble={"tls": {"auto": {"enabled": True}}})),
    case(16, "error DriftFight", "take it out of Git", "name: hubble-server-certs",
         m.body("v1", "Secret", "hubble-server-certs", "kube-system", data={})),
    # 17 Argo CD
    case(17, "warning ArgoCdIdentities", "resource.exclusions", "data:", m.argocd_cm()),
    case(17, "warning ArgoCdLabelTracking", "instance", "data:", m.argocd_cm(**{
        "resource.exclusions": "CiliumIdentity", "application.resourceTrackingMethod": "label"})),
    case(17, "warning ArgoCdIdentities", "resource.exclusions", "chart: argo-cd",
         m.helm_release("argo-cd", "argocd", "7.9.1")),
    case(17, "warning ArgoCdIdentities", "resource.exclusions", "chart: argo-cd",
         m.helm_release("argo-cd", "argocd", "8.0.0", configs={"cm": {"resource.exclusions": "kinds: [Lease]"}})),
    # 18 settings of the VPC CNI
    case(18, "warning PrimaryEditedDirectly", '{"env": {"WARM_IP_TARGET": "2"}}', "name: WARM_IP_TARGET",
         m.aws_node(WARM_IP_TARGET="2"), m.add_on()),
    case(18, "warning PrimaryEditedDirectly", "WARM_ENI_TARGET", "patch:", m.body(
        "kustomize.config.k8s.io/v1beta1", "Kustomization", "k", patches=[
            {"patch": m.text(m.patch_of_aws_node(WARM_ENI_TARGET="1")), "target": {"name": "aws-node"}}])),
    case(18, "warning PrimaryEditedDirectly", '{"init": {"env": {"DISABLE_TCP_EARLY_DEMUX": "true"}}}', "patch:",
         m.body("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "k", spec={"patches": [
             {"patch": m.text(m.patch_of_aws_node("aws-vpc-cni-init", DISABLE_TCP_EARLY_DEMUX="true"))}]})),
    # 19 Pod Identity
    case(19, "warning PodIdentityAgent", "lose their credentials", "egress:", m.egress(m.TO_DNS),
         m.add_on("eks-pod-identity-agent")),
    case(19, "warning PodIdentityAgent", "A CIDR does not cover it", "egress:",
         m.network_policy({"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}]}),
         m.daemon_set("eks-pod-identity-agent")),
    case(19, "warning PodIdentityAgent", "lose", "egress:", m.egress(
        m.TO_DNS, kind="CiliumClusterwideNetworkPolicy", selector={}),
        m.body("eks.services.k8s.aws/v1alpha1", "PodIdentityAssociation", "a", "app", spec={})),
    case(19, "note PodIdentityAgent", "if pods that it selects use", "egress:", m.egress(m.TO_DNS)),
    # 20 cost
    case(20, "warning HubbleCostly", "sourceContext=pod", "enabled:", m.values(
        hubble={"metrics": {"enabled": ["flow:sourceContext=pod"]}}), beside="ReservedValue"),
    case(20, "warning HubbleCostly", "destination_ip", "content:", m.values(hubble={"metrics": {"dynamic": {"config": {
        "content": [{"name": "flow", "contextOptions": [{"name": "labelsContext", "value": "destination_ip"}]}]}}}})),
    case(20, "warning HubbleCostly", "every packet", "monitorAggregation: none",
         m.values(bpf={"monitorAggregation": "none"})),
    # 21 nodes that cannot be chained
    case(21, "error NoNodesInScope", "compute-type=fargate", "selector:",
         m.chain(nodes={"selector": {"eks.amazonaws.com/compute-type": "fargate"}})),
    case(21, "error NoNodesInScope", "os=windows", "selector:",
         m.chain(nodes={"selector": {"kubernetes.io/os": "windows"}})),
    # 22 a mode that is guessed
    case(22, "error ReservedValue", "assigns the addresses", "enabled: true", m.values(eni={"enabled": True})),
    case(22, "error FeatureNotAvailable", "cannot chain after", "plugin: azure-cni",
         m.chain(primary={"plugin": "azure-cni"})),
    # Beside the list: form, engines, second installations, webhooks, address families
    case(0, "error SpecInvalid", "spec.cilium.version", "version: latest", m.chain(cilium={"version": "latest"})),
    case(0, "error SpecInvalid", "spec.hubbel", "hubbel:", m.chain(hubbel={})),
    case(0, "error SpecInvalid", "v1beta1", "apiVersion", {**m.chain(), "apiVersion": "cnichain.io/v1beta1"}),
    case(0, "error NotSingleton", "its name is 'default'", "name: prod", m.chain("prod")),
    case(0, "error NotSingleton", "also in chain.yaml:1", "name: default", m.chain(), m.chain()),
    case(0, "error TwoPolicyEngines", "Calico enforces wherever", "enabled: true", m.chain(**CALICO),
         beside="KnownTrap"),
    case(0, "warning KnownTrap", "nobody is known to test", "cilium:", m.chain(**CALICO, policyEngine="Calico"),
         m.network_policy({"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}]}), m.add_on("eks-pod-identity-agent")),
    case(0, "error PolicyEngineNotEnabled", "not true", "policyEngine: Calico", m.chain(policyEngine="Calico")),
    case(0, "warning PolicyEnginesOverlap", "each", "configurationValues", m.chain(),
         m.add_on(enableNetworkPolicy="true")),
    case(0, "warning PolicyEnginesOverlap", "each", "chart: tigera-operator", m.chain(),
         m.helm_release("tigera-operator", "tigera-operator")),
    case(0, "error PolicyEnginesTooMany", "would all enforce", "configurationValues", m.chain(),
         m.add_on(enableNetworkPolicy="true"), m.daemon_set("calico-node", "calico-system"),
         beside="PolicyEnginesOverlap"),
    case(0, "error TwoTigeraOperators", "one/tigera-operator, two/tigera-operator", "namespace: two",
         *(m.body("apps/v1", "Deployment", "tigera-operator", space, spec={}) for space in ("one", "two"))),
    case(0, "error CalicoDataplaneConflict", "eBPF", "bpfEnabled: true", m.body(
        "crd.projectcalico.org/v1", "FelixConfiguration", "default", spec={"bpfEnabled": True})),
    case(0, "error CalicoDataplaneConflict", "eBPF", "linuxDataplane: BPF", m.body(
        "operator.tigera.io/v1", "Installation", "default", spec={"calicoNetwork": {"linuxDataplane": "BPF"}})),
    case(0, "warning PrimaryPolicyStrict", "strict", "name: NETWORK_POLICY_ENFORCING_MODE",
         m.aws_node(NETWORK_POLICY_ENFORCING_MODE="strict")),
    case(0, "error Ipv6NotEnabled", "drops", "configurationValues", m.chain(), m.add_on(env={"ENABLE_IPv6": "true"}),
         beside="EgressInterfaceUnmanaged"),
    case(0, "error KernelTooOld", "old-1 with Linux 4.14.355", "status:", m.chain(), m.body("v1", "List", "", items=[
        m.node("old-1", "4.14.355", "Amazon Linux 2")])),
    case(0, "warning NodeOSUnsupported", "AWS does not support", "status:", m.chain(),
         m.node("u", "5.15.0-1070-aws", "Ubuntu 20.04.6 LTS")),
    case(0, "error EksAutoMode", "nothing can be chained", "enabled: true", m.eksctl(autoModeConfig={"enabled": True})),
    case(0, "error SecondCilium", "into networking", "chart: cilium", m.helm_release("cilium", "networking")),
    case(0, "error ForeignObject", "into kube-system", "chart: cilium",
         m.application("https://helm.cilium.io", "cilium", namespace="kube-system")),
    case(0, "error ForeignObject", "installs Cilium's chart", "chart: oci",
         m.body("helm.cattle.io/v1", "HelmChart", "c", "kube-system",
         spec={"chart": "oci://quay.io/cilium/charts/cilium"})),
    case(0, "warning CiliumOfOthers", "another installation", "name: cilium", m.daemon_set("cilium")),
    case(0, "warning WebhookMayBlock", "pods of kube-system", "webhooks:", m.webhook()),
    case(0, "error KubeProxyIPVS", "ipvs", "data:", m.chain(), m.body("v1", "ConfigMap", "kube-proxy-config",
         "kube-system",
         data={"config": "kind: KubeProxyConfiguration\nmode: ipvs\n"})),
    case(0, "error ClusterIdUnusable", "128 to 255", "cluster:", m.values(cluster={"name": "a", "id": 200})),
    case(0, "note ReleaseUnmaintained", "1.17", "cilium:", m.chain(cilium={"version": "1.17.18"})),
    case(0, "warning ValueMoved", "hubble.relay.dialTimeout", "dialTimeout: 5s",
         m.values(hubble={"relay": {"dialTimeout": "5s"}})),
]  # fmt: skip


def look(*documents: Any, installed: str = "", kubernetes: str = "") -> tuple[list[Problem], str]:
    text = m.text(*documents)
    parsed, unreadable, others = parse(text, "chain.yaml")
    assert (unreadable, others) == ([], 0), "the documents of a test are readable objects"
    found = analyze(parsed, CATALOGUE, installed=installed, kubernetes=kubernetes)
    assert not found.unreadable, found.unreadable
    return list(found.problems), text


@pytest.mark.parametrize("given", MISTAKES)
def test_the_mistake_is_found_with_its_code_in_its_place_and_nothing_else(given: Case) -> None:
    problems, text = look(*given.documents, installed=given.installed)
    told = [f"{item.severity} {item.reason}:{item.line} {item.message}" for item in problems]
    mine = [item for item in problems if f"{item.severity} {item.reason}" == given.found and given.said in item.message]
    assert len(mine) == 1, told
    line = text.splitlines()[mine[0].line - 1]
    assert given.at in line, f"line {mine[0].line} is {line!r}, in:\n{text}"
    assert mine[0].fix, f"{mine[0].reason} says what is wrong and not what to do"
    others = {item.reason for item in problems if item is not mine[0]}
    assert others == set(given.beside), told


FINE = {
    "a NodePool that starts closed": [m.chain(), m.node_pool(startup=[m.TAINT])],
    "no taint is wanted": [m.chain(nodes={"startupTaint": False}), m.node_pool()],
    "a node group that starts closed": [m.eksctl(managedNodeGroups=[{"name": "a", "taints": [m.TAINT]}])],
    "a node group of eksctl with the older form of taints": [
        m.eksctl(nodeGroups=[{"name": "a", "taints": {"cnichain.io/chain-not-ready": "true:NoSchedule"}}])
    ],
    "Bottlerocket with legacy routing": [
        m.values(bpf={"hostLegacyRouting": True}),
        m.eksctl(managedNodeGroups=[{"name": "a", "amiFamily": "Bottlerocket", "taints": [m.TAINT]}]),
    ],
    "a webhook that leaves kube-system out": [
        m.webhook({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}]})
    ],
    "a webhook that lets pass when it is down": [m.webhook(policy="Ignore")],
    "argocd-cm as Argo CD 3 ships it": [m.argocd_cm(**{"resource.exclusions": "kinds: [CiliumIdentity]"})],
    "the chart of Argo CD 3": [m.helm_release("argo-cd", "argocd", "8.1.0")],
    "the chart of Argo CD in any version": [m.helm_release("argo-cd", "argocd", ">=1.0.0")],
    "a patch of argocd-cm": [m.body("v1", "ConfigMap", "argocd-cm", data={"resource.customizations.health.x": "y"})],
    "an add-on with harmless settings": [m.chain(), m.add_on(env={"WARM_IP_TARGET": "2"})],
    "an aws-node that no add-on owns": [m.chain(), m.aws_node(WARM_IP_TARGET="2")],
    "the next minor from the latest patch": [m.chain()],
    "protected against pruning by Argo CD": [
        m.chain(deletionPolicy="Uninstall",
        annotations={"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}),
        m.application("https://git.example.com", path="clusters", syncPolicy={"automated": {"prune": True}}),
    ],
    "protected against pruning by Flux": [
        m.chain(annotations={"kustomize.toolkit.fluxcd.io/prune": "disabled"}),
        m.body("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "net", spec={"prune": True, "path": "./"}),
    ],
    "pruning of another folder": [
        m.chain(), m.application("https://git.example.com", path="apps", syncPolicy={"automated": {"prune": True}}),
    ],
    "egress to the Pod Identity agent": [m.egress(m.TO_DNS, m.TO_AGENT), m.add_on("eks-pod-identity-agent")],
    "egress to the agent by a policy for all pods": [
        m.egress(m.TO_DNS), m.add_on("eks-pod-identity-agent"),
        m.egress(m.TO_AGENT, kind="CiliumClusterwideNetworkPolicy", selector={"matchLabels": {}}),
    ],
    "a policy that does not close egress": [
        m.egress(m.TO_DNS, enableDefaultDeny={"egress": False}), m.add_on("eks-pod-identity-agent"),
    ],
    "a NetworkPolicy that leaves egress alone": [
        m.body("networking.k8s.io/v1", "NetworkPolicy", "p", "a", spec={"podSelector": {}, "ingress": []}),
        m.add_on("eks-pod-identity-agent"),
    ],
    "a NetworkPolicy to anywhere on port 80": [
        m.network_policy({"ports": [{"port": 80}]}), m.add_on("eks-pod-identity-agent"),
    ],
    "metrics by workload": [m.values(hubble={"metrics": {"dynamic": {"config": {"content": [
        {"name": "flow", "contextOptions": [{"name": "sourceContext", "value": "workload-name"}]}]}}}})],
    "read from a cluster": [
        m.body("v1", "ConfigMap", "cilium-config", "kube-system",
        metadata={"labels": {"cnichain.io/owner": "default"}}),
    ],
    "objects of the same names elsewhere": [m.body("v1", "ConfigMap", "cilium-config", "other", data={})],
    "Istio's other charts": [m.application("https://istio-release.storage.googleapis.com/charts", "istiod")],
    "Kuma without its CNI": [m.helm_release("kuma", "kuma")],
}  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_what_is_right_is_left_alone(name: str) -> None:
    problems, text = look(*FINE[name], installed="1.19.6")
    assert [f"{item.reason}: {item.message}" for item in problems] == [], text


def test_every_row_that_a_manifest_can_show_has_a_case() -> None:
    rows = {param.values[0].row for param in MISTAKES} - {0}
    assert rows == set(range(1, 25)) - {3, 5, 23, 24}, "docs/analyze.md says why those four cannot be seen"


def test_the_page_names_for_each_row_what_is_found() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    lines = lines[lines.index("## The mistakes that users make") :]
    rows = {int(match[1]): match[0] for line in lines if (match := re.match(r"\| (\d+) \|.*", line))}
    assert sorted(rows) == list(range(1, 25))
    beside = "\n".join(lines[lines.index("Beside the list:") :])
    for param in MISTAKES:
        given = param.values[0]
        code = given.found.partition(" ")[2]
        assert f"`{code}`" in (rows[given.row] if given.row else "\n".join([*rows.values(), beside])), given.found
    known = {reason.value for reason in REASONS}
    named = set(re.findall(r"`([A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+)`", "\n".join([*rows.values(), beside])))
    assert named - known <= {"SecurityGroupPolicies"}, f"codes that do not exist: {named - known}"


def test_codes_are_those_of_the_registry_and_severity_follows_what_the_operator_does() -> None:
    """What the operator would stall for is an error here, and no warning of the operator's is one."""
    for param in MISTAKES:
        level, _, code = param.values[0].found.partition(" ")
        info = next(about for reason, about in REASONS.items() if reason.value == code)
        if level == "error":
            assert info.terminal or code in {"DriftFight", "NoNodesInScope"}, code


def test_the_clusters_kubernetes_is_checked_when_it_is_named() -> None:
    problems, _ = look(m.chain(), kubernetes="1.28")
    assert [item.reason for item in problems] == ["KubernetesUntested"]
