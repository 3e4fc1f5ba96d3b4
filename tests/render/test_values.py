"""Values: what the chain needs, what is the user's, and what is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.load import load_catalogue
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.available import check_available
from cnichain.render.reserved import AGENT_SETTINGS, RESERVED, reserved_in
from cnichain.render.values import build_values, cluster_name, deep_merge, values_digest

MakeSpec = Callable[..., CNIChainSpec]
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(st.sampled_from("abcd"), TREES, max_size=4)


def nested(path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    return {head: nested(rest, value) if rest else value}


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(tree, dict):
        return {key: value for name, inner in tree.items() for key, value in leaves(inner, (*path, name)).items()}
    return {path: tree}


@given(MAPPINGS, MAPPINGS)
def test_everything_the_user_says_is_in_the_result(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = leaves(deep_merge(base, over))
    for path, value in leaves(over).items():
        assert merged[path] == value, f"{path} was {value!r} in the user's values"


@given(MAPPINGS, MAPPINGS)
def test_what_the_user_does_not_touch_stays(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged, said = leaves(deep_merge(base, over)), leaves(over)
    for path, value in leaves(base).items():
        touched = any(path[: len(other)] == other or other[: len(path)] == path for other in said)
        emptied = any(isinstance(_at(over, path[:depth]), dict) for depth in range(1, len(path) + 1))
        if not touched and not emptied:
            assert merged[path] == value


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


@given(MAPPINGS, MAPPINGS)
def test_a_merge_can_be_done_again_and_changes_neither_side(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = values_digest(base), values_digest(over)
    once = deep_merge(base, over)
    assert deep_merge(once, over) == once
    assert (values_digest(base), values_digest(over)) == before


def test_an_explicit_null_reaches_the_chart() -> None:
    assert deep_merge({"pdb": {"maxUnavailable": 1, "enabled": True}}, {"pdb": {"maxUnavailable": None}}) == {
        "pdb": {"maxUnavailable": None, "enabled": True}
    }


def test_the_digest_does_not_depend_on_order_and_does_on_content() -> None:
    assert values_digest({"a": 1, "b": {"c": 2, "d": 3}}) == values_digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert values_digest({"a": 1}) != values_digest({"a": "1"})
    assert values_digest({}).startswith("sha256:")


def test_the_values_of_the_chain(make_spec: MakeSpec, facts: ClusterFacts) -> None:
    values = build_values(make_spec(), load_catalogue().cilium_release("1.17.3"), facts)
    assert values["cni"] == {"chainingMode": "aws-cni", "exclusive": False, "uninstall": False}
    assert values["routingMode"] == "native"
    assert values["enableIPv4Masquerade"] is False
    assert values["operator"]["unmanagedPodWatcher"] == {"restart": False}
    assert values["hubble"]["metrics"]["enabled"] == [
        "dns", "drop", "tcp", "flow", "port-distribution", "icmp", "http"
    ]  # fmt: skip
    assert values["hubble"]["relay"]["enabled"] is True
    assert values["hubble"]["ui"]["enabled"] is True
    assert cluster_name(values) == "default"


@pytest.mark.parametrize(("nodes", "replicas"), [(0, 1), (1, 1), (2, 2), (500, 2)])
def test_cilium_operator_has_no_more_replicas_than_nodes(
    make_spec: MakeSpec, facts: ClusterFacts, nodes: int, replicas: int
) -> None:
    release = load_catalogue().cilium_release("1.17.3")
    values = build_values(make_spec(), release, replace(facts, nodes_in_scope=nodes))
    assert values["operator"]["replicas"] == replicas


def test_the_users_values_win_where_they_may(make_spec: MakeSpec, facts: ClusterFacts) -> None:
    user = {"operator": {"replicas": 3}, "cluster": {"name": "prod"}, "cni": {"logFile": "/x"}, "nodeSelector": None}
    values = build_values(make_spec(values=user), load_catalogue().cilium_release("1.20.0"), facts)
    assert values["operator"]["replicas"] == 3
    assert values["operator"]["unmanagedPodWatcher"] == {"restart": False}
    assert values["cni"]["logFile"] == "/x"
    assert values["cni"]["chainingMode"] == "aws-cni"
    assert values["nodeSelector"] is None
    assert cluster_name(values) == "prod"


@pytest.mark.parametrize("key", sorted(RESERVED))
@pytest.mark.parametrize("value", [True, None, "x", ["x"], {"below": 1}, {"below": {}}])
def test_every_reserved_key_is_refused_by_name_and_with_the_reason(
    make_spec: MakeSpec, facts: ClusterFacts, key: str, value: Any
) -> None:
    with pytest.raises(ChainError) as caught:
        build_values(make_spec(values=nested(key, value)), load_catalogue().cilium_release("1.17.3"), facts)
    assert caught.value.reason is Reason.RESERVED_VALUE
    assert key in caught.value.message
    assert RESERVED[key] in caught.value.message


def test_all_reserved_keys_are_named_at_once(make_spec: MakeSpec, facts: ClusterFacts) -> None:
    user = {"cni": {"exclusive": True, "logFile": "/x"}, "hubble": {"tls": {"auto": {"method": "helm"}}}}
    with pytest.raises(ChainError) as caught:
        build_values(make_spec(values=user), load_catalogue().cilium_release("1.17.3"), facts)
    assert "cni.exclusive (" in caught.value.message
    assert "hubble.tls.auto.method (" in caught.value.message
    assert "logFile" not in caught.value.message


@pytest.mark.parametrize("path", ["cni", "hubble", "hubble.relay", "operator", "operator.unmanagedPodWatcher", "tls"])
def test_a_value_that_wipes_reserved_keys_out_is_refused(path: str) -> None:
    assert reserved_in(nested(path, None)) == [path]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"extraConfig": {"cni-exclusive": "true", "fine": "1"}}, ["extraConfig.cni-exclusive"]),
        ({"extraArgs": ["--cni-exclusive=true", "--fine"]}, ["extraArgs --cni-exclusive"]),
        ({"extraArgs": ["--routing-mode", "tunnel"]}, ["extraArgs --routing-mode"]),
        (
            {"extraEnv": [{"name": "CILIUM_CNI_EXCLUSIVE", "value": "1"}, {"name": "IPAM", "value": "1"}]},
            ["extraEnv CILIUM_CNI_EXCLUSIVE"],
        ),
        ({"extraConfig": {"CNI-Exclusive": "true"}}, ["extraConfig.CNI-Exclusive"]),
        ({"agent": {}, "cni": {"chainingMode": {}}}, ["agent", "cni.chainingMode"]),
        ({"hubble": {"tls": {"enabled": {}, "server": {}}, "relay": {}}}, ["hubble.tls.enabled"]),
        ({"k8sServiceHost": "auto"}, ["k8sServiceHost"]),
        ({"k8sServiceHost": "api.example.com"}, []),
        ({"encryption": {"enabled": True}}, ["encryption.type"]),
        ({"encryption": {"enabled": True, "type": "wireguard"}}, []),
        ({"encryption": {"enabled": False, "type": "ipsec"}}, []),
        ({"cni": {"logFile": "/x"}, "tls": {}, "hubble": {"relay": {"replicas": 2}}, "extraArgs": "odd"}, []),
    ],
)
def test_side_doors_are_closed_and_the_rest_is_open(values: dict[str, Any], expected: list[str]) -> None:
    assert reserved_in(values) == expected


@pytest.mark.parametrize("character", ["\x7f", "\x85", "\x9f", "\u2028", "\ud800", "\uffff"])
def test_a_text_that_helm_would_lose_is_refused(make_spec: MakeSpec, facts: ClusterFacts, character: str) -> None:
    user = {
        "tolerations": [{"key": f"a{character}b"}],
        "podLabels": {f"a{character}": "x"},
        "podAnnotations": {"a": "é"},
    }
    with pytest.raises(ChainError) as caught:
        build_values(make_spec(values=user), load_catalogue().cilium_release("1.17.3"), facts)
    assert caught.value.reason is Reason.SPEC_INVALID
    assert "spec.cilium.values.tolerations[0].key" in caught.value.message
    assert "spec.cilium.values.podLabels." in caught.value.message
    assert "podAnnotations" not in caught.value.message
    assert caught.value.message.isprintable()


def test_every_agent_setting_is_refused_through_extra_config() -> None:
    assert reserved_in({"extraConfig": dict.fromkeys(AGENT_SETTINGS, "x")}) == sorted(
        f"extraConfig.{name}" for name in AGENT_SETTINGS
    )


@pytest.mark.parametrize(
    ("field", "rest"),
    [
        ("spec.primary.plugin=flannel", {"primary": {"plugin": "flannel"}}),
    ],
)
def test_what_this_release_does_not_do_is_refused_by_field(
    make_spec: MakeSpec, field: str, rest: dict[str, Any]
) -> None:
    with pytest.raises(ChainError) as caught:
        check_available(make_spec(**rest))
    assert caught.value.reason is Reason.FEATURE_NOT_AVAILABLE
    assert field in caught.value.message


def test_a_plain_spec_is_available(make_spec: MakeSpec) -> None:
    check_available(make_spec())
