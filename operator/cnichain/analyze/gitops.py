"""What in Git would work against the operator: pruning, second writers, and a second Cilium. Pure."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from cnichain.analyze.addons import VPC_CNI, text_of
from cnichain.analyze.chain import is_chain
from cnichain.analyze.documents import Document, Object, Part, at, mapping, mappings, text
from cnichain.analyze.problem import Problem, Severity, problem
from cnichain.analyze.sources import AWS_NODE, Primary, Sources
from cnichain.api.chain import DeletionPolicy
from cnichain.api.names import CILIUM_NAMESPACE, GROUP, KIND_NODE, OWNER_LABEL
from cnichain.api.reasons import Reason
from cnichain.preflight.cluster_checks import EXCLUSIONS
from cnichain.preflight.primary import environment_of

STDIN = "-"
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
FLUX_PRUNE = "kustomize.toolkit.fluxcd.io/prune"
FIRST_WITH_EXCLUSIONS = 8
"""Major version of Argo CD's chart (argo-helm pull request 3289)."""
HELM_KEEP = "helm.sh/resource-policy"
APPLIED: dict[str, tuple[str, ...]] = {
    "DaemonSet": ("cilium-envoy", "cnichain-prepull"),
    "Deployment": ("cilium-operator", "hubble-relay", "hubble-ui"),
    "ConfigMap": ("cilium-config", "cilium-envoy-config", "hubble-relay-config", "hubble-ui-nginx"),
    "Secret": (
        "cilium-ca", "hubble-server-certs", "hubble-relay-client-certs", "hubble-relay-server-certs",
        "hubble-ui-client-certs", "hubble-metrics-server-certs",
    ),
}  # fmt: skip
"""By kind, names of objects in kube-system that the operator applies."""


def gitops_problems(sources: Sources) -> Iterator[Problem]:
    """Problems of ownership in all documents."""
    chains = [item for item in sources.documents if is_chain(item)]
    for chain in chains:
        yield from _deletion(chain, sources)
    for use in sources.charts:
        if use.chart == "cilium":
            severity = Severity.WARNING if use.paused else Severity.ERROR
            elsewhere = use.namespace not in {"", CILIUM_NAMESPACE}
            reason = Reason.SECOND_CILIUM if elsewhere else Reason.FOREIGN_OBJECT
            where = f" into {use.namespace}" if use.namespace else ""
            said = f"it installs Cilium's chart{where}, and the operator installs Cilium itself."
            yield problem(severity, reason, use.document, said, *use.path)
    for document in sources.documents:
        if _is_applied(document):
            said = (
                "the operator applies this object itself, and two writers undo each other's work: take it out of Git."
            )
            yield problem(Severity.ERROR, Reason.DRIFT_FIGHT, document, said, "metadata", "name")
    yield from _direct_edits(sources)


def _is_applied(document: Document) -> bool:
    metadata = document.metadata
    if OWNER_LABEL in mapping(metadata.get("labels")) or metadata.get("ownerReferences"):
        return False  # read from a cluster where the operator has made it
    if document.is_a(KIND_NODE, GROUP):
        return True
    return document.namespace in {"", CILIUM_NAMESPACE} and document.name in APPLIED.get(document.kind, ())


def _deletion(chain: Document, sources: Sources) -> Iterator[Problem]:
    annotations = mapping(chain.metadata.get("annotations"))
    options = {item.strip().lower() for item in text(annotations.get(SYNC_OPTIONS)).split(",")}
    by_argo = bool({"prune=false", "prune=confirm"} & options)
    by_flux = text(annotations.get(FLUX_PRUNE)).lower() == "disabled"
    by_helm = text(annotations.get(HELM_KEEP)).lower() == "keep"
    pruners = [item for item in _pruners(sources.documents) if _covers(item[1], chain.file)]
    loose = [item for item, _ in pruners if not (by_argo if item.kind == "Application" else by_flux)]
    removes = chain.spec.get("deletionPolicy") == DeletionPolicy.UNINSTALL.value
    effect = "Cilium is taken off every node" if removes else "nobody looks after the chain any more"
    if loose:
        tool = f"{loose[0].kind} {loose[0].name} ({loose[0].file}:{loose[0].line})"
        said = f"{tool} prunes, and the CNIChain is not kept from it: once it is gone from Git, {effect}."
    elif removes and not pruners and not (by_argo or by_flux or by_helm):
        said = f"deletionPolicy is Uninstall, and no annotation keeps a tool from pruning it: once it does, {effect}."
    else:
        return
    path: tuple[Part, ...] = ("spec", "deletionPolicy") if removes else ("metadata",)
    yield problem(Severity.WARNING, Reason.DELETION_UNPROTECTED, chain, said, *path)


