"""The part of the registry of reason codes that is about manifests, and settings that only they show."""

from cnichain.api.reasons_node import ReasonInfo, info

MANIFEST_REASONS: dict[str, ReasonInfo] = {
    "DeletionUnprotected": info(
        "A tool prunes what is gone from Git, and nothing keeps it from deleting the CNIChain after a slip. With "
        "`deletionPolicy: Uninstall` that takes Cilium off every node; with Retain nobody looks after the chain any "
        "more.",
        "Annotate the CNIChain: `argocd.argoproj.io/sync-options: Prune=false,Delete=false` for Argo CD, "
        "`kustomize.toolkit.fluxcd.io/prune: disabled` for Flux.",
    ),
    "PrimaryEditedDirectly": info(
        "Settings of the VPC CNI are changed on the DaemonSet `aws-node` itself. The EKS add-on owns those fields: its "
        "next update stops with a conflict, or drops them without a word.",
        "Move the settings that the message names into `configurationValues` of the vpc-cni add-on.",
    ),
    "Layer7InChain": info(
        "The policy has rules for layer 7 or for DNS names, which send traffic through Cilium's proxy. Cilium's guide "
        "for chaining lists them as limited, and upstream does not test them behind the VPC CNI.",
        "Prefer ports, labels and entities; else try this very policy on one node first, and look at the verdicts.",
    ),
    "HubbleCostly": info(
        "The values make Hubble costly: metrics with a series for every pod or address grow without bound, and without "
        "aggregation every packet becomes an event.",
        "Use workload or namespace contexts (`labelsContext=source_namespace,destination_namespace`), and leave "
        "`bpf.monitorAggregation` at medium.",
    ),
    "TolerationMissing": info(
        "The values give Cilium's pods a list of tolerations without one for the startup taint. A node that starts "
        "with `cnichain.io/chain-not-ready` gets no Cilium then, and stays closed for ever.",
        "Take the list out of the values, since the chart tolerates everything; or add "
        "`{key: cnichain.io/chain-not-ready, operator: Exists}`.",
    ),
    "HostRoutingUnsafe": info(
        "Nodes run Bottlerocket, whose kernel lets Cilium choose BPF host routing. Behind the VPC CNI the kubelet then "
        "does not reach pods (cilium issue 20677).",
        "Set `bpf.hostLegacyRouting: true` in `spec.cilium.values`.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
