"""What network policies in manifests do to the chain: credentials that they cut off, and layer 7. Pure.

EKS Pod Identity serves credentials on the node at 169.254.170.23, TCP port 80. Cilium takes that address for the entity
`host`, which no CIDR covers (cilium issue 34387), so that an egress policy needs `toEntities: [host]`.
"""

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.analyze.documents import Document, Object, Part, at, mapping, mappings, sequence, text
from cnichain.analyze.problem import Problem, Severity, problem
from cnichain.api.chain import PolicyEngine
from cnichain.api.reasons import Reason

AGENT_ADDRESS = ipaddress.ip_address("169.254.170.23")
AGENT_PORT = 80
CILIUM_KINDS = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")
HOST_ENTITIES = {"host", "all"}
PEERS = ("toEndpoints", "toEntities", "toCIDR", "toCIDRSet", "toFQDNs", "toServices", "toNodes", "toGroups")
"""Fields of an egress rule that say whereto; without any of them it is to anywhere."""
LAYER7_SOURCE = "https://docs.cilium.io/en/stable/installation/cni-chaining-aws-cni/"
EVERYWHERE = "*"


@dataclass(frozen=True)
class Rules:
    """One spec of a policy. scope: its namespace, or EVERYWHERE. selector: of pods, as canonical text; "" is all."""

    document: Document
    path: tuple[Part, ...]
    spec: Object
    scope: str
    selector: str
    restricts: bool
    allows: bool


def policy_problems(documents: Iterable[Document], engine: PolicyEngine, *, in_use: bool) -> Iterator[Problem]:
    """Problems of all policies. in_use: something says that pods use EKS Pod Identity."""
    rules = [item for document in documents for item in _rules(document, engine)]
    open_for = {(item.scope, item.selector) for item in rules if item.allows}
    for item in rules:
        covered = {
            (item.scope, item.selector), (item.scope, ""), (EVERYWHERE, ""), (EVERYWHERE, item.selector),
        } & open_for  # fmt: skip
        if item.restricts and not covered:
            yield _cut_off(item, in_use)
        yield from _layer7(item)


def _cut_off(item: Rules, in_use: bool) -> Problem:
    whom = "pods that it selects lose" if in_use else "if pods that it selects use EKS Pod Identity, they lose"
    by_cidr = any(_names_address(rule) for rule in mappings(item.spec.get("egress")))
    why = " A CIDR does not cover it: to Cilium the address is the entity host." if by_cidr else ""
    said = f"no policy here lets egress reach the Pod Identity agent (host, TCP 80), so {whom} their credentials.{why}"
    severity = Severity.WARNING if in_use else Severity.NOTE
    source = "https://github.com/cilium/cilium/issues/34387"
    return problem(severity, Reason.POD_IDENTITY_AGENT, item.document, said, *item.path, "egress", source=source)


def _names_address(rule: Object) -> bool:
    cidrs = [text(one) for one in sequence(rule.get("toCIDR"))]
    cidrs += [text(one.get("cidr")) for one in mappings(rule.get("toCIDRSet"))]
    cidrs += [text(at(one, "ipBlock", "cidr")) for one in mappings(rule.get("to"))]
    return any(str(AGENT_ADDRESS) in one for one in cidrs)


def _rules(document: Document, engine: PolicyEngine) -> Iterator[Rules]:
    if document.is_a("NetworkPolicy", "networking.k8s.io"):
        spec = document.spec
        types = sequence(spec.get("policyTypes"))
        restricts = "Egress" in types or (not types and "egress" in spec)
        allows = restricts and any(_np_allows(rule, engine) for rule in mappings(spec.get("egress")))
        yield Rules(
            document, ("spec",), spec, _namespace(document), _canonical(spec.get("podSelector")), restricts, allows
        )
    elif document.kind in CILIUM_KINDS and document.group == "cilium.io":
        specs = [(("spec",), document.body.get("spec"))]
        specs += [(("specs", number), item) for number, item in enumerate(sequence(document.body.get("specs")))]  # type: ignore[misc]
        scope = _namespace(document) if document.kind == CILIUM_KINDS[0] else EVERYWHERE
        for path, item in specs:
            if isinstance(item, Mapping) and "nodeSelector" not in item:
                selector = _canonical(item.get("endpointSelector"))
                allows = any(_cnp_allows(rule) for rule in mappings(item.get("egress")))
                yield Rules(document, path, item, scope, selector, _cnp_restricts(item), allows)


def _namespace(document: Document) -> str:
    return document.namespace or "default"


def _canonical(selector: Any) -> str:
    given = {key: value for key, value in mapping(selector).items() if value}
    return json.dumps(given, sort_keys=True, default=str) if given else ""


def _cnp_restricts(spec: Object) -> bool:
    """A direction with a rule is closed to all else, unless enableDefaultDeny says otherwise."""
    if at(spec, "enableDefaultDeny", "egress") is False:
        return False
    return bool(sequence(spec.get("egress")) or sequence(spec.get("egressDeny")))


def _cnp_allows(rule: Object) -> bool:
    ports = mappings(rule.get("toPorts"))
    entities = {text(one) for one in sequence(rule.get("toEntities"))}
    # A rule without anything allows nothing; one with ports alone allows them to anywhere.
    anywhere = bool(ports) and not any(key in rule for key in PEERS)
    if not entities & HOST_ENTITIES and not anywhere:
        return False
    return not ports or any(_port(one) for item in ports for one in mappings(item.get("ports")) or [{}])


def _np_allows(rule: Object, engine: PolicyEngine) -> bool:
    ports, peers = mappings(rule.get("ports")), mappings(rule.get("to"))
    if ports and not any(_port(one) for one in ports):
        return False
    if not peers:
        return True
    blocks = [text(at(one, "ipBlock", "cidr")) for one in peers]
    return engine is PolicyEngine.CALICO and any(_holds_address(one) for one in blocks)


def _holds_address(cidr: str) -> bool:
    try:
        return AGENT_ADDRESS in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def _port(one: Object) -> bool:
    """Whether a port of a policy is, or holds, TCP port 80. A named port is none of the host's."""
    if text(one.get("protocol") or "TCP").upper() not in {"TCP", "ANY"}:
        return False
    first = str(one.get("port", "0"))
    if first == "0":
        return True
    if not first.isdecimal():
        return False
    end = str(one.get("endPort") or first)
    return int(first) <= AGENT_PORT <= (int(end) if end.isdecimal() else int(first))


def _layer7(item: Rules) -> Iterator[Problem]:
    for direction in ("ingress", "egress"):
        for number, rule in enumerate(sequence(item.spec.get(direction))):
            one = mapping(rule)
            path: tuple[Part, ...] = (*item.path, direction, number)
            names = sequence(one.get("toFQDNs"))
            kinds = sorted({str(key) for port in mappings(one.get("toPorts")) for key in mapping(port.get("rules"))})
            if names or kinds:
                what = "toFQDNs" if names else f"rules for {', '.join(kinds)}"
                said = f"{direction} has {what}, which Cilium's proxy enforces: limited and untested in a chain."
                path = (*path, "toFQDNs" if names else "toPorts")
                yield problem(
                    Severity.WARNING, Reason.LAYER7_IN_CHAIN, item.document, said, *path, source=LAYER7_SOURCE
                )
                return
