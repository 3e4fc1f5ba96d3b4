"""Each kind of gap: found where it is, and not where it is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnichain.cli.evidencetext import as_text
from cnichain.evidence.gaps import EXAMPLES, FINDERS, GAPS, find_gaps
from cnichain.evidence.model import Evidence, NodeFact, PodFact, VerdictFact
from evidencesample import healthy, sample

WELL = healthy()
DOCS = Path(__file__).resolve().parents[2] / "docs" / "evidence.md"
POD = (PodFact("shop", "web-0", "n1", "why"),)


def spec(**changes: Any) -> Evidence:
    return replace(WELL, chain=replace(WELL.chain, spec={**WELL.chain.spec, **changes}))


CASES: dict[str, tuple[Evidence, str]] = {
    "NotReadable": (replace(WELL, unread=("list pods: forbidden",)), "list pods: forbidden"),
    "PolicyAuditMode": (spec(policyAuditMode=True), "spec.policyAuditMode is true"),
    "OtherEngine": (
        replace(WELL, policies=replace(WELL.policies, counts={"NetworkPolicy.projectcalico.org": 2})),
        "NetworkPolicy.projectcalico.org: 2",
    ),
    "ChainNotReady": (replace(WELL, chain=replace(WELL.chain, conditions=())), "there is no CNIChain with a status"),
    "NodeNotVerified": (replace(WELL, nodes=(NodeFact("n1"),)), "n1: no report from its agent"),
    "NodeOutOfScope": (replace(WELL, nodes=(NodeFact("f1", kind="Fargate", pods=3),)), "f1: Fargate, 3 pods"),
    "FailsOpen": (spec(conflist={"onCiliumDown": "Open"}), ""),
    "UnmanagedPods": (replace(WELL, pods={"unmanaged": POD}), "shop/web-0 (why)"),
    "HostNetworkPods": (replace(WELL, pods={"hostNetwork": POD}), "shop/web-0"),
    "SecurityGroupPods": (replace(WELL, pods={"securityGroup": POD}), "shop/web-0"),
    "NamespaceWithoutPolicy": (
        replace(
            WELL,
            policies=replace(WELL.policies, namespaces=(replace(WELL.policies.namespaces[1], unselected=24),)),
        ),
        "shop: 24 pods",
    ),
    "PodsWithoutPolicy": (replace(WELL, pods={"unselected": POD}), "shop/web-0"),
    "PodIdentityCutOff": (replace(WELL, pods={"podIdentity": POD}), "shop/web-0"),
    "FlowExportOff": (
        replace(WELL, export=replace(WELL.export, exporters=(replace(WELL.export.exporters[0], active=False),))),
        "",
    ),
    "FlowExportNarrowed": (
        spec(hubble={"export": {"profile": "denied", "deny": [{"sourcePod": ["kube-system/"]}]}}),
        "kube-system/",
    ),
    "VerdictsNotRead": (replace(WELL, verdicts=VerdictFact(2, 1, unread={"n1": "no answer"})), "n1: no answer"),
    "ImageNotPinned": (
        replace(WELL, images=(replace(WELL.images[0], image="a:v1", pinned=False),)),
        "a:v1 (no digest)",
    ),
    "StandInChart": (
        replace(WELL, chain=replace(WELL.chain, versions={**WELL.chain.versions, "chartSource": "stand-in"})),
        "",
    ),
    "CertificateExpiring": (
        replace(WELL, certificates=(replace(WELL.certificates[0], not_after="2026-12-01T00:00:00Z"),)),
        "2026-12-01",
    ),
}


def test_nothing_is_found_where_nothing_is() -> None:
    assert list(find_gaps(WELL)) == []


@pytest.mark.parametrize("code", GAPS)
def test_a_gap_is_found_alone_and_with_its_example(code: str) -> None:
    evidence, example = CASES[code]
    found = list(find_gaps(evidence))
    assert [gap.code for gap in found] == [code]
    assert not example or any(example in one for one in found[0].examples), found[0].examples
    assert found[0].detail.endswith(".")


def test_audit_mode_is_found_in_what_agents_are_told_too() -> None:
    """Whoever set it by hand in cilium-config is found out."""
    export = replace(WELL.export, settings={**WELL.export.settings, "policy-audit-mode": "true"})
    assert [gap.code for gap in find_gaps(replace(WELL, export=export))] == ["PolicyAuditMode"]


def test_every_kind_has_a_finder_and_a_place_in_the_docs() -> None:
    assert list(FINDERS) == list(GAPS)
    said = DOCS.read_text(encoding="utf-8")
    missing = [code for code in GAPS if f"`{code}`" not in said]
    assert missing == [], "docs/evidence.md lacks them"


def test_a_thousand_pods_are_counted_and_twenty_named() -> None:
    pods = tuple(PodFact("a", f"p{number}", "n") for number in range(1000))
    (gap,) = find_gaps(replace(WELL, pods={"hostNetwork": pods}))
    assert (gap.count, gap.detail, len(gap.examples)) == (1000, "1000 pods.", EXAMPLES)


def test_the_summary_fits_a_terminal_and_names_each_gap() -> None:
    text = as_text(sample(), ["evidence-2026.tar.gz", "evidence-2026.pub.pem"], f"sha256:{'0' * 64}")
    assert max(map(len, text.splitlines())) <= 80
    for gap in sample().gaps:
        assert f"- {gap.title[:40]}" in text
    assert "Written: evidence-2026.tar.gz" in text
    assert "1/2" not in text
    assert "2 of 3 in scope have a verified chain" in text
