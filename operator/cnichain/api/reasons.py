"""The one registry of reason codes: conditions, events, CLI hints, metrics and docs all take them from here.

A reason is a promise to its reader: `cause` says what it means, `fix` what to do next. `terminal` marks what cannot
heal by itself; it alone may set the Stalled condition (kstatus: Stalled is for errors that need a person).
"""

from enum import StrEnum

from cnichain.api.reasons_adoption import ADOPTION_REASONS
from cnichain.api.reasons_audit import AUDIT_REASONS
from cnichain.api.reasons_calico import CALICO_REASONS
from cnichain.api.reasons_catalogue import CATALOGUE_REASONS
from cnichain.api.reasons_certs import CERTIFICATE_REASONS
from cnichain.api.reasons_chain import CHAIN_REASONS
from cnichain.api.reasons_coverage import COVERAGE_REASONS
from cnichain.api.reasons_faults import FAULT_REASONS
from cnichain.api.reasons_lease import LEASE_REASONS
from cnichain.api.reasons_live import LIVE_REASONS
from cnichain.api.reasons_manifest import MANIFEST_REASONS
from cnichain.api.reasons_node import NODE_REASONS
from cnichain.api.reasons_plan import PLAN_REASONS
from cnichain.api.reasons_preflight import PREFLIGHT_REASONS
from cnichain.api.reasons_rollout import ROLLOUT_REASONS
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
    DISABLED = "Disabled"
    DRIFT_CORRECTED = "DriftCorrected"
    NO_DRIFT = "NoDrift"

    # A change on its way over the nodes.
    PULLING_IMAGES = "PullingImages"
    CANARY = "Canary"
    SOAKING = "Soaking"
    WAVE = "Wave"
    NODES_UNAVAILABLE = "NodesUnavailable"
    NODES_NOT_READY = "NodesNotReady"
    ROLLOUT_FINISHED = "RolloutFinished"
    AGENT_CRASHED = "AgentCrashed"
    ROLLOUT_OVERDUE = "RolloutOverdue"
    GATE_FAILED = "GateFailed"
    ROLLOUT_FAILED = "RolloutFailed"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_FAILED = "RollbackFailed"
    NO_ROLLBACK = "NoRollback"

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
    LATEST_PATCH_FIRST = "LatestPatchFirst"
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
    STARTUP_TAINT_MISSING = "StartupTaintMissing"
    CHECK_NOT_POSSIBLE = "CheckNotPossible"

    # What a manifest shows before it is applied (reasons_manifest.py).
    DELETION_UNPROTECTED = "DeletionUnprotected"
    PRIMARY_EDITED_DIRECTLY = "PrimaryEditedDirectly"
    LAYER7_IN_CHAIN = "Layer7InChain"
    HUBBLE_COSTLY = "HubbleCostly"
    TOLERATION_MISSING = "TolerationMissing"
    HOST_ROUTING_UNSAFE = "HostRoutingUnsafe"

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

    # What the operator stands on (reasons_faults.py).
    API_SLOW = "ApiSlow"
    CLOCK_SKEWED = "ClockSkewed"
    FOLDER_NOT_WRITABLE = "FolderNotWritable"
    WEBHOOK_UNAVAILABLE = "WebhookUnavailable"

    # Certificates that are made anew (reasons_certs.py).
    CERTIFICATE_RENEWED = "CertificateRenewed"
    CA_ROTATING = "CaRotating"
    CA_ROTATED = "CaRotated"

    # A Cilium that somebody else has installed.
    ADOPTION_REQUIRED = "AdoptionRequired"
    ADOPTION_NOT_CHAINED = "AdoptionNotChained"
    ADOPTION_IMMUTABLE = "AdoptionImmutable"
    ADOPTION_VERSION_UNKNOWN = "AdoptionVersionUnknown"
    ADOPTED = "Adopted"
    HELM_RELEASE_LEFT = "HelmReleaseLeft"

    # Calico, and which engine enforces NetworkPolicy.
    TWO_POLICY_ENGINES = "TwoPolicyEngines"
    POLICY_ENGINE_NOT_ENABLED = "PolicyEngineNotEnabled"
    CALICO_BY_MANIFEST = "CalicoByManifest"
    CALICO_DOWNGRADE = "CalicoDowngrade"
    CALICO_REMOVING = "CalicoRemoving"
    CALICO_REMOVED = "CalicoRemoved"
    CALICO_IN_USE = "CalicoInUse"
    CALICO_REMOVAL_STUCK = "CalicoRemovalStuck"
    HOOK_REFUSED = "HookRefused"

    # What an audit asks for (reasons_audit.py).
    POLICY_AUDIT_MODE = "PolicyAuditMode"
    FLOW_EXPORT_PARTIAL = "FlowExportPartial"

    # A change on its way, and who else writes (reasons_plan.py).
    PLANNED = "Planned"
    PAUSED = "Paused"
    APPROVAL_REQUIRED = "ApprovalRequired"
    DRIFT_FIGHT = "DriftFight"
    MUTATED_BY_ADMISSION = "MutatedByAdmission"
    IMMUTABLE_FIELD = "ImmutableField"
    SCHEMA_STALE = "SchemaStale"

    # Which of several operators writes.
    LEASE_LOST = "LeaseLost"

    # What `cnichain check` finds by itself (reasons_live.py).
    OPERATOR_NOT_RUNNING = "OperatorNotRunning"
    NODE_AGENT_NOT_READY = "NodeAgentNotReady"
    CERTIFICATE_EXPIRING = "CertificateExpiring"

    # Pods that Cilium manages, and pods that it does not (reasons_coverage.py).
    NOT_MEASURED = "NotMeasured"
    ALL_MANAGED = "AllManaged"
    UNMANAGED_PODS = "UnmanagedPods"
    ENDPOINTS_NOT_PUBLISHED = "EndpointsNotPublished"
    POD_RESTARTED = "PodRestarted"
    EVICTION_REFUSED = "EvictionRefused"
    RESTARTS_STOPPED = "RestartsStopped"

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


_PARTS = (
    ADOPTION_REASONS,
    AUDIT_REASONS,
    CALICO_REASONS,
    CATALOGUE_REASONS,
    CERTIFICATE_REASONS,
    CHAIN_REASONS,
    COVERAGE_REASONS,
    FAULT_REASONS,
    LEASE_REASONS,
    MANIFEST_REASONS,
    LIVE_REASONS,
    NODE_REASONS,
    PLAN_REASONS,
    PREFLIGHT_REASONS,
    ROLLOUT_REASONS,
    TEARDOWN_REASONS,
)

REASONS = {Reason(code): about for part in _PARTS for code, about in part.items()}
"""What is known about each reason."""
