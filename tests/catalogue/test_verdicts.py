"""What the catalogue says about a combination: the pairs that are known to break, and what nobody tests."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import REASONS, Reason
from cnichain.catalogue.facts import CombinationFacts, NodeSystem
from cnichain.catalogue.load import builtin_catalogue, extended
from cnichain.catalogue.records import VersionRange, parse_minor
from cnichain.catalogue.rules import verdicts
from cnichain.catalogue.verdict import Level, Verdict, refusals, warnings

CATALOGUE = builtin_catalogue()
AL2023 = NodeSystem("6.1.119-129.201.amzn2023.x86_64", "Amazon Linux 2023.6.20241212", 3, "ip-10-0-1-1")
GOOD = CombinationFacts(
    cilium="1.19.6",
    kubernetes="v1.33.5-eks-113cf36",
    primary=PrimaryPlugin.AWS_VPC_CNI,
    primary_version="v1.19.2-eksbuild.1",
    nodes=(AL2023,),
    kube_proxy_mode="iptables",
    chaining_mode="aws-cni",
    cluster_id=0,
    cilium_network_policy=True,
    primary_network_policy=False,
    calico_network_policy=False,
    calico="",
    pod_security_groups=False,
    values={},
)


def judged(**changes: object) -> list[Verdict]:
    return verdicts(CATALOGUE, replace(GOOD, **changes))  # type: ignore[arg-type]  # each test gives the right types


def reasons(found: list[Verdict]) -> set[Reason]:
    return {item.reason for item in found}


def test_a_tested_combination_has_neither_refusal_nor_warning_and_says_what_was_looked_at() -> None:
    found = judged()
    assert refusals(found) == []
    assert warnings(found) == []
    said = " ".join(item.message for item in found)
    assert "Cilium 1.19.6 is tested on Kubernetes 1.33." in said
    assert "Linux 6.1.119-129.201.amzn2023.x86_64 is new enough" in said


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"kube_proxy_mode": "ipvs"}, Reason.KUBE_PROXY_IPVS, "ipvs"),
        ({"cluster_id": 128}, Reason.CLUSTER_ID_UNUSABLE, "128 to 255"),
        ({"cluster_id": 255}, Reason.CLUSTER_ID_UNUSABLE, "128 to 255"),
        ({"cluster_id": 384}, Reason.CLUSTER_ID_UNUSABLE, "384 to 511"),
        ({"cluster_id": 511}, Reason.CLUSTER_ID_UNUSABLE, "384 to 511"),
        ({"chaining_mode": "generic-veth"}, Reason.CHAINING_MODE_UNSAFE, "SNAT"),
        ({"calico": "3.32.1", "calico_dataplane": "BPF"}, Reason.CALICO_DATAPLANE_CONFLICT, "eBPF"),
        ({"primary_network_policy": True, "calico_network_policy": True}, Reason.POLICY_ENGINES_TOO_MANY, "Calico"),
        (
            {
                "nodes": (
                    AL2023,
                    NodeSystem("4.18.0-553.el8_10.x86_64", "Red Hat Enterprise Linux 8.10 (Ootpa)", 1, "r"),
                )
            },
            Reason.NODE_OS_UNSUPPORTED,
            "r: Red Hat Enterprise Linux 8.10 (Ootpa), Linux 4.18.0",
        ),
        (
            {"nodes": (NodeSystem("5.4.0-200-generic", "Ubuntu 20.04.6 LTS", 2, "u"),)},
            Reason.NODE_OS_UNSUPPORTED,
            "Ubuntu 20.04",
        ),
        (
            {"nodes": (NodeSystem("5.4.0-200-generic", "Ubuntu 20.04.6 LTS", 2, "u"),)},
            Reason.KERNEL_TOO_OLD,
            "u and 1 more with Linux 5.4.0-200-generic",
        ),
    ],
)
def test_what_is_known_to_break_is_refused_with_a_reason_and_a_source(
    changes: dict[str, object], reason: Reason, words: str
) -> None:
    found = [item for item in refusals(judged(**changes)) if item.reason is reason]
    assert len(found) == 1, judged(**changes)
    assert words in found[0].message
    assert found[0].source.startswith("https://")


@pytest.mark.parametrize(
    "changes",
    [
        {"cilium": "1.18.12", "kube_proxy_mode": "ipvs"},
        {"kube_proxy_mode": "nftables"},
        {"cluster_id": 127},
        {"cluster_id": 256},
        {"cluster_id": 383},
        {"chaining_mode": "generic-veth", "primary": PrimaryPlugin.GENERIC_VETH},
        {"calico": "3.32.1", "calico_dataplane": "Iptables"},
        {"cilium": "1.17.18", "nodes": (NodeSystem("5.4.0-200-generic", "Ubuntu 20.04.6 LTS"),)},
        {"cilium": "1.17.18", "nodes": (NodeSystem("4.18.0-553.el8_10.x86_64", "Red Hat Enterprise Linux 8.10"),)},
        {"nodes": (NodeSystem("5.15.0-1070-aws", "Ubuntu 20.04.6 LTS"),)},
    ],
)
def test_what_only_looks_like_it_is_not_refused(changes: dict[str, object]) -> None:
    assert refusals(judged(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"kubernetes": "v1.36.1"}, Reason.KUBERNETES_UNTESTED, "1.32 to 1.35; the cluster runs Kubernetes 1.36"),
        ({"kubernetes": "v1.28.0"}, Reason.KUBERNETES_UNTESTED, "the cluster runs Kubernetes 1.28"),
        ({"cilium": "1.20.0", "kubernetes": "v1.36.1"}, Reason.KUBERNETES_UNTESTED, "on EKS 1.32 to 1.35"),
        ({"cilium": "1.17.3"}, Reason.RELEASE_UNMAINTAINED, "Cilium 1.17 gets no more fixes"),
        ({"primary_version": "v1.99.0"}, Reason.PRIMARY_UNTESTED, "newer than 1.23.1"),
        ({"kube_proxy_mode": None}, Reason.KUBE_PROXY_IPVS, "cannot be read"),
        ({"primary_network_policy": True}, Reason.POLICY_ENGINES_OVERLAP, "more than one engine"),
        ({"pod_security_groups": True}, Reason.POD_SECURITY_GROUPS, "vlanBypass"),
        ({"calico": "3.30.0"}, Reason.CALICO_UNTESTED, "3.30.0"),
        ({"calico": "3.26.0"}, Reason.KUBERNETES_UNTESTED, "Calico 3.26.0 is tested on 1.24 to 1.27"),
        ({"calico": "3.32.1"}, Reason.KNOWN_TRAP, "nobody is known to test"),
        ({"primary_version": "v1.12.5"}, Reason.KNOWN_TRAP, "half a file"),
        ({"nodes": (NodeSystem("5.15.0-1070-aws", "Ubuntu 20.04.6 LTS"),)}, Reason.NODE_OS_UNSUPPORTED, "AWS"),
        (
            {"cilium": "1.17.18", "nodes": (NodeSystem("4.18.0-553.el8.x86_64", "Red Hat Enterprise Linux 8.9"),)},
            Reason.KERNEL_UNTESTED,
            "4.18.0",
        ),
        (
            {"cilium": "1.20.0", "values": {"policyEnforcementMode": "always"}},
            Reason.VALUES_UNTESTED,
            "policyEnforcementMode=always",
        ),
    ],
)
def test_what_nobody_tests_is_a_warning_and_no_more(changes: dict[str, object], reason: Reason, words: str) -> None:
    found = judged(**changes)
    assert [words for item in warnings(found) if item.reason is reason and words in item.message], found
    assert refusals(found) == []


def test_nothing_is_refused_for_a_fact_that_nobody_could_tell() -> None:
    """Every fact but the wanted version unknown: only the warnings that say so."""
    for release in CATALOGUE.cilium:
        found = verdicts(CATALOGUE, CombinationFacts(cilium=release.version))
        assert refusals(found) == []
        assert reasons(found) <= {Reason.KUBE_PROXY_IPVS, Reason.RELEASE_UNMAINTAINED}


def test_a_version_that_the_catalogue_does_not_know_is_judged_by_the_pairs_alone() -> None:
    assert Reason.KUBE_PROXY_IPVS in reasons(judged(cilium="1.21.0", kube_proxy_mode="ipvs"))
    assert Reason.COMBINATION_SUPPORTED not in reasons(judged(cilium="1.21.0"))


def test_refusals_come_first_and_then_what_is_untested() -> None:
    order = [Level.REFUSED, Level.UNTESTED, Level.SUPPORTED]
    levels = [item.level for item in judged(kube_proxy_mode="ipvs", kubernetes="v1.40.0")]
    assert levels == sorted(levels, key=order.index)
    assert set(levels) == set(order)


def test_reasons_of_refusals_stall_and_reasons_of_supported_are_no_warning() -> None:
    for pair in CATALOGUE.pairs:
        if pair.level is Level.REFUSED:
            assert REASONS[pair.reason].terminal, f"{pair.name} refuses with a reason that claims to heal by itself"
    assert not REASONS[Reason.COMBINATION_SUPPORTED].warning


PAIR = """
pairs:
  - {name: kube-proxy-ipvs, level: Untested, reason: KubeProxyIPVS, when: {kubeProxyMode: [ipvs]},
     text: our own kernel makes it work, source: "https://wiki.example.com/ipvs"}
  - {name: ours, level: Refused, reason: ValuesUntested, when: {values: {hostFirewall.enabled: ["true"]}},
     text: we keep the host firewall off, source: "https://wiki.example.com/firewall"}
