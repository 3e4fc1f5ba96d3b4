"""A plan as text: bounded, read back as it was, and readable in 80 columns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.api.objects import ObjectKey
from cnichain.cli.plantext import COLUMNS, plan_text
from cnichain.plan.model import MOST_BYTES, Action, Field, Item, NodeChange, Plan, Roll, dump, load, target_digest
from cnichain.render.manifests import manifest

text = st.text(max_size=40)
maybe = st.none() | text
fields = st.builds(Field, text, maybe, maybe)
keys = st.builds(ObjectKey, text, text, text, text)
plans = st.builds(
    Plan,
    text,
    st.lists(st.builds(Item, st.sampled_from(Action), keys, st.lists(fields, max_size=4).map(tuple), text)).map(tuple),
    st.lists(st.builds(Roll, keys, st.integers(0, 9), st.lists(text).map(tuple), text), max_size=3).map(tuple),
    st.none() | st.builds(NodeChange, st.integers(1, 9), st.lists(fields, max_size=4).map(tuple)),
)


@settings(deadline=None)
@given(plans)
def test_a_plan_is_read_back_as_it_was(plan: Plan) -> None:
    assert load(dump(plan, generation=3)) == (plan, {"generation": 3})


@settings(deadline=None)
@given(plans)
def test_no_line_is_wider_than_a_terminal(plan: Plan) -> None:
    assert max(len(line) for line in plan_text(plan, "It is held.").splitlines()) <= COLUMNS


def test_a_plan_that_is_too_long_loses_fields_and_no_object() -> None:
    key = ObjectKey("v1", "ConfigMap", "kube-system", "x")
    field = Field("data.x", "a" * 100, "b" * 100)
    items = tuple(Item(Action.CHANGE, key._replace(name=f"x{at}"), (field,) * 60) for at in range(60))
    found, _ = load(dump(Plan("d", items)))
    assert len(dump(Plan("d", items)).encode()) <= MOST_BYTES
    assert [item.key for item in found.items] == [item.key for item in items]
    assert any("60 fields change" in item.note for item in found.items), "what is left out must be told"


@pytest.mark.parametrize("damaged", ["", "{}", "[]", '{"format": 99}', '{"format": 1}'])
def test_what_is_no_plan_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load(damaged)


def test_the_digest_follows_the_target_and_not_the_value_of_a_secret() -> None:
    def item(kind: str, value: str) -> str:
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "data": {"a": value}}
        return target_digest([manifest(body)], {"writer": "Cilium"})

    assert item("ConfigMap", "1") != item("ConfigMap", "2")
    assert item("Secret", "1") == item("Secret", "2")
    assert target_digest([], {"writer": "Cilium"}) != target_digest([], {"writer": "CNIChain"})
