"""What the operator would gather from a cluster, found in manifests instead, each thing with its document. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cnichain.analyze.addons import POD_IDENTITY, VPC_CNI, AddOn, add_ons, aws_node_of, values_of
from cnichain.analyze.charts import ChartUse, chart_uses
from cnichain.analyze.documents import Document, Object, Part, Unreadable, at, mapping, mappings, sequence, text
from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.preflight.combination import POLICY_AGENT_CONTAINERS
from cnichain.preflight.gathered import DaemonSetSeen
from cnichain.preflight.primary import arguments_of, container_of, environment_of, version_of
from cnichain.preflight.primary_checks import INIT_CONTAINER
from cnichain.preflight.project import daemon_set_seen

T = TypeVar("T")
AWS_NODE = "aws-node"
DAEMON_SET_OF_CHART = {
    "linkerd2-cni": "linkerd-cni",
    "istio-cni": "istio-cni-node",
    "multus": "kube-multus-ds",
    "rke2-multus": "kube-multus-ds",
    POD_IDENTITY: POD_IDENTITY,
}
"""Charts that bring a DaemonSet which the operator's checks know by name."""
KUSTOMIZATIONS: dict[str, tuple[str, ...]] = {
    "kustomize.config.k8s.io": (),
    "kustomize.toolkit.fluxcd.io": ("spec",),
}
"""Groups of the kind Kustomization, and where each has its patches."""
MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an object that does not have the form of its kind comes to: the API server would refuse it."""


@dataclass(frozen=True)
class Found:
    """Something that a document tells, and the path of the field that tells it."""

    document: Document
    path: tuple[Part, ...]
    what: DaemonSetSeen


@dataclass(frozen=True)
class Primary:
    """Settings of the VPC CNI. daemon_set: the DaemonSet aws-node as they make it. places: of the variables.
    direct: they stand on the DaemonSet itself. versioned: its image is named.
    """

    document: Document
    daemon_set: Object
    places: Mapping[str, tuple[Part, ...]]
    path: tuple[Part, ...]
    direct: bool
    versioned: bool


@dataclass
class Sources:
    """Everything that the checks need of all documents. malformed: those without the form of their kind."""

    documents: list[Document]
    add_ons: list[AddOn]
    charts: list[ChartUse]
    daemon_sets: list[Found] = field(default_factory=list)
    primaries: list[Primary] = field(default_factory=list)
    malformed: list[Unreadable] = field(default_factory=list)

    def of(self, kind: str, group: str = "") -> list[Document]:
        """All documents of a kind."""
        return [item for item in self.documents if item.is_a(kind, group)]

    def read(self, document: Document, make: Callable[..., T], *given: Any) -> T | None:
        """What `make` reads of a document's parts; None, and a note of it, when they do not have the form."""
        try:
            return make(*given)
        except MALFORMED as error:
            what = f"{document.kind} {document.name}"
            why = f"{what} does not have the form of its kind ({type(error).__name__}: {error})"
            bad = Unreadable(document.file, document.line, why)
            if bad not in self.malformed:
                self.malformed.append(bad)
            return None

    @property
    def pod_identity(self) -> bool:
        """Whether anything says that EKS Pod Identity is in use."""
        return (
            any(item.name == POD_IDENTITY for item in self.add_ons)
            or any(item.what.name.startswith(POD_IDENTITY) for item in self.daemon_sets)
            or any(item.kind == "PodIdentityAssociation" for item in self.documents)
        )


def sources_of(documents: Iterable[Document]) -> Sources:
    """The sources in all documents."""
    everything = list(documents)
    found = Sources(everything, add_ons(everything), chart_uses(everything))
    found.daemon_sets = [*_daemon_sets(found), *_of_charts(found), *_of_istio(found)]
    found.primaries = list(_primaries(found))
    return found


def placed(document: Document) -> dict[str, Any]:
    """A DaemonSet's body with what a patch leaves out: namespace and pod template."""
    body = document.body
    namespace = document.namespace or CILIUM_NAMESPACE
    template = mapping(document.spec.get("template"))
    pod = mapping(template.get("spec"))
    return {
        **body,
        "metadata": {**document.metadata, "namespace": namespace, "name": document.name},
        "spec": {**document.spec, "template": {**template, "spec": pod}},
    }


