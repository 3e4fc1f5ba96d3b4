"""The evidence as one self-contained HTML page: no script, nothing from elsewhere. Pure: data in, text out."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from cnichain.evidence.controls import CONTROLS
from cnichain.evidence.gaps import UNMANAGED
from cnichain.evidence.markup import Content, Markup, facts, table, tag
from cnichain.evidence.model import Evidence, GapFact, NodeFact
from cnichain.evidence.style import STYLE

ROWS = 300
"""Rows of a table; the JSON files have all."""
CLAIM = (
    "This report supports evidence for the controls below. It states what was read from the cluster at one moment. "
    "It certifies nothing: whether a control is met is for an assessor to say."
)
SECTIONS = {
    "gaps": "Gaps",
    "chain": "Chain and versions",
    "images": "Images",
    "nodes": "Chain by node",
    "policies": "Policies",
    "verdicts": "Verdicts",
    "export": "Flow export",
    "certificates": "Certificates",
    "controls": "Controls",
    "verify": "How to check this report",
}
"""Ids of the sections, in their order, and their headings."""


def as_html(evidence: Evidence) -> str:
    """The page."""
    title = "CNI chain: evidence of policy enforcement"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}, {evidence.created}"),
        tag("style", Markup(STYLE)),
    )
    makers = {
        "gaps": _gaps, "chain": _chain, "images": _images, "nodes": _nodes, "policies": _policies,
        "verdicts": _verdicts, "export": _export, "certificates": _certificates, "controls": _controls,
        "verify": _verify,
    }  # fmt: skip
    body = tag(
        "body",
        tag("a", "Skip to the gaps", href="#gaps", class_="skip"),
        tag(
            "header",
            tag("h1", title),
            tag("p", f"Read on {evidence.created} by cnichain {evidence.tool}.", class_="soft"),
            tag("p", CLAIM, class_="claim"),
        ),
        tag(
            "nav",
            tag("ul", (tag("li", tag("a", name, href=f"#{id_}")) for id_, name in SECTIONS.items())),
            aria_label="Contents",
        ),
        tag("main", _tiles(evidence), (_section(id_, makers[id_](evidence)) for id_ in SECTIONS)),
        tag("footer", tag("p", f"cnichain {evidence.tool}; cluster {evidence.cluster.uid or 'unknown'}.")),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _section(id_: str, content: Content) -> Markup:
    heading = f"{id_}-heading"
    return tag("section", tag("h2", SECTIONS[id_], id=heading), content, id=id_, aria_labelledby=heading)


def _tiles(evidence: Evidence) -> Markup:
    in_scope = [node for node in evidence.nodes if not node.kind]
    verified = sum(node.verified for node in in_scope)
    spaces = [one for one in evidence.policies.namespaces if one.pods]
    isolated = sum(one.unselected < one.pods for one in spaces)
    unmanaged = len(evidence.pods.get(UNMANAGED, ()))
    active = [one for one in evidence.export.exporters if one.active]
    pairs = (
        (f"{verified}/{len(in_scope)}", "nodes with a verified chain"),
        (f"{evidence.managed}/{evidence.managed + unmanaged}", "pods in scope that Cilium manages"),
        (f"{isolated}/{len(spaces)}", "namespaces with an isolated pod"),
        (evidence.export.profile or "unknown" if active else "off", "flow export"),
        (len(evidence.gaps), "kinds of gaps"),
    )
    return tag("ul", (tag("li", tag("strong", value), tag("span", name)) for value, name in pairs), class_="tiles")


def _gaps(evidence: Evidence) -> Content:
    if not evidence.gaps:
        return tag("p", "None of the known kinds of gaps was found.")
    return [
        tag("p", "What this evidence does not cover, or what weakens it. A gap is no failure; it is yours to judge."),
        (_gap(one) for one in evidence.gaps),
    ]


def _gap(gap: GapFact) -> Markup:
    left = gap.count - len(gap.examples)
    return tag(
        "article",
        tag("h3", gap.title, " ", tag("code", gap.code)),
        tag("p", tag("strong", gap.detail), " ", gap.means),
        tag("p", "Next: ", gap.next),
        tag("ul", (tag("li", one) for one in gap.examples)) if gap.examples else None,
        tag("p", f"and {left} more, in the JSON files of the archive", class_="more")
        if gap.examples and left > 0
        else None,
        class_="gap",
        id=f"gap-{gap.code}",
    )


def _mark(good: bool, yes: str, no: str) -> Markup:
    return tag("span", yes if good else no, class_=f"mark {'good' if good else 'warn'}")


def _code(value: object) -> Content:
    return tag("code", str(value)) if value not in {None, ""} else "-"


def _short(digest: str) -> Content:
    """The beginning of a digest, enough to compare with the eye; the JSON files have all of it."""
    return tag("code", digest.removeprefix("sha256:")[:16], title=digest, class_="nowrap") if digest else "-"


def _time(moment: str) -> Content:
    return tag("time", moment.replace("T", " ").replace("Z", " UTC"), datetime=moment) if moment else "-"


def _chain(evidence: Evidence) -> Content:
    chain, versions, effective = evidence.chain, evidence.chain.versions, evidence.chain.effective
    if not chain.name:
        return tag("p", "There is no CNIChain in this cluster.")
    pairs: list[tuple[str, Content]] = [
        ("Cluster", _code(evidence.cluster.uid)),
        ("Kubernetes", evidence.cluster.kubernetes),
        ("CNIChain", f"{chain.name}, generation {chain.generation}, observed {chain.observed_generation}"),
        ("Primary CNI", f"{effective.get('primary', '')} {versions.get('primary', '')}"),
        ("Cilium", str(versions.get("cilium", ""))),
        ("Calico", str(versions.get("calico") or "none")),
        ("Policy engine", str(effective.get("policyEngine", ""))),
        ("Operator", str(versions.get("operator", ""))),
        ("Chart", [_code(versions.get("chartDigest")), f" ({versions.get('chartSource', '')})"]),
        ("Rendered values", _code(effective.get("valuesDigest"))),
        ("Applied objects", _code(chain.inventory_digest)),
        ("Values set by the user", [_code(", ".join(chain.value_keys)), " (names alone)" if chain.value_keys else ""]),
        ("Policies enforced", _mark(not chain.spec.get("policyAuditMode"), "yes", "no, audit mode")),
        ("While Cilium is down", f"new pods: {effective.get('onCiliumDown', '')}"),
    ]
    rows = [
        (one.type, one.status, tag("code", one.reason, class_="nowrap"), _time(one.since), one.message)
        for one in chain.conditions
    ]
    return [facts(pairs), table("Conditions", ("Condition", "Status", "Reason", "Since", "Message"), rows)]


def _images(evidence: Evidence) -> Content:
    rows = [
        (one.workload, tag("span", one.image, class_="mono"), _mark(one.pinned and one.known, "yes", "no"))
        for one in evidence.images
    ]
    return [
        tag(
            "p",
            "Images of the chain's pods. Pinned: the pod or its runtime names a digest, and Cilium's images are those "
            "of the catalogue.",
        ),
        table("Images", ("Workload", "Image", "Pinned"), rows[:ROWS], total=len(rows)),
    ]


def _nodes(evidence: Evidence) -> Content:
    chained = [node for node in evidence.nodes if not node.kind]
    left_out = [node for node in evidence.nodes if node.kind]
    # What needs a look comes first, so that a long list is not cut there.
    chained.sort(key=lambda node: (node.verified, node.name))
    parts: list[Content] = [
        tag("p", "sha256: of the chained file on the node, its first 16 digits; the JSON files have all."),
        table(
            "Nodes in scope",
            ("Node", "Verified", "State", "Chain", "File", "sha256", "Runtime", "Since"),
            [_node_row(node) for node in chained[:ROWS]],
            total=len(chained),
        ),
    ]
    if left_out:
        rows = [(node.name, node.kind, node.pods) for node in left_out]
        parts.append(table("Nodes without the chain", ("Node", "Why", "Pods"), rows[:ROWS], total=len(rows)))
    return parts


def _node_row(node: NodeFact) -> Sequence[Content]:
    return (
        node.name,
        _mark(node.verified, "yes", "no"),
        " ".join(filter(None, (node.state, node.reason if not node.verified else ""))) or "no report",
        node.chain or "-",
        tag("code", node.file, class_="nowrap") if node.file else "-",
        _short(node.digest),
        node.runtime or "-",
        _time(node.since),
    )


def _policies(evidence: Evidence) -> Content:
    found = evidence.policies
    counts = [(kind, count) for kind, count in found.counts.items()]
    spaces = sorted(found.namespaces, key=lambda one: (-one.unselected, one.name))
    rows = [
        (
            one.name,
            one.pods,
            one.ingress,
            one.egress,
            one.unselected,
            ", ".join(f"{kind} {count}" for kind, count in one.policies.items()) or "-",
        )
        for one in spaces
    ]
    listed = [
        (
            one.name,
            one.namespace or "(cluster)",
            one.kind,
            "not evaluated" if one.selected < 0 else one.selected,
            _short(one.digest),
        )
        for one in found.policies
    ]
    return [
        table("Policies by kind", ("Kind", "Policies"), counts),
        tag(
            "p",
            "Isolated: in that direction a pod gets what some policy allows, and no more. Pods on the host network are "
            "left out.",
        ),
        table(
            "Pods and policies by namespace",
            ("Namespace", "Pods", "Ingress isolated", "Egress isolated", "Not isolated", "Policies"),
            rows[:ROWS],
            total=len(rows),
        ),
        table(
            "All policies",
            ("Policy", "Namespace", "Kind", "Pods selected", "sha256"),
            listed[:ROWS],
            total=len(listed),
        ),
    ]


def _verdicts(evidence: Evidence) -> Content:
    found = evidence.verdicts
    said = f"{found.answered} of {found.asked} nodes in scope answered. Counted since each agent's last start."
    if not found.answered:
        return tag("p", said)
    return [
        tag("p", said),
        table("Flows by verdict", ("Verdict", "Flows"), list(found.flows.items())),
        table("Drops by reason", ("Reason", "Drops"), list(found.drops.items())),
    ]


def _export(evidence: Evidence) -> Content:
    found = evidence.export
    rows = [
        (
            one.name,
            _mark(one.active, "active", "over"),
            _code(one.file),
            _filters(one.include, "all flows"),
            _filters(one.exclude, "none"),
            f"{one.max_size_mb} MB x {one.max_files}" if one.max_size_mb else "by cilium-config",
        )
        for one in found.exporters
    ]
    head = ("Exporter", "State", "File on each node", "Includes", "Excludes", "Rotation")
    return [
        tag("p", f"The profile of the CNIChain is {found.profile or 'unknown'}. This is what the agents read:"),
        table("Flow exporters", head, rows),
        table(
            "Settings of the agents",
            ("Setting", "Value"),
            [(key, _code(value)) for key, value in found.settings.items()],
        ),
    ]


def _filters(filters: Sequence[Mapping[str, Any]], none: str) -> Content:
    shown = [tag("code", json.dumps(one, sort_keys=True)) for one in filters]
    return [[one, tag("br")] for one in shown] if shown else none


def _certificates(evidence: Evidence) -> Content:
    if not evidence.certificates:
        return tag("p", "No certificate could be read.")
    rows = [
        (
            f"{one.secret}/{one.entry}",
            one.subject,
            ", ".join(one.names) or "-",
            one.issuer,
            _time(one.not_after),
            _code(one.fingerprint.removeprefix("sha256:")),
        )
        for one in evidence.certificates
    ]
    head = ("Secret", "Subject", "Names", "Issuer", "Ends", "sha256 fingerprint")
    return table("Certificates of Hubble", head, rows)


def _controls(_: Evidence) -> Content:
    parts: list[Content] = [tag("p", CLAIM)]
    for framework, group in groupby(CONTROLS, key=lambda one: one.framework):
        rows = [
            (
                one.id,
                one.asks,
                [
                    [tag("a", SECTIONS[name], href=f"#{name}"), ", " if name != one.sections[-1] else ""]
                    for name in one.sections
                ],
            )
            for one in group
        ]
        parts.append(table(framework, ("Control", "Is about", "Supports evidence for it"), rows))
    return parts


def _verify(_: Evidence) -> Content:
    command = "cnichain evidence verify ARCHIVE.tar.gz --public-key KEY.pub.pem"
    return [
        tag(
            "p", "The archive that this page came in has a manifest with the sha256 of every file, signed with Ed25519."
        ),
        tag("pre", tag("code", command)),
        tag("p", "It works offline. Take the public key from where its owner keeps it, not from the archive."),
    ]
