"""What preflight keeps of Karpenter's NodePools."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cnichain.preflight.nodepools import LABELS_LIMIT, node_pools_seen

TAINT = {"key": "cnichain.io/chain-not-ready", "effect": "NoExecute"}


def pool(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}}}


def test_taints_and_the_labels_that_its_nodes_can_have() -> None:
    requirements = [
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]},
        {"key": "team", "operator": "In", "values": ["x", "y"]},
        {"key": "spot", "operator": "Exists"},
    ]
    first, second = node_pools_seen(
        [pool("z", taints=[TAINT]), pool("a", {"team": "x"}, startupTaints=[TAINT], requirements=requirements)]
    )
    assert (first.name, first.starts_tainted, first.stays_tainted) == ("a", True, False)
    assert first.labels == {"topology.kubernetes.io/zone": ("a", "b"), "team": ("x",)}
    assert (second.name, second.starts_tainted, second.stays_tainted) == ("z", False, True)


def test_those_of_auto_mode_are_not_ours_and_what_is_kept_is_bounded() -> None:
    auto = pool("general-purpose", nodeClassRef={"group": "eks.amazonaws.com", "kind": "NodeClass"})
    many = pool("many", {f"label-{number}": "x" for number in range(500)})
    (kept,) = node_pools_seen([auto, many])
    assert len(kept.labels) == LABELS_LIMIT


TAINTS = st.none() | st.lists(st.just(TAINT) | st.just({}))
REQUIREMENT = st.fixed_dictionaries({}, optional={"key": st.text(), "values": st.none(), "operator": st.just("In")})
SPEC: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "taints": TAINTS,
        "startupTaints": TAINTS,
        "requirements": st.none() | st.lists(REQUIREMENT),
        "nodeClassRef": st.none() | st.just({}),
    },
)


@given(SPEC)
def test_fields_that_are_missing_or_null_are_no_reason_to_fail(spec: dict[str, Any]) -> None:
    (kept,) = node_pools_seen([pool("p", None, **spec)])
    assert kept.starts_tainted == (TAINT in (spec.get("startupTaints") or []))
    assert node_pools_seen([{"metadata": {"name": "empty"}, "spec": None}])[0].name == "empty"
