"""What counts as changed by admission, and what is only written in another way."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.plan.admission import MOST, mutated_fields


def sent(**parts: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "labels": {"a": "b"}}, **parts}


def answer(**parts: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "uid": "1", "labels": {"a": "b"}}, **parts}


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ({"spec": {"image": "i"}}, {"spec": {"image": "i", "imagePullPolicy": "Always"}}),
        ({"spec": {"limits": {"cpu": "1000m"}}}, {"spec": {"limits": {"cpu": "1"}}}),
        ({"spec": {"limits": {"memory": "0.5Gi"}}}, {"spec": {"limits": {"memory": "512Mi"}}}),
        ({"spec": {"cpu": 1}}, {"spec": {"cpu": "1"}}),
        ({"spec": {"empty": {}, "no": "", "off": False, "none": None, "deep": {"a": []}}}, {"spec": {}}),
        ({"spec": {"args": ["a", "b"]}}, {"spec": {"args": ["a", "b"]}}),
        (
            {"containers": [{"name": "b"}, {"name": "a", "image": "i"}]},
            {"containers": [{"name": "injected"}, {"name": "a", "image": "i"}, {"name": "b"}]},
        ),
        ({"stringData": {"a": "b"}}, {"data": {"a": "Yg=="}}),
    ],
)
def test_what_admission_has_not_changed(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    assert mutated_fields(sent(**wanted), answer(**got)) == ()


@pytest.mark.parametrize(
    ("wanted", "got", "path"),
    [
        ({"data": {"a": "1"}}, {"data": {"a": "2"}}, "data.a"),
        ({"data": {"a": "1"}}, {"data": {}}, "data.a"),
        ({"spec": {"args": ["a"]}}, {"spec": {"args": ["a", "b"]}}, "spec.args"),
        ({"spec": {"args": ["a"]}}, {"spec": {"args": ["b"]}}, "spec.args[0]"),
        ({"spec": {"on": True}}, {"spec": {"on": False}}, "spec.on"),
        ({"spec": {"limits": {"cpu": "1"}}}, {"spec": {"limits": {"cpu": "2"}}}, "spec.limits.cpu"),
        (
            {"containers": [{"name": "a", "image": "i"}]},
            {"containers": [{"name": "z"}, {"name": "a", "image": "mirror/i"}]},
            "containers[a].image",
        ),
    ],
)
def test_what_admission_has_changed(wanted: dict[str, Any], got: dict[str, Any], path: str) -> None:
    assert mutated_fields(sent(**wanted), answer(**got)) == (path,)


def test_a_changed_label_counts_and_an_added_one_does_not() -> None:
    got = answer()
    got["metadata"]["labels"] = {"a": "other", "injected": "yes"}
    assert mutated_fields(sent(), got) == ("metadata.labels.a",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["spec", "data", "rules"]), JSON))
def test_an_answer_that_is_what_was_sent_is_never_a_mutation(parts: dict[str, Any]) -> None:
    assert mutated_fields(sent(**parts), answer(**parts)) == ()


def test_the_list_is_bounded() -> None:
    many = {f"k{number}": "1" for number in range(100)}
    assert len(mutated_fields(sent(data=many), answer(data={}))) == MOST
