"""Charts that manifests have a GitOps tool install: Flux, Argo CD, k3s, kustomize. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cnichain.analyze.addons import values_of
from cnichain.analyze.documents import Document, Object, Part, at, mapping, sequence, text


@dataclass(frozen=True)
class ChartUse:
    """A chart that is to be installed. namespace: "" when it is not said. paused: the tool is told to leave it."""

    document: Document
    path: tuple[Part, ...]
    chart: str
    repository: str
    namespace: str
    version: str = ""
    values: Object = field(default_factory=dict)
    paused: bool = False


def chart_uses(documents: Iterable[Document]) -> list[ChartUse]:
    """Every chart in all documents."""
    everything = list(documents)
    repositories = {
        (item.kind, item.name): text(item.spec.get("url"))
        for item in everything
        if item.group == "source.toolkit.fluxcd.io"
    }
    return [use for document in everything for use in _of(document, repositories) if use.chart]


def _of(document: Document, repositories: dict[tuple[str, str], str]) -> Iterator[ChartUse]:
    if document.is_a("HelmRelease", "helm.toolkit.fluxcd.io"):
        yield _flux(document, repositories)
    elif document.is_a("Application", "argoproj.io"):
        yield from _argo(document, document.spec, ("spec",))
    elif document.is_a("ApplicationSet", "argoproj.io"):
        yield from _argo(document, mapping(at(document.spec, "template", "spec")), ("spec", "template", "spec"))
    elif document.is_a("HelmChart", "helm.cattle.io"):
        spec = document.spec
        chart = text(spec.get("chart"))
        yield ChartUse(
            document,
            ("spec", "chart"),
            _last(chart),
            text(spec.get("repo")) or chart,
            text(spec.get("targetNamespace")) or document.namespace,
            text(spec.get("version")),
            values_of(spec.get("valuesContent")),
        )
    elif document.is_a("Kustomization", "kustomize.config.k8s.io"):
        for number, item in enumerate(sequence(document.body.get("helmCharts"))):
            one = mapping(item)
            namespace = text(one.get("namespace")) or text(document.body.get("namespace"))
            yield ChartUse(
                document,
                ("helmCharts", number),
                text(one.get("name")),
                text(one.get("repo")),
                namespace,
                text(one.get("version")),
                mapping(one.get("valuesInline")),
            )


def _flux(document: Document, repositories: dict[tuple[str, str], str]) -> ChartUse:
    spec = document.spec
    chart = mapping(at(spec, "chart", "spec"))
    reference = mapping(spec.get("chartRef")) or mapping(chart.get("sourceRef"))
    url = repositories.get((text(reference.get("kind")), text(reference.get("name"))), "")
    name = _last(text(chart.get("chart")) or url)
    return ChartUse(
        document,
        ("spec", "chart", "spec", "chart") if chart else ("spec", "chartRef"),
        # An OCIRepository that is not among the files is mostly named after its chart.
        name or text(reference.get("name")),
        url,
        text(spec.get("targetNamespace")) or document.namespace,
        text(chart.get("version")),
        mapping(spec.get("values")),
        paused=spec.get("suspend") is True,
    )


def _argo(document: Document, spec: Object, path: tuple[Part, ...]) -> Iterator[ChartUse]:
    sources: list[tuple[Any, tuple[Part, ...]]] = [(spec.get("source"), (*path, "source"))]
    sources += [(item, (*path, "sources", number)) for number, item in enumerate(sequence(spec.get("sources")))]
    for source, where in sources:
        one = mapping(source)
        repository = text(one.get("repoURL"))
        chart = text(one.get("chart")) or (_last(repository) if repository.startswith("oci://") else "")
        yield ChartUse(
            document,
            (*where, "chart"),
            _last(chart),
            repository,
            text(at(spec, "destination", "namespace")),
            text(one.get("targetRevision")),
            values_of(at(one, "helm", "valuesObject")) or values_of(at(one, "helm", "values")),
        )


def _last(reference: str) -> str:
    """The chart's name in a reference: `oci://quay.io/cilium/charts/cilium:1.17.3` and `cilium/cilium` are cilium."""
    name = reference.rstrip("/").rpartition("/")[2]
    return name.partition(":")[0].partition("@")[0].removesuffix(".tgz")
