"""The part of the registry of reason codes that is about Calico, and about which engine enforces NetworkPolicy."""

from cnichain.api.reasons_node import ReasonInfo, info

CALICO_REASONS: dict[str, ReasonInfo] = {
    "TwoPolicyEngines": info(
        "Two engines would enforce NetworkPolicy, so a pod could reach only what both allow. Calico has no setting "
        "that keeps it from enforcing: where it is enabled it is the policy engine.",
        "Set `spec.policyEngine: Calico`, or `spec.calico.enabled: false`.",
        terminal=True,
    ),
    "PolicyEngineNotEnabled": info(
        "`spec.policyEngine` names an engine that is switched off, so nothing would enforce NetworkPolicy.",
        "Set `spec.calico.enabled: true` with a version, or `spec.policyEngine: Cilium`.",
        terminal=True,
    ),
    "CalicoByManifest": info(
        "A Calico that was installed by plain manifests is in the cluster. tigera-operator would begin to migrate it "
        "as soon as it runs.",
        "Remove it, or migrate it to tigera-operator by Calico's own guide first.",
        terminal=True,
    ),
    "CalicoDowngrade": info(
        "The wanted Calico is of an older minor than the installed one. Calico's CRDs only go forward: an older schema "
        "drops fields of the objects that are stored.",
        "Keep the installed version or a newer one. To go back, remove Calico first.",
        terminal=True,
    ),
    "CalicoRemoving": info(
        "Calico is being removed: its Installation first, and tigera-operator only after its finalizers are gone.",
        "Nothing to do; `kubectl get installation default -o yaml` shows which finalizers are left.",
        warning=False,
    ),
    "CalicoRemoved": info(
        "Calico is removed. Its CRDs, with what is stored under them, and the namespace tigera-operator are kept.",
        warning=False,
    ),
    "CalicoInUse": info(
        "Calico cannot be removed yet: objects of operator.tigera.io that are not CNIChain's need tigera-operator.",
        "Delete the objects that the message names; the removal goes on by itself.",
        terminal=True,
    ),
    "CalicoRemovalStuck": info(
        "The Installation is being deleted, but tigera-operator, which alone takes its finalizers off, is gone.",
        "Set `spec.calico.enabled: true` and `spec.policyEngine: Calico` again, which brings it back, and then remove "
        "Calico anew.",
        terminal=True,
    ),
    "HookRefused": info(
        "A document is a Helm hook. Applied as a plain object it would run at once: tigera-operator's would uninstall "
        "Calico.",
        "Use the manifest that the catalogue pins; a chart's output is not one.",
        terminal=True,
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
