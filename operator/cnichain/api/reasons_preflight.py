"""The part of the registry of reason codes that comes from looking at the cluster before a change."""

from cnichain.api.reasons_node import ReasonInfo, info

PREFLIGHT_REASONS: dict[str, ReasonInfo] = {
    "CheckNotPossible": info(
        "A check could not be made, since what it looks at may not be read.",
        "Give the permission that the message names, or make sure by hand. Nothing is held back.",
        warning=False,
    ),
    "EksAutoMode": info(
        "EKS Auto Mode runs the nodes. It has a CNI of its own, and AWS supports no other beside it.",
        "Use managed node groups or Karpenter for the nodes of the chain.",
        terminal=True,
    ),
    "Ipv6NotEnabled": info(
        "Pods have IPv6 addresses, and Cilium without `ipv6.enabled` drops their traffic.",
        "Set `ipv6.enabled: true` in `spec.cilium.values`.",
        terminal=True,
    ),
    "EgressInterfaceUnmanaged": info(
        "Pods reach the other address family through a second interface. Cilium manages the first one alone, so no "
        "policy holds there and Hubble does not see it.",
        "Switch it off in the configuration of the vpc-cni add-on, unless pods need it.",
    ),
    "VethPrefixChanged": info(
        "The VPC CNI gives pod interfaces another prefix than `eni`, which Cilium's rules for pod routes and Calico's "
        "Felix match by name.",
        "Set AWS_VPC_K8S_CNI_VETHPREFIX back to `eni` in the configuration of the vpc-cni add-on.",
        terminal=True,
    ),
    "PrimaryPolicyStrict": info(
        "The VPC CNI keeps each new pod closed until its own policy agent opens it.",
        "Set NETWORK_POLICY_ENFORCING_MODE to `standard` in the configuration of the vpc-cni add-on.",
    ),
    "EarlyDemuxOn": info(
        "The kubelet's TCP probes do not reach pods with security groups of their own, as the kernel hands the answers "
        "to the wrong interface.",
        "Set DISABLE_TCP_EARLY_DEMUX to `true` in the configuration of the vpc-cni add-on (`init.env`).",
    ),
    "PodIdentityAgent": info(
        "EKS Pod Identity serves credentials on the node itself. Cilium takes that address for the entity `host`, so "
        "an egress policy that allows addresses alone cuts pods off from AWS.",
        "Allow egress to the entity `host` on TCP port 80 for pods that use it, as deploy/policies/baseline does "
        "(docs/policies.md).",
    ),
    "MultusPresent": info(
        "Multus gives pods more interfaces than one. Cilium manages the default one alone.",
        "Let Multus delegate to the chained conflist (`--multus-master-cni-file-name=05-cilium.conflist`), and count "
        "on no policy on further interfaces.",
    ),
    "IstioCniPresent": info(
        "Istio's CNI plugin writes into the same folder and copies or edits the file that sorts first.",
        "Let it chain (`cni.chained: true`), and check that it stands behind cilium-cni. The agents keep its entry.",
    ),
    "LinkerdCniPresent": info(
        "Linkerd's CNI plugin adds itself to every conflist in the folder.",
        "Nothing, as a rule: its entry is kept by the agents. Look at `kubectl get cnichainnodes` after the change.",
    ),
    "KumaCniPresent": info(
        "Kuma's CNI plugin adds itself to the conflist that sorts first.",
        "Set `cni.chained: true` and `cni.confName` to 05-cilium.conflist in Kuma's chart.",
    ),
    "ForeignConflist": info(
        "On some nodes the container runtime picks a file that is neither the primary's nor the chained one: pods "
        "start there WITHOUT policy.",
        "Remove or rename the file that the message names, or take it into the chain.",
    ),
    "ForeignPlugin": info(
        "A plugin of another program is in the chain. It is kept where it stands.",
        "Nothing, if you know the program; else find who adds it.",
    ),
    "ConflistDropIns": info(
        "Files in a folder with the network's name: containerd 2.1 and later append them to the chain, older ones do "
        "not, so that nodes differ.",
        "Remove the files, or make sure that all nodes read them.",
    ),
    "TwoTigeraOperators": info(
        "There are two tigera-operators. Only the one whose namespace stands in the ConfigMap "
        "`calico-system/active-operator` works; the other exits for ever, and either may be the wrong one.",
        "Remove the one that is not wanted; older AWS guides installed one.",
        terminal=True,
    ),
    "SecondCilium": info(
        "Another installation of Cilium runs in another namespace. Two agents on a node destroy each other's state.",
        "Remove the other installation first.",
        terminal=True,
    ),
    "CiliumOfOthers": info(
        "Cilium is there already, and something else than CNIChain installed it.",
        "Take it over with `spec.adopt` (docs/adoption.md), or remove it first.",
    ),
    "HelmReleaseRemains": info(
        "A Helm release still counts objects of the chain as its own.",
        "Never run `helm upgrade` or `helm uninstall` for it. Delete its release Secrets "
        "(`kubectl -n kube-system delete secret -l owner=helm,name=cilium`).",
    ),
    "WebhookMayBlock": info(
        "An admission webhook with failurePolicy Fail is asked about pods or DaemonSets of kube-system. If its own "
        "pods are on the pod network, an outage keeps out the very pods that would end it.",
        "Leave kube-system out in its namespaceSelector, or set its failurePolicy to Ignore.",
    ),
    "AddressOverlap": info(
        "Cilium gives each node's own interface an address of its cluster pool, and that range is in use elsewhere: "
        "traffic to whoever has the same address gets lost on that node (cilium issue 30682).",
        "Set `ipam.operator.clusterPoolIPv4PodCIDRList` in `spec.cilium.values` to a range that is used nowhere else.",
    ),
    "ArgoCdIdentities": info(
        "Argo CD may prune the identities that Cilium makes for pods, which cuts those pods off (argo-cd issue 10456).",
        "Add CiliumIdentity, CiliumEndpoint and CiliumEndpointSlice to `resource.exclusions` in argocd-cm; Argo CD 3.0 "
        "does so by itself.",
    ),
    "ArgoCdLabelTracking": info(
        "Argo CD tracks by a label, which objects that are made for an application's pods carry as well.",
        "Set `application.resourceTrackingMethod: annotation` in argocd-cm.",
    ),
    "StartupTaintMissing": info(
        "Karpenter or a node group starts nodes without the startup taint `cnichain.io/chain-not-ready`: their first "
        "pods may start before the chain is verified, past Cilium and its policies, and stay so.",
        "Add `{key: cnichain.io/chain-not-ready, effect: NoSchedule}` to `spec.template.spec.startupTaints` of the "
        "NodePools that the message names, or to the taints of the node group (docs/new-nodes.md); or set "
        "`spec.nodes.startupTaint` to false.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
