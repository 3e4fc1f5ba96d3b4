"""The part of the registry of reason codes that is about the chain as a whole, and the way from spec to cluster."""

from cnichain.api.reasons_node import ReasonInfo, info

CHAIN_REASONS: dict[str, ReasonInfo] = {
    "Ready": info(
        "Every stage is applied and healthy, and the chain is verified on every node in scope.", warning=False
    ),
    "Reconciling": info("The operator is on its way to the state that spec asks for.", warning=False),
    "Suspended": info(
        "`spec.suspend` is true: the operator looks and reports, and changes nothing.",
        "Set `spec.suspend` to false to go on.",
        warning=False,
    ),
    "StageApplied": info("The objects of a stage were applied.", warning=False),
    "WaitingForHealth": info(
        "A stage is applied and its workloads are not all available yet; the next stage waits for them.",
        "If it lasts, look at the pods that the message names: `kubectl -n kube-system describe pod`.",
        warning=False,
    ),
    "ProgressDeadlineExceeded": info(
        "A stage has made no progress for longer than `spec.rollout.progressDeadline`.",
        "Look at the pods that the message names. The operator goes on by itself when they become available.",
    ),
    "NodesNotVerified": info(
        "Some nodes in scope have not reported a verified chain yet.",
        "`kubectl get cnichainnodes` shows each node's state and reason.",
    ),
    "NoNodesInScope": info(
        "No node is in scope: `spec.nodes.selector` matches no Linux node on EC2.",
        "Correct the selector, or add nodes.",
    ),
    "NotStarted": info("An earlier stage is not finished yet.", warning=False),
    "Disabled": info("The part is switched off in spec.", warning=False),
    "DriftCorrected": info(
        "An object or field that the operator owns was changed or deleted by someone else and was put back.",
        "Make the change in the CNIChain instead, or find who makes it; the event names the object.",
    ),
    "NoDrift": info("Every object is as it was applied.", warning=False),
    "SpecInvalid": info(
        "The spec does not have the form that this operator knows.",
        "Correct the field that the message names.",
        terminal=True,
    ),
    "NotSingleton": info(
        "A cluster has one CNI chain, so only a CNIChain named `default` is acted on.",
        "Delete this object and put what it says into `cnichain/default`.",
        terminal=True,
    ),
    "FeatureNotAvailable": info(
        "The spec asks for something that this release of the operator does not do.",
        "Take the field that the message names out of the spec, or wait for a release that has it.",
        terminal=True,
    ),
    "VersionUnknown": info(
        "The catalogue has no entry for the version, so neither its chart's digest nor its compatibility is known.",
        "Choose one of the versions in the message, or upgrade the operator.",
        terminal=True,
    ),
    "UpgradeSkipsMinor": info(
        "The step from the installed Cilium to the wanted one skips a minor version, which Cilium does not support.",
        "Go to a version of the minor that the message names first.",
        terminal=True,
    ),
    "ReservedValue": info(
        "`spec.cilium.values` sets a key that the operator owns, since a wrong value there would break the chain.",
        "Take the key that the message names out of the values.",
        terminal=True,
    ),
    "ChartInvalidValues": info(
        "The chart's own validation refused the values.",
        "Read the chart's message, which is carried over, and correct `spec.cilium.values`.",
        terminal=True,
    ),
    "PreflightPassed": info("No check stands in the way; warnings are in the message.", warning=False),
    "PrimaryNotFound": info(
        "The primary CNI that `spec.primary.plugin` names is not in the cluster.",
        "Check `spec.primary.plugin`; on EKS the DaemonSet `kube-system/aws-node` must exist. EKS Auto Mode has none "
        "and cannot be chained.",
        terminal=True,
    ),
    "PrimaryTooOld": info(
        "The primary CNI is older than `spec.primary.minVersion` or than the oldest version that can be chained.",
        "Upgrade the primary CNI first (on EKS: the vpc-cni add-on).",
        terminal=True,
    ),
    "PrimaryVersionUnknown": info(
        "The version of the primary CNI cannot be read: neither its image's tag nor its version label has one.",
        "Use an image reference with a version tag, or set the label `app.kubernetes.io/version` on the DaemonSet.",
        terminal=True,
    ),
    "ChartNotFound": info(
        "The chart archive, or a manifest of Calico, is not in the chart folder.",
        "Put the official file that the message names into the folder given by `--chart-dir`.",
    ),
    "ChartUnreachable": info(
        "The chart repository, or that of Calico's manifests, could not be reached or did not have the file.",
        "Check egress to the repository, or give the charts in a folder with `--chart-dir`. The operator tries again.",
        passing=True,
    ),
    "ChartDigestMismatch": info(
        "The chart archive, or a manifest of Calico, is not the one that the catalogue pins: its sha256 differs.",
        "Replace the file by the official one. If it is the official one, do not override: report it.",
    ),
    "HelmNotFound": info(
        "The helm program is missing or cannot be started.",
        "Install helm where the operator runs, or name it with `--helm`.",
    ),
    "HelmFailed": info(
        "helm ended with an error that is not about the values.",
        "Read helm's message, which is carried over.",
    ),
    "RenderInvalid": info(
        "The rendered manifests cannot be applied: a document is malformed or two entries share one key.",
        "Correct the values that lead to it; the message names the object and field.",
        terminal=True,
    ),
    "CertificateUnusable": info(
        "The CA or a certificate in the cluster cannot be used, and replacing it would cut running clients off.",
        "Repair or delete the Secret that the message names, or do what the message says. See docs/certificates.md.",
    ),
    "ApplyRejected": info(
        "The API server refused an object: invalid, or denied by an admission webhook or policy.",
        "Read the server's message, which is carried over. What was applied before stays and is completed later.",
    ),
    "AccessDenied": info(
        "The operator lacks a permission.", "Give its ServiceAccount the permission that the message names."
    ),
    "KindNotServed": info(
        "The API server does not serve a kind that the chart uses.",
        "Install the CustomResourceDefinition that the message names, or change the values that ask for it.",
    ),
    "InventoryUnreadable": info(
        "The ConfigMap that lists the applied objects was damaged, so the operator does not know what is its own.",
        "Restore the ConfigMap, or delete it: every object is then applied anew, and none is pruned.",
        terminal=True,
    ),
    "ApiUnavailable": info(
        "The API server does not answer, or answers with an error of its own.",
        "Nothing, if it is being upgraded: the operator goes on by itself.",
        passing=True,
    ),
    "InternalError": info(
        "The operator met an error that it has no name for. It tries again.",
        "Please report it with the operator's log.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
