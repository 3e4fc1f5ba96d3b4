"""The part of the registry of reason codes that is about a Cilium that somebody else has installed."""

from cnichain.api.reasons_node import ReasonInfo, info

ADOPTION_REASONS: dict[str, ReasonInfo] = {
    "AdoptionRequired": info(
        "Cilium is in the cluster already: helm, cilium-cli or kubectl has installed it. Nothing was written.",
        "Read docs/adoption.md, then set `spec.adopt` to true; or remove the other installation.",
        terminal=True,
    ),
    "ForeignObject": info(
        "Objects that the operator is about to apply exist already and belong to something that `spec.adopt` does not "
        "cover, so nothing was written.",
        "Take Cilium out of the tool that the message names, without deleting it, and look again; or remove the other "
        "installation.",
        terminal=True,
    ),
    "AdoptionNotChained": info(
        "The Cilium in the cluster is not chained after the primary CNI, so taking it over would move every pod to "
        "another data path, which is a migration and not an adoption. Nothing was written.",
        "Bring the installation into chaining mode with the tool that made it, setting by setting as the message names "
        "them, or remove it.",
        terminal=True,
    ),
    "AdoptionImmutable": info(
        "An object in the cluster differs from the one to be applied in a field that cannot be changed, so it cannot "
        "be taken over as it is. Nothing was written.",
        "Correct `spec.cilium.values` if they lead to it; else delete the object that the message names (a DaemonSet "
        "or Deployment with `--cascade=orphan`, so that its pods keep running).",
        terminal=True,
    ),
    "AdoptionVersionUnknown": info(
        "The version of the Cilium in the cluster cannot be read, so it is not known whether the step to "
        "`spec.cilium.version` is one that Cilium supports. Nothing was written.",
        "Give the DaemonSet `kube-system/cilium` an image with a version tag, or the label "
        "`app.kubernetes.io/version`.",
        terminal=True,
    ),
    "Adopted": info(
        "The operator has taken over a Cilium that was installed by helm, cilium-cli or kubectl: every object is as "
        "in a new installation.",
        warning=False,
    ),
    "HelmReleaseLeft": info(
        "helm still has its record of the release that was taken over, in Secrets that the operator may neither read "
        "nor delete. Whoever runs `helm upgrade` or `helm uninstall` for it changes or deletes the operator's objects.",
        "Delete the record, and nothing else, with the command that the message names. Never run `helm uninstall`.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
