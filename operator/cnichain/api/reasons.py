"""The one registry of reason codes: conditions, events, CLI hints, metrics and docs all take them from here.

A reason is a promise to its reader: `cause` says what it means, `fix` what to do next. `terminal` marks what cannot
heal by itself; it alone may set the Stalled condition (kstatus: Stalled is for errors that need a person).
"""

from enum import StrEnum

from cnichain.api.reasons_catalogue import CATALOGUE_REASONS
from cnichain.api.reasons_node import NODE_REASONS
from cnichain.api.reasons_node import info as _info
from cnichain.api.reasons_plan import PLAN_REASONS
from cnichain.api.reasons_preflight import PREFLIGHT_REASONS
from cnichain.api.reasons_teardown import TEARDOWN_REASONS


class Reason(StrEnum):
    """Every reason code. CamelCase, as conditions and events want them; never renamed, since alerts match them."""

    # The state of the whole chain.
    READY = "Ready"
    RECONCILING = "Reconciling"
    SUSPENDED = "Suspended"
    STAGE_APPLIED = "StageApplied"
    WAITING_FOR_HEALTH = "WaitingForHealth"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    NODES_NOT_VERIFIED = "NodesNotVerified"
    NO_NODES_IN_SCOPE = "NoNodesInScope"
    NOT_STARTED = "NotStarted"
    NOT_MEASURED = "NotMeasured"
    DISABLED = "Disabled"
    DRIFT_CORRECTED = "DriftCorrected"
    NO_DRIFT = "NoDrift"

    # The end of a chain.
    RETAINED = "Retained"
    UNINSTALLING = "Uninstalling"
    UNINSTALL_OVERDUE = "UninstallOverdue"
    STAGE_REMOVED = "StageRemoved"
    UNINSTALLED = "Uninstalled"

    # Input that a person must correct.
    SPEC_INVALID = "SpecInvalid"
    NOT_SINGLETON = "NotSingleton"
    FEATURE_NOT_AVAILABLE = "FeatureNotAvailable"
    VERSION_UNKNOWN = "VersionUnknown"
    UPGRADE_SKIPS_MINOR = "UpgradeSkipsMinor"
    RESERVED_VALUE = "ReservedValue"
    CHART_INVALID_VALUES = "ChartInvalidValues"

    # What the catalogue knows, and values that moved between minors of the chart.
    CATALOGUE_VALID = "CatalogueValid"
    CATALOGUE_INVALID = "CatalogueInvalid"
    COMBINATION_SUPPORTED = "CombinationSupported"
    KUBERNETES_UNTESTED = "KubernetesUntested"
    KERNEL_TOO_OLD = "KernelTooOld"
    KERNEL_UNTESTED = "KernelUntested"
    NODE_OS_UNSUPPORTED = "NodeOSUnsupported"
    KUBE_PROXY_IPVS = "KubeProxyIPVS"
    CLUSTER_ID_UNUSABLE = "ClusterIdUnusable"
    CHAINING_MODE_UNSAFE = "ChainingModeUnsafe"
    CALICO_DATAPLANE_CONFLICT = "CalicoDataplaneConflict"
    POLICY_ENGINES_OVERLAP = "PolicyEnginesOverlap"
    POLICY_ENGINES_TOO_MANY = "PolicyEnginesTooMany"
    POD_SECURITY_GROUPS = "PodSecurityGroups"
    VALUES_UNTESTED = "ValuesUntested"
    PRIMARY_UNTESTED = "PrimaryUntested"
    CALICO_UNTESTED = "CalicoUntested"
    KNOWN_TRAP = "KnownTrap"
    RELEASE_UNMAINTAINED = "ReleaseUnmaintained"
    VALUE_REMOVED = "ValueRemoved"
    VALUE_AMBIGUOUS = "ValueAmbiguous"
    VALUE_MOVED = "ValueMoved"

    # What the cluster is.
    PREFLIGHT_PASSED = "PreflightPassed"
    PRIMARY_NOT_FOUND = "PrimaryNotFound"
    PRIMARY_TOO_OLD = "PrimaryTooOld"
    PRIMARY_VERSION_UNKNOWN = "PrimaryVersionUnknown"
    EKS_AUTO_MODE = "EksAutoMode"
    IPV6_NOT_ENABLED = "Ipv6NotEnabled"
    EGRESS_INTERFACE_UNMANAGED = "EgressInterfaceUnmanaged"
    VETH_PREFIX_CHANGED = "VethPrefixChanged"
    PRIMARY_POLICY_STRICT = "PrimaryPolicyStrict"
    EARLY_DEMUX_ON = "EarlyDemuxOn"
    POD_IDENTITY_AGENT = "PodIdentityAgent"
    MULTUS_PRESENT = "MultusPresent"
    ISTIO_CNI_PRESENT = "IstioCniPresent"
    LINKERD_CNI_PRESENT = "LinkerdCniPresent"
    KUMA_CNI_PRESENT = "KumaCniPresent"
    FOREIGN_CONFLIST = "ForeignConflist"
    FOREIGN_PLUGIN = "ForeignPlugin"
    CONFLIST_DROP_INS = "ConflistDropIns"
    TWO_TIGERA_OPERATORS = "TwoTigeraOperators"
    SECOND_CILIUM = "SecondCilium"
    CILIUM_OF_OTHERS = "CiliumOfOthers"
    HELM_RELEASE_REMAINS = "HelmReleaseRemains"
    WEBHOOK_MAY_BLOCK = "WebhookMayBlock"
    ADDRESS_OVERLAP = "AddressOverlap"
    ARGO_CD_IDENTITIES = "ArgoCdIdentities"
    ARGO_CD_LABEL_TRACKING = "ArgoCdLabelTracking"
    CHECK_NOT_POSSIBLE = "CheckNotPossible"

    # The way from chart to cluster.
    CHART_NOT_FOUND = "ChartNotFound"
    CHART_UNREACHABLE = "ChartUnreachable"
    CHART_DIGEST_MISMATCH = "ChartDigestMismatch"
    HELM_NOT_FOUND = "HelmNotFound"
    HELM_FAILED = "HelmFailed"
    RENDER_INVALID = "RenderInvalid"
    CERTIFICATE_UNUSABLE = "CertificateUnusable"
    APPLY_REJECTED = "ApplyRejected"
    ACCESS_DENIED = "AccessDenied"
    FOREIGN_OBJECT = "ForeignObject"
    KIND_NOT_SERVED = "KindNotServed"
    INVENTORY_UNREADABLE = "InventoryUnreadable"
    API_UNAVAILABLE = "ApiUnavailable"
    INTERNAL_ERROR = "InternalError"

    # A change on its way, and who else writes (reasons_plan.py).
    PLANNED = "Planned"
    PAUSED = "Paused"
    APPROVAL_REQUIRED = "ApprovalRequired"
    DRIFT_FIGHT = "DriftFight"
    MUTATED_BY_ADMISSION = "MutatedByAdmission"
    IMMUTABLE_FIELD = "ImmutableField"
    SCHEMA_STALE = "SchemaStale"

    # One node.
    CHAIN_VERIFIED = "ChainVerified"
    CHAIN_REPAIRED = "ChainRepaired"
    NODE_SPEC_MISSING = "NodeSpecMissing"
    NODE_FROZEN = "NodeFrozen"
    NODE_UNCHAINED = "NodeUnchained"
    CONF_DIR_UNUSABLE = "ConfDirUnusable"
    PRIMARY_CONFLIST_MISSING = "PrimaryConflistMissing"
    PRIMARY_CONFLIST_INVALID = "PrimaryConflistInvalid"
    PLUGIN_BINARY_MISSING = "PluginBinaryMissing"
    CONFLIST_SHADOWED = "ConflistShadowed"
    CONFLIST_WRITE_FAILED = "ConflistWriteFailed"
    CONFLIST_CONFLICT = "ConflistConflict"
    CONFLIST_UNSAFE_FILE = "ConflistUnsafeFile"
    RUNTIME_STALE = "RuntimeStale"
    RUNTIME_NOT_READY = "RuntimeNotReady"
    DROP_IN_INVALID = "DropInInvalid"
    CILIUM_NOT_HEALTHY = "CiliumNotHealthy"
    CILIUM_DOWN_OPEN = "CiliumDownOpen"
    CILIUM_DOWN_CLOSED = "CiliumDownClosed"