def _pruners(documents: Iterable[Document]) -> Iterator[tuple[Document, str]]:
    """What prunes, with a folder that it applies."""
    for document in documents:
        spec = document.spec
        if document.is_a("Kustomization", "kustomize.toolkit.fluxcd.io") and spec.get("prune") is True:
            yield document, text(spec.get("path"))
        elif document.is_a("Application", "argoproj.io") and at(spec, "syncPolicy", "automated", "prune") is True:
            for source in [mapping(spec.get("source")), *mappings(spec.get("sources"))]:
                if "path" in source:
                    yield document, text(source.get("path"))


def _covers(folder: str, file: str) -> bool:
    """Whether a folder of a repository holds a file, whose path may begin anywhere above or below its root."""
    wanted = [part for part in PurePosixPath(folder).parts if part not in {".", "/"}]
    there = PurePosixPath(file).parts[:-1]
    if not wanted or file == STDIN:
        return True
    return any(list(there[start : start + len(wanted)]) == wanted for start in range(len(there)))


def _direct_edits(sources: Sources) -> Iterator[Problem]:
    managed = any(item.name == VPC_CNI for item in sources.add_ons)
    for primary in sources.primaries:
        if primary.direct and (managed or not primary.versioned):
            yield from _direct_edit(primary)


def _direct_edit(primary: Primary) -> Iterator[Problem]:
    main = environment_of(primary.daemon_set, AWS_NODE)
    init = environment_of(primary.daemon_set, "aws-vpc-cni-init")
    if not main and not init:
        return
    values: dict[str, object] = {"env": main} if main else {}
    if init:
        values["init"] = {"env": init}
    first = next(iter([*main, *init]))
    said = f"it sets {', '.join([*main, *init][:5])} on the DaemonSet. As configurationValues of the add-on: "
    where = primary.places.get(first, primary.path)
    yield problem(Severity.WARNING, Reason.PRIMARY_EDITED_DIRECTLY, primary.document, said + json.dumps(values), *where)


def argo_config(sources: Sources) -> Iterator[tuple[Document, tuple[Part, ...], Object]]:
    """Every argocd-cm: the document, the path of its data, and the ConfigMap; also as values of Argo CD's chart."""
    for document in sources.of("ConfigMap"):
        if document.name == "argocd-cm" and not _is_patch(document):
            yield document, ("data",), {"data": mapping(document.body.get("data"))}
    for use in sources.charts:
        if use.chart == "argo-cd":
            given = mapping(at(use.values, "configs", "cm"))
            data = {str(key): text_of(value) for key, value in given.items()}
            if EXCLUSIONS not in data and _has_exclusions(use.version):
                data[EXCLUSIONS] = "CiliumIdentity"
            yield use.document, use.path, {"data": data}


def _has_exclusions(version: str) -> bool:
    """Whether Argo CD's chart excludes what Cilium makes by itself, as it does since Argo CD 3.0. A version that is a
    range, or none, is taken for a new one."""
    major = re.match(r"v?(\d+)", version)
    return major is None or int(major[1]) >= FIRST_WITH_EXCLUSIONS


def _is_patch(document: Document) -> bool:
    """A patch of argocd-cm, as deploy/argocd has one, says nothing of what it leaves as it is."""
    data = mapping(document.body.get("data"))
    whole = document.namespace or mapping(document.metadata.get("labels")).get("app.kubernetes.io/part-of") == "argocd"
    return not whole and not any(key.startswith(("resource.exclusions", "application.")) for key in data)