def _daemon_sets(found: Sources) -> Iterator[Found]:
    for document in found.of("DaemonSet", "apps"):
        seen = found.read(document, daemon_set_seen, placed(document))
        if seen is not None:
            yield Found(document, ("metadata", "name"), seen)


def _of_charts(found: Sources) -> Iterator[Found]:
    for use in found.charts:
        name = DAEMON_SET_OF_CHART.get(use.chart, "")
        if use.chart == "cni" and "istio" in use.repository:
            name = "istio-cni-node"
        elif use.chart in {"kuma", "kong-mesh"}:
            place = use.values if use.chart == "kuma" else mapping(use.values.get("kuma"))
            name = "kuma-cni-node" if at(place, "cni", "enabled") is True else ""
        if name:
            yield Found(use.document, use.path, DaemonSetSeen(use.namespace or "default", name, ()))


def _of_istio(found: Sources) -> Iterator[Found]:
    for document in found.of("IstioCNI", "sailoperator.io"):
        namespace = text(document.spec.get("namespace")) or "istio-cni"
        yield Found(document, ("kind",), DaemonSetSeen(namespace, "istio-cni-node", ()))
    for document in found.of("IstioOperator", "install.istio.io"):
        if at(document.spec, "components", "cni", "enabled") is True:
            path = ("spec", "components", "cni", "enabled")
            yield Found(document, path, DaemonSetSeen(document.namespace or "istio-system", "istio-cni-node", ()))


def _primaries(found: Sources) -> Iterator[Primary]:
    for document in [*found.of("DaemonSet", "apps"), *_inline_patches(found)]:
        if document.name == AWS_NODE and document.namespace in {"", CILIUM_NAMESPACE}:
            primary = found.read(document, _of_daemon_set, document)
            if primary is not None:
                yield primary
    for item in found.add_ons:
        if item.name == VPC_CNI:
            yield _of_values(item.document, item.path, item.configuration, item.version)
    for use in found.charts:
        if use.chart == "aws-vpc-cni":
            tag = text(at(use.values, "image", "tag"))
            yield _of_values(use.document, use.path, use.values, tag)


def _inline_patches(found: Sources) -> Iterator[Document]:
    """Strategic merge patches of DaemonSets that stand in a kustomization's own text, of kustomize or of Flux."""
    for group, inside in KUSTOMIZATIONS.items():
        for document in found.of("Kustomization", group):
            patches = at(document.body, *inside, "patches")
            for number, item in enumerate(sequence(patches)):
                body = values_of(mapping(item).get("patch"))
                line = document.line_of(*inside, "patches", number, "patch")
                patch = Document(body, document.file, line)
                if patch.is_a("DaemonSet", "apps"):
                    yield patch


def _of_daemon_set(document: Document) -> Primary:
    body = placed(document)
    places: dict[str, tuple[Part, ...]] = {}
    for kind in ("initContainers", "containers"):
        base = ("spec", "template", "spec", kind)
        for number, container in enumerate(sequence(at(body, *base))):
            for at_number, variable in enumerate(mappings(mapping(container).get("env"))):
                places[text(variable.get("name"))] = (*base, number, "env", at_number)
    # Read once as the checks will read it, so that a malformed one is told here.
    for name in (AWS_NODE, INIT_CONTAINER, *POLICY_AGENT_CONTAINERS):
        environment_of(body, name)
        arguments_of(body, name)
    version_of(body, AWS_NODE)
    versioned = bool(container_of(body, AWS_NODE).get("image"))
    return Primary(document, body, places, ("metadata", "name"), direct=True, versioned=versioned)


def _of_values(document: Document, path: tuple[Part, ...], values: Object, version: str) -> Primary:
    body = aws_node_of(values, version)
    versioned = bool(container_of(body, AWS_NODE).get("image"))
    return Primary(document, body, {}, path, direct=False, versioned=versioned)
