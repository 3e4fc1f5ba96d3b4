"""Does a pair's condition hold for the facts at hand? Yes, no, or nobody can tell. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.catalogue.facts import CombinationFacts, NodeSystem
from cnichain.catalogue.records import VersionRange, When, parse_minor, parse_version


@dataclass(frozen=True)
class Answer:
    """holds: None when a fact is missing and no other condition says no. where: nodes that it holds for."""

    holds: bool | None
    where: tuple[str, ...] = ()


def matches(when: When, facts: CombinationFacts) -> Answer:
    """Whether every condition holds. One that does not outweighs any that nobody can tell."""
    answers = list(_answers(when, facts))
    if False in answers:
        return Answer(False)
    if None in answers:
        return Answer(None)
    return Answer(True, _node_names(when, facts))


def _answers(when: When, facts: CombinationFacts) -> Iterator[bool | None]:
    yield _in_range(when.cilium, facts.cilium)
    yield _in_range(when.primary_version, facts.primary_version)
    # "" says that there is no Calico: no range holds then.
    yield False if when.calico and facts.calico == "" else _in_range(when.calico, facts.calico)
    yield _one_of(when.primary, facts.primary)
    yield _one_of(when.calico_dataplane, facts.calico_dataplane)
    yield _one_of(when.kube_proxy_mode, facts.kube_proxy_mode)
    yield _one_of(when.chaining_mode, facts.chaining_mode)
    if when.cluster_id:
        number = facts.cluster_id
        yield None if number is None else any(first <= number <= last for first, last in when.cluster_id)
    if when.os_image or when.kernel:
        yield None if facts.nodes is None else bool(_node_names(when, facts))
    if when.policy_engines is not None:
        yield _engines(when.policy_engines, facts)
    if when.pod_security_groups is not None:
        given = facts.pod_security_groups
        yield None if given is None else given is when.pod_security_groups
    for path, texts in when.values.items():
        yield None if facts.values is None else _text(facts.values, path) in texts


def _in_range(wanted: VersionRange | None, text: str | None) -> bool | None:
    if wanted is None:
        return True
    version = parse_version(text or "")
    return None if version is None else wanted.holds(version)


def _one_of(wanted: tuple[Any, ...], given: Any) -> bool | None:
    if not wanted:
        return True
    return None if given is None else given in wanted


def _engines(least: int, facts: CombinationFacts) -> bool | None:
    engines = (facts.cilium_network_policy, facts.primary_network_policy, facts.calico_network_policy)
    on, unknown = engines.count(True), engines.count(None)
    if on >= least:
        return True
    return None if on + unknown >= least else False


def _node_names(when: When, facts: CombinationFacts) -> tuple[str, ...]:
    """An example of each kind of node that matches; none when the condition is not about nodes."""
    if not when.os_image and not when.kernel:
        return ()
    found = [system for system in facts.nodes or () if _is_system(when, system)]
    return tuple(f"{system.example or 'a node'}: {system.os_image}, Linux {system.kernel}" for system in found)


def _is_system(when: When, system: NodeSystem) -> bool:
    kernel = parse_minor(system.kernel)
    right_kernel = when.kernel is None or (kernel is not None and when.kernel.holds(kernel))
    return right_kernel and (not when.os_image or system.os_image.startswith(when.os_image))


def _text(values: Mapping[str, Any], path: str) -> str | None:
    """The value at a dotted path as the text that YAML would show; None when it is not set."""
    node: Any = values
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    if isinstance(node, bool):
        return "true" if node else "false"
    return None if node is None else str(node)
