"""Whose an object is that the operator has not applied: what installed it, and what would keep changing it. Pure.

Read from field managers, helm's annotations and the labels and annotations of GitOps tools.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from cnichain.plan.fieldowners import CAPTURED, managers

RELEASE_NAME = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANAGED_BY = ("app.kubernetes.io/managed-by", "Helm")

CILIUM_CLI_MANAGERS = frozenset({"cilium", "cilium-cli"})
"""cilium-cli installs with helm's library, which names the field manager after the program."""
CERTGEN_PREFIXES = ("certgen", "cilium-certgen")
"""The chart's own Job for Hubble's certificates: part of whatever installation it came with."""

RECONCILERS = {
    "argocd.argoproj.io/": "Argo CD",
    "helm.toolkit.fluxcd.io/": "Flux (HelmRelease)",
    "kustomize.toolkit.fluxcd.io/": "Flux (Kustomization)",
}
"""Prefix of labels and annotations to the tool that sets them, and applies its objects again and again."""
RECONCILER_MANAGERS = {
    "argocd-": "Argo CD",
    "cert-manager": "cert-manager",
    "fleet": "Fleet",
    "helm-controller": "Flux (HelmRelease)",
    "kustomize-controller": "Flux (Kustomization)",
}
"""The same by the beginning of a field manager's name."""


class Installer(StrEnum):
    """What can be taken over: programs that have done their work, and no controller that would do it again."""

    HELM = "helm"
    CILIUM_CLI = "cilium-cli"
    KUBECTL = "kubectl"
    CERTGEN = "certgen"


class Release(NamedTuple):
    """A release of helm's."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def release_of(live: Mapping[str, Any]) -> Release | None:
    """helm's release that an object says it belongs to."""
    annotations = live["metadata"].get("annotations") or {}
    name = annotations.get(RELEASE_NAME)
    return Release(str(annotations.get(RELEASE_NAMESPACE, "")), str(name)) if name else None


def installer_of(live: Mapping[str, Any]) -> Installer | None:
    """What has installed an object; None when nothing tells, or something that cannot be taken over."""
    metadata, names = live["metadata"], managers(live)
    by_helm = release_of(live) or MANAGED_BY in (metadata.get("labels") or {}).items()
    if by_helm and CILIUM_CLI_MANAGERS.intersection(names):
        return Installer.CILIUM_CLI
    if by_helm or "helm" in names:
        return Installer.HELM
    if LAST_APPLIED in (metadata.get("annotations") or {}) or any(name.startswith("kubectl") for name in names):
        return Installer.KUBECTL
    return Installer.CERTGEN if any(name.startswith(CERTGEN_PREFIXES) for name in names) else None


def reconciler_of(live: Mapping[str, Any]) -> str:
    """The tool that would undo every change of ours; empty when there is none."""
    metadata = live["metadata"]
    for key in (*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})):
        for prefix, tool in RECONCILERS.items():
            if key.startswith(prefix):
                return tool
    for name in managers(live):
        for prefix, tool in RECONCILER_MANAGERS.items():
            if name.startswith(prefix):
                return tool
    return ""


def owner_in_words(live: Mapping[str, Any]) -> str:
    """Who stands in the way of taking an object over, for a message."""
    if tool := reconciler_of(live):
        return f"{tool} keeps applying it"
    names = [name for name in dict.fromkeys(managers(live)) if name != CAPTURED]
    return f"field manager {', '.join(names)}" if names else "nothing tells what has made it"
