"""What is wrong with a CNIChain by itself, before anything is known of a cluster. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cnichain.analyze.documents import Document, Part, mapping, sequence, text
from cnichain.analyze.problem import Problem, Severity, of_finding, problem
from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.api.errors import ChainError
from cnichain.api.names import API_VERSION, GROUP, KIND_CHAIN, SINGLETON
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import Catalogue
from cnichain.render.placement import COMPUTE_TYPE_LABEL, OS_LABEL, OUT_OF_SCOPE_COMPUTE_TYPES
from cnichain.render.reserved import violations
from cnichain.render.speccheck import spec_results

FIELD = re.compile(r"spec((?:\.[A-Za-z0-9_-]+)+)")
VALUE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z0-9_-]+)*")
COSTLY_CONTEXT = re.compile(r"Context=[^;]*\b(pod|ip|pod-name|dns|identity)\b|\b(source|destination)_(ip|pod)\b")
"""Of a metric of Hubble: a series per pod, address or name."""
METRIC_PATHS: tuple[tuple[str, ...], ...] = (
    ("hubble", "metrics", "enabled"),
    ("hubble", "metrics", "dynamic", "config", "content"),
)


def is_chain(document: Document) -> bool:
    """Whether it is a CNIChain, of any version."""
    return document.is_a(KIND_CHAIN, GROUP)


def singletons(chains: Sequence[Document]) -> Iterator[Problem]:
    """A cluster has one CNIChain, named default, of a version that is served."""
    for document in chains:
        if document.name != SINGLETON:
            yield problem(
                Severity.ERROR,
                Reason.NOT_SINGLETON,
                document,
                f"it is named {document.name!r}; a cluster has one CNIChain, and its name is {SINGLETON!r}.",
                "metadata",
                "name",
            )
        if document.body.get("apiVersion") != API_VERSION:
            served = f"apiVersion is {document.body.get('apiVersion')}; {API_VERSION} is served."
            yield problem(Severity.ERROR, Reason.SPEC_INVALID, document, served, "apiVersion")
    named = [item for item in chains if item.name == SINGLETON]
    for document in named[1:]:
        first = named[0]
        said = f"it is also in {first.file}:{first.line}. Give the files of one cluster at a time; it has one CNIChain."
        yield problem(Severity.ERROR, Reason.NOT_SINGLETON, document, said, "metadata", "name")


def spec_of(document: Document) -> CNIChainSpec | Problem:
    """The spec, or why it is none."""
    try:
        return parse_spec(document.body.get("spec"))
    except ChainError as error:
        return problem(Severity.ERROR, error.reason, document, error.message, *field_in(error.message, document))


def spec_problems(document: Document, spec: CNIChainSpec, catalogue: Catalogue, installed: str) -> Iterator[Problem]:
    """What the operator refuses in a spec, or warns of, whatever the cluster is. installed: Cilium, or ""."""
    reserved = violations(spec.cilium.values)
    for path, why in reserved.items():
        place = ("spec", "cilium", "values", *path.split(" ")[0].split("."))
        said = f"spec.cilium.values.{path} is the operator's: {why}."
        yield problem(Severity.ERROR, Reason.RESERVED_VALUE, document, said, *place)
    for result in spec_results(spec, catalogue, installed):
        if result.check.code == "spec-values" and reserved:
            continue  # it says the same, all in one
        found = of_finding(result.finding, document, *field_in(result.finding.message, document))
        if found is not None:
            yield found
    yield from _scope(document, spec)
    yield from _costly(document, spec.cilium.values)


def _scope(document: Document, spec: CNIChainSpec) -> Iterator[Problem]:
    selector = spec.nodes.selector
    os, compute = selector.get(OS_LABEL, "linux"), selector.get(COMPUTE_TYPE_LABEL, "")
    if os != "linux" or compute in OUT_OF_SCOPE_COMPUTE_TYPES:
        what = f"{OS_LABEL}={os}" if os != "linux" else f"{COMPUTE_TYPE_LABEL}={compute}"
        said = f"spec.nodes.selector asks for {what}, and the chain is for Linux nodes on EC2 alone."
        yield problem(Severity.ERROR, Reason.NO_NODES_IN_SCOPE, document, said, "spec", "nodes", "selector")


def _costly(document: Document, values: Any) -> Iterator[Problem]:
    base = ("spec", "cilium", "values")
    for path in METRIC_PATHS:
        costly = sorted({one for one in _texts(_at(values, *path)) if COSTLY_CONTEXT.search(one)})
        if costly:
            where = f"spec.cilium.values.{'.'.join(path)}"
            said = f"{where} has a series per pod, address or name: {'; '.join(costly[:3])}."
            yield problem(Severity.WARNING, Reason.HUBBLE_COSTLY, document, said, *base, *path)
    if text(_at(values, "bpf", "monitorAggregation")).lower() == "none":
        said = "spec.cilium.values.bpf.monitorAggregation is none: every packet becomes an event."
        yield problem(Severity.WARNING, Reason.HUBBLE_COSTLY, document, said, *base, "bpf", "monitorAggregation")


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = mapping(value).get(key)
    return value


def _texts(value: Any) -> Iterable[str]:
    """Metrics as the charts take them: `flow:sourceContext=pod`, or a list of name and contextOptions."""
    for item in sequence(value):
        if isinstance(item, str):
            yield item
        for option in sequence(mapping(item).get("contextOptions")):
            name, chosen = text(mapping(option).get("name")), mapping(option).get("value")
            yield f"{text(mapping(item).get('name'))}:{name}={chosen}"


def field_in(message: str, document: Document) -> tuple[Part, ...]:
    """The path of the first field that a message names, as far as it is there: of spec, or a value of the chart."""
    for match in FIELD.finditer(message):
        return ("spec", *_there(mapping(document.body).get("spec"), match[1].strip(".").split(".")))
    values = ("spec", "cilium", "values")
    for match in VALUE.finditer(message):
        keys = match[0].split(".")
        found = list(_there(_at(document.body, *values), keys))
        if len(found) == len(keys):
            return (*values, *found)
    return ("spec",)


def _there(value: Any, keys: Iterable[str]) -> Iterator[Part]:
    """As much of a path as is there."""
    for key in keys:
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
            yield int(key)
        elif key in mapping(value):
            value = mapping(value)[key]
            yield key
        else:
            return
