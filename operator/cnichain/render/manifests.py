"""Rendered objects as typed, immutable values: parsed, checked, and marked as ours. Pure.

A manifest may be a Secret, so its text form shows its key and digest and nothing else.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.names import CILIUM_NAMESPACE, OWNER_LABEL
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import Reason
from cnichain.render.mergekeys import duplicate_merge_keys
from cnichain.render.yamlstream import documents

SHORT_DIGITS = 16
HOOK_ANNOTATION = "helm.sh/hook"
ALLOWED_HOOKS: frozenset[tuple[str, str]] = frozenset()
"""(kind, name) of hook documents that are applied all the same. None so far: a certgen Job that runs once breaks every
applier other than helm, and other charts' delete hooks would uninstall what they belong to."""

CHART_LABEL = "helm.sh/chart"
TRACKING_KEYS = frozenset(
    {"app.kubernetes.io/instance", CHART_LABEL, "kubectl.kubernetes.io/last-applied-configuration"}
)
"""Metadata keys by which a GitOps tool or helm would take our objects for its own, or that only make noise."""
TRACKING_PREFIXES = ("argocd.argoproj.io/", "helm.toolkit.fluxcd.io/", "kustomize.toolkit.fluxcd.io/", "meta.helm.sh/")

CLUSTER_SCOPED = frozenset(
    {
        "APIService", "CiliumClusterwideNetworkPolicy", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
        "GatewayClass", "IngressClass", "MutatingWebhookConfiguration", "Namespace", "PersistentVolume",
        "PriorityClass", "StorageClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)  # fmt: skip
"""Kinds without a namespace among those that the charts can render."""

KIND_ORDER = (
    "Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role",
    "RoleBinding", "ConfigMap", "Secret", "Service", "*", "Deployment", "StatefulSet", "DaemonSet",
)  # fmt: skip
"""Order of application; `*` stands for every kind that is not listed."""
_RANK = {kind: rank for rank, kind in enumerate(KIND_ORDER)}


@dataclass(frozen=True, repr=False)
class Manifest:
    """One object as it should be in the cluster. namespace: None for cluster-scoped kinds.

    Treat `body` as read-only: `digest` is worked out once.
    """

    api_version: str
    kind: str
    namespace: str | None
    name: str
    body: dict[str, Any] = field(hash=False)

    @property
    def key(self) -> ObjectKey:
        """Identity of the object."""
        return ObjectKey(self.api_version, self.kind, self.namespace or "", self.name)

    @cached_property
    def digest(self) -> str:
        """sha256 of the whole body as canonical JSON: the same for the same content, however it was written."""
        return canonical_digest(self.body)

    def __repr__(self) -> str:
        return f"Manifest({self.key}, {self.digest})"


def canonical_digest(value: Any) -> str:
    """`sha256:` and hex digest of a JSON value with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def short_digest(value: Any) -> str:
    """Its first 16 hex digits: enough to tell the states of one cluster apart, and to be read by people."""
    return canonical_digest(value).removeprefix("sha256:")[:SHORT_DIGITS]


def kind_rank(kind: str) -> int:
    """Place of a kind in the order of application."""
    return _RANK.get(kind, _RANK["*"])


def manifest(body: dict[str, Any]) -> Manifest:
    """A manifest from an object's body. A namespaced object without a namespace gets that of the release.

    Raises ChainError(RenderInvalid) that names what is missing, or the field in which two entries share one key.
    """
    kind, api_version = body.get("kind"), body.get("apiVersion")
    metadata = body["metadata"] if isinstance(body.get("metadata"), dict) else {}
    name = metadata.get("name")
    for what, value in (("kind", kind), ("apiVersion", api_version), ("metadata.name", name)):
        if not isinstance(value, str) or not value:
            raise ChainError(Reason.RENDER_INVALID, f"{kind or 'an object'} {name or '(no name)'} has no {what}.")
    namespace = None if kind in CLUSTER_SCOPED else str(metadata.get("namespace") or CILIUM_NAMESPACE)
    others = {key: value for key, value in metadata.items() if key != "namespace"}
    placed = {**body, "metadata": others | ({"namespace": namespace} if namespace else {})}
    result = Manifest(str(api_version), str(kind), namespace, str(name), placed)
    if duplicates := duplicate_merge_keys(placed):
        raise ChainError(
            Reason.RENDER_INVALID, f"{result.key}: two entries share one key: {'; '.join(duplicates[:5])}."
        )
    return result


def parse(text: str) -> tuple[Manifest, ...]:
    """The objects of helm's output, in its order, without hooks and empty documents.

    Raises ChainError(RenderInvalid) that names the object: malformed, given twice, or refused by server-side apply
    because two list entries share one key.
    """
    found: dict[ObjectKey, Manifest] = {}
    for document in documents(text):
        if is_hook(document):
            continue
        item = manifest(document)
        if item.key in found:
            raise ChainError(Reason.RENDER_INVALID, f"{item.key} is rendered twice.")
        found[item.key] = item
    return tuple(found.values())


def with_owner(item: Manifest, owner: str) -> Manifest:
    """The manifest with the owner label, and without the keys by which other tools would claim it.

    Only the object's own metadata is touched. Selectors and pod templates stay as they are: a changed pod template
    restarts every pod.
    """
    metadata = dict(item.body["metadata"])
    labels = _untracked(metadata.pop("labels", None)) | {OWNER_LABEL: owner}
    annotations = _untracked(metadata.pop("annotations", None))
    metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    return Manifest(item.api_version, item.kind, item.namespace, item.name, {**item.body, "metadata": metadata})


def without_chart_label(item: Manifest) -> Manifest:
    """The manifest without `helm.sh/chart` on its pods: it changes with every patch of the chart, so that the
    DaemonSets would all restart for nothing. It stays where the selector asks for it.
    """
    spec = item.body.get("spec")
    template = spec.get("template") if isinstance(spec, Mapping) else None
    labels = (template.get("metadata") or {}).get("labels") if isinstance(template, Mapping) else None
    if not labels or CHART_LABEL not in labels or CHART_LABEL in json.dumps(item.body["spec"].get("selector")):
        return item
    body = copy.deepcopy(item.body)
    del body["spec"]["template"]["metadata"]["labels"][CHART_LABEL]
    return Manifest(item.api_version, item.kind, item.namespace, item.name, body)


def sorted_by_kind(items: Iterable[Manifest]) -> list[Manifest]:
    """In order of application: kind rank, then kind, namespace and name, so that it is always the same."""
    return sorted(items, key=lambda item: (kind_rank(item.kind), item.kind, item.namespace or "", item.name))


def is_hook(document: Mapping[str, Any]) -> bool:
    """Whether a document is a Helm hook that is not on the list of allowed ones."""
    metadata = document.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    if not isinstance(annotations, Mapping) or HOOK_ANNOTATION not in annotations:
        return False
    return (str(document.get("kind")), str(document["metadata"].get("name"))) not in ALLOWED_HOOKS


def _untracked(entries: Mapping[str, str] | None) -> dict[str, str]:
    return {
        key: value
        for key, value in (entries or {}).items()
        if key not in TRACKING_KEYS
        and not key.startswith(TRACKING_PREFIXES)
        and (key, value) != ("app.kubernetes.io/managed-by", "Helm")
    }
