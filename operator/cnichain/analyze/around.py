"""Problems of what is around the chain: primary CNI, nodes, other programs, addresses. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cnichain.analyze.basis import Basis
from cnichain.analyze.calico import CALICO_NODE, calico_places, calico_problems
from cnichain.analyze.documents import Part, at, mapping, sequence, text
from cnichain.analyze.gitops import argo_config
from cnichain.analyze.nodegroups import node_groups
from cnichain.analyze.problem import Problem, Severity, problem
from cnichain.analyze.sources import Sources
from cnichain.api.names import CILIUM_NAMESPACE, STARTUP_TAINT
from cnichain.api.reasons import Reason
from cnichain.catalogue.facts import NodeSystem
from cnichain.preflight.gathered import NodesSeen, Unread
from cnichain.preflight.nodepools import node_pools_seen
from cnichain.preflight.project import (
    argo_cd,
    cidrs_of_pools,
    cidrs_of_services,
    kube_proxy_mode,
)
from cnichain.preflight.webhooks import webhooks_seen

NOT_IN_MANIFESTS = Unread("not in the manifests")
SETTING_CHECKS = ("egress-interface", "veth-prefix", "early-demux", "security-group-pods", "strict-mode")
"""About settings of the VPC CNI, whatever the CNIChain says."""
VARIABLES = {Reason.POD_SECURITY_GROUPS: "ENABLE_POD_ENI"}
"""What to point at where the message names no variable."""
CHAINER_CHECKS = ("multus", "istio-cni", "linkerd-cni", "kuma-cni", "second-cilium", "cilium-owner")
KUBE_PROXY = {"metadata": {"name": "kube-proxy"}, "spec": {"template": {"spec": {}}}}
"""A DaemonSet that stands for the one that a ConfigMap of kube-proxy is for."""
KUBE_PROXY_CONFIGS = ("kube-proxy-config", "kube-proxy")
SECURITY_GROUPS = ("SecurityGroupPolicy", "vpcresources.k8s.aws")


def around_problems(basis: Basis, sources: Sources) -> Iterator[Problem]:
    """Problems of what is around the chain."""
    yield from _of_primary(basis, sources)
    yield from _of_nodes(basis, sources)
    yield from _of_daemon_sets(basis, sources)
    yield from calico_problems(basis, sources)
    yield from _of_addresses(basis, sources)
    for document in [*sources.of("MutatingWebhookConfiguration", "admissionregistration.k8s.io"),
                     *sources.of("ValidatingWebhookConfiguration", "admissionregistration.k8s.io")]:  # fmt: skip
        seen = sources.read(document, webhooks_seen, [document.body], _system(sources))
        yield from basis.check(["webhooks"], document, "webhooks", gathered=basis.gathered(webhooks=seen or ()))
    for document, path, config in argo_config(sources):
        gathered = basis.gathered(argo_cd=argo_cd(config))
        yield from basis.check(["argocd-exclusions", "argocd-tracking"], document, *path, gathered=gathered)


def _system(sources: Sources) -> dict[str, Any]:
    """The namespace kube-system, with the label that the API server gives it."""
    given = [item.metadata for item in sources.of("Namespace") if item.name == CILIUM_NAMESPACE]
    labels = mapping(given[0].get("labels")) if given else {}
    return {"metadata": {"labels": {**labels, "kubernetes.io/metadata.name": CILIUM_NAMESPACE}}}


def _of_primary(basis: Basis, sources: Sources) -> Iterator[Problem]:
    for primary in sources.primaries:
        codes = [*SETTING_CHECKS, *(["primary", "primary-version"] if primary.versioned else [])]
        codes += ["ip-family"] if basis.chain else []
        for item in basis.check(codes, primary.document, *primary.path, primary_read=primary.daemon_set):
            told = f"{item.message} {VARIABLES.get(item.reason, '')}="
            named = [path for name, path in primary.places.items() if f"{name}=" in told]
            line = primary.document.line_of(*named[0]) if named else item.line
            yield replace(item, line=line)
        if basis.chain:
            gathered = basis.gathered(daemon_sets=CALICO_NODE if calico_places(sources) else ())
            changes = {"primary_read": primary.daemon_set, "gathered": gathered}
            yield from basis.check(["policy-engines"], primary.document, *primary.path, **changes)
    for document in sources.of(*SECURITY_GROUPS):
        said = "pods that it selects have branch interfaces of their own, on which chaining has had many bugs."
        yield problem(Severity.WARNING, Reason.POD_SECURITY_GROUPS, document, said, "spec")


def _of_nodes(basis: Basis, sources: Sources) -> Iterator[Problem]:
    for document in [*sources.of("NodePool", "karpenter.sh"), *sources.of("Provisioner", "karpenter.sh")]:
        body = {"metadata": {"name": document.name}, "spec": document.spec}
        if document.kind == "Provisioner":  # the older form, without a template
            body["spec"] = {"template": {"spec": document.spec}}
        pools = sources.read(document, node_pools_seen, [body])
        gathered = basis.gathered(node_pools=pools or ())
        yield from basis.check(["node-pools"], document, "spec", "template", "spec", "startupTaints", gathered=gathered)
    for group in node_groups(sources.documents):
        if group.starts_open and basis.subject.spec.nodes.startup_taint:
            said = (
                f"the node group {group.name} starts nodes without the taint {STARTUP_TAINT}: pods may start there "
                "before the chain is verified, past Cilium and its policies."
            )
            yield problem(Severity.WARNING, Reason.STARTUP_TAINT_MISSING, group.document, said, *group.path, "taints")
        if group.bottlerocket and basis.chain:
            nodes = NodesSeen(1, 1, systems=(NodeSystem("", "Bottlerocket", example=f"node group {group.name}"),))
            yield from basis.check(["host-routing"], group.document, *group.os_path, nodes_read=nodes)
    for document in sources.of("ClusterConfig", "eksctl.io"):
        groups = [*sequence(document.body.get("managedNodeGroups")), *sequence(document.body.get("nodeGroups"))]
        if at(document.body, "autoModeConfig", "enabled") is True and not groups:
            said = "EKS Auto Mode runs all nodes of this cluster, and nothing can be chained after its CNI."
            yield problem(Severity.ERROR, Reason.EKS_AUTO_MODE, document, said, "autoModeConfig", "enabled")
    for document in sources.of("Node"):
        info = mapping(at(document.body, "status", "nodeInfo"))
        system = NodeSystem(text(info.get("kernelVersion")), text(info.get("osImage")), example=document.name)
        codes = ["kernel", "host-routing"] if basis.chain else []
        yield from basis.check(codes, document, "status", nodes_read=NodesSeen(1, 1, systems=(system,)))
    configs = [item for item in sources.of("ConfigMap") if item.name in KUBE_PROXY_CONFIGS]
    for document in configs if basis.chain else []:
        mode = sources.read(document, kube_proxy_mode, [KUBE_PROXY], [document.body])
        gathered = basis.gathered(kube_proxy_mode=mode or NOT_IN_MANIFESTS)
        yield from basis.check(["kube-proxy"], document, "data", gathered=gathered)


def _of_daemon_sets(basis: Basis, sources: Sources) -> Iterator[Problem]:
    for found in sources.daemon_sets:
        gathered = basis.gathered(daemon_sets=(found.what,))
        yield from basis.check(CHAINER_CHECKS, found.document, *found.path, gathered=gathered)


def _of_addresses(basis: Basis, sources: Sources) -> Iterator[Problem]:
    """Ranges that overlap Cilium's own pool; told where the other range is declared."""
    if not basis.chain:
        return
    for document in sources.of("ServiceCIDR", "networking.k8s.io"):
        cidrs = sources.read(document, cidrs_of_services, [{"spec": document.spec}])
        gathered = basis.gathered(service_cidrs=cidrs or ())
        yield from basis.check(["addresses"], document, "spec", "cidrs", gathered=gathered)
    for document in sources.of("IPPool", "crd.projectcalico.org") + sources.of("IPPool", "projectcalico.org"):
        cidrs = sources.read(document, cidrs_of_pools, [{"spec": document.spec}])
        gathered = basis.gathered(ip_pools=cidrs or ())
        yield from basis.check(["addresses"], document, "spec", "cidr", gathered=gathered)
    for document in sources.of("ClusterConfig", "eksctl.io"):
        services = text(at(document.body, "kubernetesNetworkConfig", "serviceIPv4CIDR"))
        gathered = basis.gathered(service_cidrs=(services,) if services else ())
        path: tuple[Part, ...] = ("kubernetesNetworkConfig", "serviceIPv4CIDR")
        yield from basis.check(["addresses"], document, *path, gathered=gathered)
        network = text(at(document.body, "vpc", "cidr"))
        nodes = NodesSeen(networks=(network,) if network else ())
        yield from basis.check(["addresses"], document, "vpc", "cidr", nodes_read=nodes)
