"""Reading of manifests: where each object and field stands, and what cannot be read."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analyze import manifests as m
from tests.analyze.test_mistakes import CATALOGUE, FINE, MISTAKES

from cnichain.analyze.documents import parse
from cnichain.analyze.run import analyze

TWO = """\
# A comment first.
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
---

apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: b
- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: c
  data:
    key: [x, y]
"""


def test_each_object_and_field_has_its_line() -> None:
    documents, unreadable, others = parse(TWO, "two.yaml")
    assert (unreadable, others) == ([], 0)
    assert [(item.name, item.line) for item in documents] == [("a", 2), ("b", 10), ("c", 14)]
    last = documents[-1]
    assert last.line_of("metadata", "name") == 17
    assert last.line_of("data", "key") == 19
    assert last.line_of("data", "gone", "deeper") == 18, "what is not there is told at what is above it"
    assert last.line_of("nothing") == last.line


@pytest.mark.parametrize(
    ("bad", "line", "why"),
    [
        ("a: [1,\n", 6, "expected"),
        ("a: 1\na: 2\n", 5, "the key 'a' is given twice"),
        ("{{ if .Values.x }}\n", 4, "unhashable key"),
        ("x: &a [*b]\n", 4, "undefined alias"),
        ("a: \x07\n", 0, "control characters"),
    ],
)
def test_a_bad_document_is_told_by_its_line_and_leaves_the_others_readable(bad: str, line: int, why: str) -> None:
    text = f"apiVersion: v1\nkind: ConfigMap\n---\n{bad}---\napiVersion: v1\nkind: Secret\n"
    documents, unreadable, _ = parse(text, "f")
    assert [item.kind for item in documents] == ["ConfigMap", "Secret"]
    (told,) = unreadable
    assert why in told.why
    assert line == 0 or told.line in {line, line - 1}, told


def test_json_comments_and_values_files_are_no_mistake() -> None:
    documents, unreadable, others = parse('{"apiVersion": "v1", "kind": "ConfigMap"}', "a.json")
    assert [len(documents), len(unreadable), others] == [1, 0, 0]
    assert parse("# nothing\n---\n---\n", "b")[:2] == ([], [])
    assert [item.line for item in parse("a: 1\n--- {apiVersion: v1, kind: Secret}\n", "c")[0]] == [2]
    documents, unreadable, others = parse("replicas: 1\n---\n- 5\n---\nkind: Kustomization\n", "values.yaml")
    assert [len(documents), len(unreadable), others] == [0, 0, 3]


JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.none() | st.text(), max_size=2) | (
    st.dictionaries(st.sampled_from(["name", "spec", "x", "cidr"]), st.none() | st.integers(), max_size=2)
)  # fmt: skip
EVERY = [list(param.values[0].documents) for param in MISTAKES] + list(FINE.values())


@settings(max_examples=300)
@given(st.data())
def test_whatever_stands_in_a_manifest_ends_in_an_answer(data: st.DataObject) -> None:
    """Any field of any of the manifests replaced by something else: an answer, and never an exception."""
    bodies = copy.deepcopy(data.draw(st.sampled_from(EVERY)))
    node: Any = data.draw(st.sampled_from(bodies))
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
            node[key] = data.draw(JUNK)
            break
        node = node[key]
    documents, unreadable, _ = parse(m.text(*bodies), "f")
    assert not unreadable
    found = analyze(documents, CATALOGUE)
    assert all(item.line > 0 for item in found.problems)
