"""Node affinity: DaemonSets stay off nodes that the chain is not for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.render.manifests import manifest
from cnichain.render.placement import place, template_digest, with_node_affinity

COMPUTE = {"key": "eks.amazonaws.com/compute-type", "operator": "NotIn", "values": ["auto", "fargate", "hybrid"]}
LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
EXPRESSIONS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["zone", "pool"]),
            "operator": st.just("In"),
            "values": st.lists(st.just("a"), max_size=2),
        }
    ),
    max_size=3,
)
TERMS = st.fixed_dictionaries({}, optional={"matchExpressions": EXPRESSIONS, "matchFields": EXPRESSIONS})
AFFINITIES = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "podAntiAffinity": st.just({"required": []}),
        "nodeAffinity": st.fixed_dictionaries(
            {},
            optional={
                "requiredDuringSchedulingIgnoredDuringExecution": st.fixed_dictionaries(
                    {"nodeSelectorTerms": st.lists(TERMS, max_size=3)}
                ),
                "preferredDuringSchedulingIgnoredDuringExecution": st.just([{"weight": 1}]),
            },
        ),
    },
)


def daemon_set(name: str = "cilium", kind: str = "DaemonSet", **pod: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"template": {"spec": pod}},
    }


def terms(affinity: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    return found


def placed(body: dict[str, Any]) -> list[dict[str, Any]]:
    return terms(place(manifest(body)).body["spec"]["template"]["spec"]["affinity"])


@given(AFFINITIES)
def test_doing_it_twice_is_doing_it_once(affinity: dict[str, Any] | None) -> None:
    once = with_node_affinity(affinity, [COMPUTE, LINUX])
    assert with_node_affinity(once, [COMPUTE, LINUX]) == once


@given(AFFINITIES)
def test_every_alternative_is_narrowed_and_nothing_is_lost(affinity: dict[str, Any] | None) -> None:
    result = with_node_affinity(affinity, [COMPUTE, LINUX])
    before = (affinity or {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    old = before.get("nodeSelectorTerms", [])
    for was, now in zip(old, terms(result), strict=False):
        if was.get("matchExpressions") or was.get("matchFields"):
            assert [*(was.get("matchExpressions") or [])] == now["matchExpressions"][
                : len(was.get("matchExpressions", []))
            ]
            assert COMPUTE in now["matchExpressions"]
            assert LINUX in now["matchExpressions"]
        else:
            assert now == was, "a term that matches no node began to match"
    if not old:
        assert terms(result) == [{"matchExpressions": [COMPUTE, LINUX]}]
    assert (affinity or {}).get("podAntiAffinity") == result.get("podAntiAffinity")


def test_a_daemon_set_without_affinity_gets_one() -> None:
    assert placed(daemon_set("spire-agent")) == [{"matchExpressions": [COMPUTE, LINUX]}]


def test_the_operating_system_is_not_asked_for_twice() -> None:
    assert placed(daemon_set("spire-agent", nodeSelector={"kubernetes.io/os": "linux"})) == [
        {"matchExpressions": [COMPUTE]}
    ]


def test_ciliums_own_wait_for_the_wave_of_their_node_and_for_the_operator_to_restart_them() -> None:
    node_selector = {"kubernetes.io/os": "linux"}
    opened = {"key": "cnichain.io/chained", "operator": "In", "values": ["true"]}
    for name in ("cilium", "cilium-envoy"):
        body = daemon_set(name, nodeSelector=node_selector)
        assert placed(body) == [{"matchExpressions": [COMPUTE, opened]}]
        assert place(manifest(body)).body["spec"]["updateStrategy"] == {"type": "OnDelete"}
    other = daemon_set("spire-agent", nodeSelector=node_selector)
    assert placed(other) == [{"matchExpressions": [COMPUTE]}]
    assert "updateStrategy" not in place(manifest(other)).body["spec"]


def test_a_pod_says_which_template_it_was_made_from() -> None:
    once, again = place(manifest(daemon_set())), place(place(manifest(daemon_set())))
    other = place(manifest(daemon_set(hostNetwork=True)))
    assert template_digest(once)
    assert template_digest(once) == template_digest(again), "the digest is not of itself"
    assert template_digest(once) != template_digest(other)
    assert template_digest(place(manifest(daemon_set("spire-agent")))) == ""


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_other_kinds_are_left_alone(kind: str) -> None:
    body = daemon_set(kind=kind)
    assert place(manifest(body)).body == body