"""


def test_an_extension_replaces_a_pair_by_its_name_and_adds_one() -> None:
    catalogue = extended(CATALOGUE, PAIR, "a test")
    facts = replace(GOOD, kube_proxy_mode="ipvs", values={"hostFirewall": {"enabled": True}})
    found = {item.message: item.level for item in verdicts(catalogue, facts)}
    assert found["our own kernel makes it work."] is Level.UNTESTED
    assert found["we keep the host firewall off."] is Level.REFUSED
    assert len(catalogue.pairs) == len(CATALOGUE.pairs) + 1


@given(
    st.builds(
        CombinationFacts,
        cilium=st.sampled_from(["1.17.3", "1.18.12", "1.19.6", "1.20.0", "9.9.9", "", "x"]),
        kubernetes=st.none() | st.sampled_from(["v1.33.1", "1.20", "v9.9.9", "x", ""]) | st.text(max_size=12),
        primary=st.none() | st.sampled_from(PrimaryPlugin),
        primary_version=st.none() | st.sampled_from(["v1.11.2", "v1.16.0", "v1.23.1"]) | st.text(max_size=12),
        nodes=st.none() | st.lists(st.builds(NodeSystem, st.text(), st.text()), max_size=3).map(tuple),
        kube_proxy_mode=st.none() | st.text(max_size=8),
        cluster_id=st.none() | st.integers(),
        calico=st.none() | st.sampled_from(["", "3.26.0", "v3.32.1"]) | st.text(max_size=8),
        values=st.none() | st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.text(max_size=5)),
    )
)
def test_no_facts_of_a_cluster_can_make_it_raise(facts: CombinationFacts) -> None:
    for item in verdicts(CATALOGUE, facts):
        assert item.message.endswith(".")
        assert "\n" not in item.message


@pytest.mark.parametrize(
    ("text", "expected"), [("1.33", (1, 33)), ("v1.33.4-eks", (1, 33)), ("6.1.119-x", (6, 1)), ("1", None), ("", None)]
)
def test_minors_are_read(text: str, expected: tuple[int, int] | None) -> None:
    assert parse_minor(text) == expected


def test_a_range_takes_its_lower_end_and_leaves_its_upper_out() -> None:
    tested = VersionRange.model_validate(yaml.safe_load("{min: 1.18.3, below: 1.19.0}"))
    found = [tested.holds(version) for version in ((1, 18, 2), (1, 18, 3), (1, 18, 99), (1, 19, 0))]
    assert found == [False, True, True, False]
