"""The body of a request: any text, in bytes that a JSON and a YAML reader take for the same."""

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.wirejson import wire_json

_ANY = st.text(st.characters() | st.sampled_from("\0\x7f\x85\x9f\u2028\ud800\udfff\ufeff\uffff😀\\\"'"), max_size=20)


@given(
    st.recursive(
        _ANY | st.booleans() | st.integers() | st.none(), lambda inner: st.dictionaries(_ANY, inner), max_leaves=5
    )
)
def test_json_and_yaml_read_the_same(value: Any) -> None:
    body = {"a": value}
    sent = wire_json(body)
    whole = json.loads(
        json.dumps(body, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
    assert json.loads(sent) == whole or "\ufffd" in sent.decode(), "JSON reads something else"
    assert yaml.safe_load(sent) == json.loads(sent), "YAML reads something else"


def test_a_character_beyond_the_first_plane_stands_as_itself() -> None:
    assert wire_json({"a": "😀\x7f\ud800"}) == '{"a":"😀\\u007f\ufffd"}'.encode()
