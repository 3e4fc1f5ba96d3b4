"""All of `analyze`: the operator's own checks on what manifests tell, and those that only manifests allow. Pure.

A check sees one document at a time where it is about one, so that what it says has a place. What no manifest tells (the
agents' reports, most of the nodes) is not looked at: absence from the files is not absence from the cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cnichain.analyze.around import NOT_IN_MANIFESTS, around_problems
from cnichain.analyze.basis import Basis
from cnichain.analyze.chain import field_in, is_chain, singletons, spec_of, spec_problems
from cnichain.analyze.documents import Document, Unreadable
from cnichain.analyze.gitops import gitops_problems
from cnichain.analyze.policies import policy_problems
from cnichain.analyze.problem import Problem, Severity
from cnichain.analyze.sources import sources_of
from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.catalogue.model import Catalogue, parse_version
from cnichain.preflight.gathered import Gathered, NodesSeen
from cnichain.preflight.subject import Subject

SPEC_CHECKS = (
    "release", "values", "chaining-mode", "cluster-id", "kubernetes-version", "calico-version", "tolerations",
)  # fmt: skip
"""About the CNIChain and nothing else."""
ORDER = list(Severity)


@dataclass(frozen=True)
class Analysis:
    """problems: the worst first, then by place. unreadable: documents without the form of their kind."""

    problems: tuple[Problem, ...]
    unreadable: tuple[Unreadable, ...] = ()
    chains: int = 0


def analyze(
    documents: Sequence[Document], catalogue: Catalogue, *, installed: str = "", kubernetes: str = ""
) -> Analysis:
    """Everything that is wrong in the documents, taken for those of one cluster.

    installed: the version of Cilium that is there, "" when none is known. kubernetes: the cluster's version, or "".
    """
    sources = sources_of(documents)
    chains = [item for item in documents if is_chain(item)]
    found = list(singletons(chains))
    good: list[tuple[Document, CNIChainSpec]] = []
    for document in chains:
        spec = spec_of(document)
        if isinstance(spec, Problem):
            found.append(spec)
            continue
        good.append((document, spec))
        found += spec_problems(document, spec, catalogue, installed)
    basis = _basis(good, catalogue, kubernetes)
    for document, spec in good:
        for item in basis.check(SPEC_CHECKS, document, "spec", "cilium", spec=spec, gathered=Gathered()):
            path = field_in(item.message, document)
            found.append(replace(item, line=document.line_of(*path)) if len(path) > 1 else item)
    found += around_problems(basis, sources)
    found += gitops_problems(sources)
    found += policy_problems(documents, basis.subject.spec.policy_engine, in_use=sources.pod_identity)
    ordered = sorted(dict.fromkeys(found), key=lambda item: (ORDER.index(item.severity), item.file, item.line))
    return Analysis(tuple(ordered), tuple(sources.malformed), len(chains))


def _basis(good: Sequence[tuple[Document, CNIChainSpec]], catalogue: Catalogue, kubernetes: str) -> Basis:
    newest = max((item.version for item in catalogue.cilium), key=lambda one: parse_version(one) or (0, 0, 0))
    chain, spec = good[0] if good else (None, parse_spec({"cilium": {"version": newest}}))
    plugin = spec.primary.plugin if spec.primary.plugin in catalogue.primaries else next(iter(catalogue.primaries))
    subject = Subject(
        spec=spec,
        catalogue=catalogue,
        rule=catalogue.primaries[plugin],
        kubernetes=kubernetes,
        primary_read=None,
        nodes_read=NodesSeen(),
        gathered=Gathered(kube_proxy_mode=NOT_IN_MANIFESTS),
    )
    return Basis(subject, chain)