REASONS = {
    Reason.READY: _info(
        "Every stage is applied and healthy, and the chain is verified on every node in scope.", warning=False
    ),
    Reason.RECONCILING: _info("The operator is on its way to the state that spec asks for.", warning=False),
    Reason.SUSPENDED: _info(
        "`spec.suspend` is true: the operator looks and reports, and changes nothing.",
        "Set `spec.suspend` to false to go on.",
        warning=False,
    ),
    Reason.STAGE_APPLIED: _info("The objects of a stage were applied.", warning=False),
    Reason.WAITING_FOR_HEALTH: _info(
        "A stage is applied and its workloads are not all available yet; the next stage waits for them.",
        "If it lasts, look at the pods that the message names: `kubectl -n kube-system describe pod`.",
        warning=False,
    ),
    Reason.PROGRESS_DEADLINE_EXCEEDED: _info(
        "A stage has made no progress for longer than `spec.rollout.progressDeadline`.",
        "Look at the pods that the message names. The operator goes on by itself when they become available.",
    ),
    Reason.NODES_NOT_VERIFIED: _info(
        "Some nodes in scope have not reported a verified chain yet.",
        "`kubectl get cnichainnodes` shows each node's state and reason.",
    ),
    Reason.NO_NODES_IN_SCOPE: _info(
        "No node is in scope: `spec.nodes.selector` matches no Linux node on EC2.",
        "Correct the selector, or add nodes.",
    ),
    Reason.NOT_STARTED: _info("An earlier stage is not finished yet.", warning=False),
    Reason.NOT_MEASURED: _info("This release does not measure it.", warning=False),
    Reason.DISABLED: _info("The part is switched off in spec.", warning=False),
    Reason.DRIFT_CORRECTED: _info(
        "An object or field that the operator owns was changed or deleted by someone else and was put back.",
        "Make the change in the CNIChain instead, or find who makes it; the event names the object.",
    ),
    Reason.NO_DRIFT: _info("Every object is as it was applied.", warning=False),
    Reason.SPEC_INVALID: _info(
        "The spec does not have the form that this operator knows.",
        "Correct the field that the message names.",
        terminal=True,
    ),
    Reason.NOT_SINGLETON: _info(
        "A cluster has one CNI chain, so only a CNIChain named `default` is acted on.",
        "Delete this object and put what it says into `cnichain/default`.",
        terminal=True,
    ),
    Reason.FEATURE_NOT_AVAILABLE: _info(
        "The spec asks for something that this release of the operator does not do.",
        "Take the field that the message names out of the spec, or wait for a release that has it.",
        terminal=True,
    ),
    Reason.VERSION_UNKNOWN: _info(
        "The catalogue has no entry for the version, so neither its chart's digest nor its compatibility is known.",
        "Choose one of the versions in the message, or upgrade the operator.",
        terminal=True,
    ),
    Reason.UPGRADE_SKIPS_MINOR: _info(
        "The step from the installed Cilium to the wanted one skips a minor version, which Cilium does not support.",
        "Go to a version of the minor that the message names first.",
        terminal=True,
    ),
    Reason.RESERVED_VALUE: _info(
        "`spec.cilium.values` sets a key that the operator owns, since a wrong value there would break the chain.",
        "Take the key that the message names out of the values.",
        terminal=True,
    ),
    Reason.CHART_INVALID_VALUES: _info(
        "The chart's own validation refused the values.",
        "Read the chart's message, which is carried over, and correct `spec.cilium.values`.",
        terminal=True,
    ),
    Reason.PREFLIGHT_PASSED: _info("No check stands in the way; warnings are in the message.", warning=False),
    Reason.PRIMARY_NOT_FOUND: _info(
        "The primary CNI that `spec.primary.plugin` names is not in the cluster.",
        "Check `spec.primary.plugin`; on EKS the DaemonSet `kube-system/aws-node` must exist. EKS Auto Mode has none "
        "and cannot be chained.",
        terminal=True,
    ),
    Reason.PRIMARY_TOO_OLD: _info(
        "The primary CNI is older than `spec.primary.minVersion` or than the oldest version that can be chained.",
        "Upgrade the primary CNI first (on EKS: the vpc-cni add-on).",
        terminal=True,
    ),
    Reason.PRIMARY_VERSION_UNKNOWN: _info(
        "The version of the primary CNI cannot be read: neither its image's tag nor its version label has one.",
        "Use an image reference with a version tag, or set the label `app.kubernetes.io/version` on the DaemonSet.",
        terminal=True,
    ),
    Reason.CHART_NOT_FOUND: _info(
        "The chart archive is not in the chart folder.",
        "Put the official archive that the message names into the folder given by `--chart-dir`.",
    ),
    Reason.CHART_UNREACHABLE: _info(
        "The chart repository could not be reached or did not have the chart.",
        "Check egress to the repository, or give the charts in a folder with `--chart-dir`. The operator tries again.",
        passing=True,
    ),
    Reason.CHART_DIGEST_MISMATCH: _info(
        "The chart archive is not the one that the catalogue pins: its sha256 differs.",
        "Replace the archive by the official one. If it is the official one, do not override: report it.",
    ),
    Reason.HELM_NOT_FOUND: _info(
        "The helm program is missing or cannot be started.",
        "Install helm where the operator runs, or name it with `--helm`.",
    ),
    Reason.HELM_FAILED: _info(
        "helm ended with an error that is not about the values.",
        "Read helm's message, which is carried over.",
    ),
    Reason.RENDER_INVALID: _info(
        "The rendered manifests cannot be applied: a document is malformed or two entries share one key.",
        "Correct the values that lead to it; the message names the object and field.",
        terminal=True,
    ),
    Reason.CERTIFICATE_UNUSABLE: _info(
        "The CA or a certificate in the cluster cannot be used, and replacing it would cut running clients off.",
        "Repair or delete the Secret that the message names.",
    ),
    Reason.APPLY_REJECTED: _info(
        "The API server refused an object: invalid, or denied by an admission webhook or policy.",
        "Read the server's message, which is carried over. What was applied before stays and is completed later.",
    ),
    Reason.ACCESS_DENIED: _info(
        "The operator lacks a permission.", "Give its ServiceAccount the permission that the message names."
    ),
    Reason.FOREIGN_OBJECT: _info(
        "Objects that the operator is about to apply exist already and belong to another installation, so nothing was "
        "written.",
        "Remove the other installation, or hand its objects over with the owner label that the message names.",
        terminal=True,
    ),
    Reason.KIND_NOT_SERVED: _info(
        "The API server does not serve a kind that the chart uses.",
        "Install the CustomResourceDefinition that the message names, or change the values that ask for it.",
    ),
    Reason.INVENTORY_UNREADABLE: _info(
        "The ConfigMap that lists the applied objects was damaged, so the operator does not know what is its own.",
        "Restore the ConfigMap, or delete it: every object is then applied anew, and none is pruned.",
        terminal=True,
    ),
    Reason.API_UNAVAILABLE: _info(
        "The API server does not answer, or answers with an error of its own.",
        "Nothing, if it is being upgraded: the operator goes on by itself.",
        passing=True,
    ),
    Reason.INTERNAL_ERROR: _info(
        "The operator met an error that it has no name for. It tries again.",
        "Please report it with the operator's log.",
    ),
    **{
        Reason(code): about
        for part in (CATALOGUE_REASONS, NODE_REASONS, PLAN_REASONS, PREFLIGHT_REASONS, TEARDOWN_REASONS)
        for code, about in part.items()
    },
}
