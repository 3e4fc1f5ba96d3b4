"""Calico in manifests: one that is not the CNIChain's enforces NetworkPolicy as well. Pure."""

from collections.abc import Iterator

from cnichain.analyze.basis import Basis
from cnichain.analyze.documents import Document, Part
from cnichain.analyze.problem import Problem
from cnichain.analyze.sources import Sources
from cnichain.preflight.gathered import DaemonSetSeen
from cnichain.preflight.othercalico import OPERATOR_NAME
from cnichain.preflight.project import calico_dataplane

CALICO_NODE = (DaemonSetSeen("calico-system", "calico-node", ()),)
"""What stands for a Calico of whatever installation."""
FELIX_GROUPS = ("crd.projectcalico.org", "projectcalico.org")


def calico_places(sources: Sources) -> list[tuple[Document, tuple[Part, ...]]]:
    """What installs a Calico, beside the CNIChain."""
    found: list[tuple[Document, tuple[Part, ...]]] = [
        (item, ("kind",)) for item in sources.of("Installation", "operator.tigera.io")
    ]
    found += [(use.document, use.path) for use in sources.charts if use.chart == OPERATOR_NAME]
    return found + [(one.document, one.path) for one in sources.daemon_sets if one.what.name == CALICO_NODE[0].name]


def calico_problems(basis: Basis, sources: Sources) -> Iterator[Problem]:
    """Its data plane, that it enforces beside another engine, and a second tigera-operator."""
    for document in sources.of("Installation", "operator.tigera.io"):
        plane = sources.read(document, calico_dataplane, document.body, None)
        path: tuple[Part, ...] = ("spec", "calicoNetwork", "linuxDataplane")
        yield from basis.check(
            ["calico-dataplane"], document, *path, gathered=basis.gathered(calico_dataplane=plane or "")
        )
    for document in (item for group in FELIX_GROUPS for item in sources.of("FelixConfiguration", group)):
        gathered = basis.gathered(calico_dataplane=calico_dataplane(None, {"spec": document.spec}))
        yield from basis.check(["calico-dataplane"], document, "spec", "bpfEnabled", gathered=gathered)
    for at, path in calico_places(sources)[:1] if basis.chain else []:
        yield from basis.check(["policy-engines"], at, *path, gathered=basis.gathered(daemon_sets=CALICO_NODE))
    operators = _operators(sources)
    for document, path in operators[1:2]:
        names = tuple(sorted({_name(item, where, sources) for item, where in operators}))
        yield from basis.check(["tigera-operators"], document, *path, gathered=basis.gathered(tigera_operators=names))


def _operators(sources: Sources) -> list[tuple[Document, tuple[Part, ...]]]:
    plain = [item for item in sources.of("Deployment", "apps") if item.name == OPERATOR_NAME]
    found: list[tuple[Document, tuple[Part, ...]]] = [(item, ("metadata", "namespace")) for item in plain]
    return found + [(use.document, use.path) for use in sources.charts if use.chart == OPERATOR_NAME]


def _name(document: Document, path: tuple[Part, ...], sources: Sources) -> str:
    uses = (use.namespace for use in sources.charts if use.document is document and use.path == path)
    return f"{next(uses, document.namespace) or 'default'}/{OPERATOR_NAME}"
