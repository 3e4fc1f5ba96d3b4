"""A cluster as evidence has it: every section filled, with some of everything that an auditor asks about."""

from dataclasses import replace
from typing import Any

from cnichain.evidence.gaps import OFF_NETWORK, POD_IDENTITY, SECURITY_GROUP, UNMANAGED, UNSELECTED, with_gaps
from cnichain.evidence.model import (
    CertificateFact,
    ChainFact,
    Cluster,
    ConditionFact,
    Evidence,
    ExporterFact,
    ExportFact,
    ImageFact,
    Inventory,
    NamespaceFact,
    NodeFact,
    PodFact,
    PolicyFact,
    VerdictFact,
)

CREATED = "2026-11-28T12:00:00Z"
DIGEST = f"sha256:{'3f' * 32}"
CHAIN = "aws-cni, egress-cni, portmap, cilium-cni"


def sample(**changes: Any) -> Evidence:
    """The evidence with some of its fields replaced, and its gaps found anew."""
    return with_gaps(replace(_sample(), **changes))


def healthy() -> Evidence:
    """A cluster in which no gap is found."""
    whole = _sample()
    nodes = tuple(node for node in whole.nodes if node.verified)
    spaces = tuple(replace(one, unselected=0) for one in whole.policies.namespaces)
    policies = replace(whole.policies, namespaces=spaces)
    images = tuple(replace(one, pinned=True, known=True) for one in whole.images)
    verdicts = replace(whole.verdicts, answered=3, unread={})
    certificates = tuple(replace(one, not_after="2029-01-01T00:00:00Z") for one in whole.certificates)
    return sample(
        nodes=nodes, policies=policies, images=images, verdicts=verdicts, certificates=certificates, pods={}, unread=()
    )


def _node(name: str, **more: Any) -> NodeFact:
    well = {"verified": True, "state": "InSync", "chain": CHAIN, "file": "05-cilium.conflist", "digest": DIGEST}
    return NodeFact(name, runtime="Verified", agent="0.1.0", since="2026-11-20T08:00:00Z", pods=17, **{**well, **more})


def _sample() -> Evidence:
    spec = {
        "cilium": {"version": "1.20.0"},
        "hubble": {"export": {"profile": "denied"}},
        "conflist": {"onCiliumDown": "Closed"},
    }
    effective = {
        "primary": "aws-vpc-cni",
        "policyEngine": "Cilium",
        "onCiliumDown": "Closed",
        "valuesDigest": f"sha256:{'a1' * 32}",
    }
    versions = {
        "operator": "0.1.0",
        "primary": "v1.19.0-eksbuild.1",
        "cilium": "1.20.0",
        "chartDigest": f"sha256:{'77' * 32}",
        "chartSource": "official",
    }
    conditions = (
        ConditionFact("Ready", "True", "Ready", "Chained after aws-vpc-cni v1.19.0.", "2026-11-20T08:10:00Z"),
        ConditionFact("PodsManaged", "False", "UnmanagedPods", "2 pods are unmanaged.", "2026-11-27T09:00:00Z"),
    )
    kinds = {"NetworkPolicy": 3, "CiliumNetworkPolicy": 1, "CiliumClusterwideNetworkPolicy": 2}
    return Evidence(
        created=CREATED,
        tool="0.1.0",
        cluster=Cluster("v1.34.1-eks-1", "1f0e2d3c-0000-4000-8000-123456789abc", 5, 71),
        chain=ChainFact("default", "u", 4, 4, spec, ("bpf.masquerade", "podLabels.team"), effective, versions,
                        conditions, f"sha256:{'5c' * 32}"),
        images=(
            ImageFact("DaemonSet kube-system/cilium", f"quay.io/cilium/cilium:v1.20.0@{DIGEST}", True, True),
            ImageFact("DaemonSet kube-system/aws-node", "example.com/amazon-k8s-cni:v1.19.0", False, True),
        ),
        nodes=(
            _node("ip-10-0-1-17.eu-central-1.compute.internal"),
            _node("ip-10-0-2-9.eu-central-1.compute.internal"),
            _node("ip-10-0-3-4.eu-central-1.compute.internal", verified=False, state="WaitCilium",
                  reason="PluginBinaryMissing", digest=""),
            NodeFact("fargate-ip-10-0-9-1.eu-central-1.compute.internal", kind="Fargate", pods=1),
            NodeFact("win-1", kind="Windows", pods=6),
        ),
        policies=Inventory(
            kinds,
            (
                PolicyFact("CiliumClusterwideNetworkPolicy", "", "cnichain-baseline-dns", f"sha256:{'0d' * 32}", 48),
                PolicyFact("NetworkPolicy", "shop", "allow-web", f"sha256:{'0e' * 32}", 4),
            ),
            (
                NamespaceFact("default", 6, 0, 0, 6, {}),
                NamespaceFact("shop", 24, 24, 22, 0, {"NetworkPolicy": 3, "CiliumNetworkPolicy": 1}),
            ),
        ),
        verdicts=VerdictFact(3, 2, {"FORWARDED": 1834220, "DROPPED": 412}, {"POLICY_DENIED": 409, "CT_MAP": 3},
                             {"ip-10-0-3-4.eu-central-1.compute.internal": "port 9965 does not answer within 2 s"}),
        export=ExportFact(
            "denied",
            (
                ExporterFact("cnichain", "/var/run/cilium/hubble/events.log", True,
                             ({"verdict": ["DROPPED", "ERROR", "AUDIT"]},), (), 10, 5),
            ),
            {"enable-policy": "default", "hubble-metrics": "dns drop tcp flow"},
        ),
        certificates=(
            CertificateFact("hubble-server-certs", "tls.crt", "CN=*.default.hubble-grpc.cilium.io", "CN=Cilium CA",
                            ("*.default.hubble-grpc.cilium.io",), "2025-12-01T00:00:00Z", "2026-12-10T00:00:00Z",
                            "4f2a", f"sha256:{'ee' * 32}"),
        ),
        pods={
            OFF_NETWORK: tuple(PodFact("kube-system", f"cilium-{one}", "n") for one in ("x7k2p", "9qwtz", "m4c8d")),
            UNMANAGED: (PodFact("shop", "web-6d4c9b7f5-2xkqp", "n", "started before the chain was verified"),),
            SECURITY_GROUP: (PodFact("pay", "card-0", "n"),),
            UNSELECTED: tuple(PodFact("default", f"tool-{one}", "n") for one in range(6)),
            POD_IDENTITY: (PodFact("shop", "orders-5f7d8", "n"),),
        },
        managed=48,
        unread=('get Secret kube-system/cilium-ca: secrets "cilium-ca" is forbidden',),
    )  # fmt: skip
