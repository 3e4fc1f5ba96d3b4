"""The part of the registry of reason codes that comes from the catalogue and from the values of the chart."""

from cnichain.api.reasons_node import ReasonInfo, info

CATALOGUE_REASONS: dict[str, ReasonInfo] = {
    "CatalogueValid": info("The catalogue that is in force has been read.", warning=False),
    "CatalogueInvalid": info(
        "The file given by `--catalogue`, or the ConfigMap `cnichain-catalogue`, cannot be read or does not have the "
        "catalogue's form. With a bad file the operator does not start; a bad ConfigMap is left aside as a whole.",
        "Correct the field that the message names; `cnichain catalogue -o yaml` shows the form.",
    ),
    "CombinationSupported": info("Someone upstream tests the parts together.", warning=False),
    "KubernetesUntested": info(
        "The cluster's Kubernetes minor is not among those that upstream tests the release on. It may well work.",
        "Prefer a release that is tested on it: `cnichain catalogue` lists them. Nothing is held back.",
    ),
    "KernelTooOld": info(
        "Nodes in scope run a Linux kernel that is older than the oldest this Cilium runs on: its agents would not "
        "start there, and every new pod on these nodes would fail.",
        "Replace the nodes that the message names by ones with a newer image, leave them out by "
        "`spec.nodes.selector`, or choose an older Cilium.",
        terminal=True,
    ),
    "KernelUntested": info(
        "Nodes in scope run a vendor's kernel that is older by number and has parts of newer ones.",
        "Try one of these nodes first, or replace them by ones with a newer image.",
    ),
    "NodeOSUnsupported": info(
        "Nodes in scope run an operating system on which this Cilium is known not to work.",
        "Replace the nodes that the message names by ones with a newer image, leave them out by "
        "`spec.nodes.selector`, or choose an older Cilium.",
        terminal=True,
    ),
    "KubeProxyIPVS": info(
        "kube-proxy runs in the mode ipvs, with which the agents of this Cilium do not get past their start.",
        "Set kube-proxy to iptables first (on EKS: the configuration of the kube-proxy add-on), or stay on an older "
        "minor of Cilium.",
        terminal=True,
    ),
    "ClusterIdUnusable": info(
        "The cluster id shares bits of the packet mark with the VPC CNI, so that policy drops wrong packets.",
        "Choose `cluster.id` from 1 to 127 or from 256 to 383.",
        terminal=True,
    ),
    "ChainingModeUnsafe": info(
        "The chaining mode is not the one for this primary CNI: every agent would delete the primary's iptables rules.",
        "Use the primary's own mode; for the VPC CNI it is aws-cni.",
        terminal=True,
    ),
    "CalicoDataplaneConflict": info(
        "Calico's eBPF dataplane and Cilium both attach programs to the same interfaces of pods.",
        "Set `linuxDataplane: Iptables` in Calico's Installation.",
        terminal=True,
    ),
    "PolicyEnginesOverlap": info(
        "More than one engine enforces NetworkPolicy, so that a connection needs the consent of each of them and no "
        "engine's view of a drop is the whole truth.",
        "Leave one engine on: switch off `enableNetworkPolicy` of the vpc-cni add-on, or do without Calico.",
    ),
    "PolicyEnginesTooMany": info(
        "Three engines enforce NetworkPolicy: the VPC CNI's network policy agent, Cilium and Calico.",
        "Leave one engine on: switch off `enableNetworkPolicy` of the vpc-cni add-on, and do without Calico or without "
        "`k8sNetworkPolicy` of Cilium.",
        terminal=True,
    ),
    "PodSecurityGroups": info(
        "Pods with security groups of their own have branch interfaces, on which chaining has had many bugs.",
        "Try pods with security groups first. Calico enforces no policy on them.",
    ),
    "ValuesUntested": info(
        "The values ask for something that has an open bug in this Cilium.",
        "Read the issue that the message names before you rely on it.",
    ),
    "PrimaryUntested": info(
        "The primary CNI is newer than any that this release of the catalogue was made with. It may well work.",
        "Upgrade the operator when a release knows it. Nothing is held back.",
    ),
    "CalicoUntested": info(
        "The Calico in the cluster is not in the catalogue.", "Use a version that `cnichain catalogue` lists."
    ),
    "KnownTrap": info("Something is special about the version; the message says what.", warning=False),
    "ReleaseUnmaintained": info(
        "Upstream makes patch releases of the three newest minors only, and this is an older one.",
        "Plan the upgrade to the next minor, one at a time.",
    ),
    "ValueRemoved": info(
        "`spec.cilium.values` asks for something that the wanted minor of Cilium does not have any more, and the chart "
        "would leave it out without a word.",
        "Take the key that the message names out of the values, or stay on the older minor.",
        terminal=True,
    ),
    "ValueAmbiguous": info(
        "`spec.cilium.values` has a value both at the place that older minors read and at the one that newer minors "
        "read, and the two differ.",
        "Keep one of the two keys that the message names.",
        terminal=True,
    ),
    "ValueIgnored": info(
        "`spec.cilium.values` has a key that the wanted minor of Cilium does not read any more; nothing is lost by it.",
        "Take the key that the message names out of the values.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
