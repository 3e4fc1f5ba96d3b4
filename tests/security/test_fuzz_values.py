"""Any values of a user: what the operator owns is refused by name, or comes out as if the user had said nothing.

`make fuzz` runs the same with many more examples.
"""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cnichain.api.chain import parse_spec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.load import load_catalogue
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.moved import get
from cnichain.render.reserved import AGENT_SETTINGS, FREE, RESERVED
from cnichain.render.values import build_values, deep_merge
from fuzzing import examples

Values = dict[str, Any]

_PARTS = sorted({part for key in (*RESERVED, *FREE) for part in key.split(".")})
_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [{}, [], None, "", False, True, 0, "true", "x", {"": {}}, [{}], {"a": None}]
)
_PATHS = st.sampled_from([*RESERVED, *FREE])
_KINDS = ("disable", "Enabled", "ENABLED", "enabled ", "cni.chainingMode", "hubble.tls")
_TREES = st.recursive(
    _ODD,
    lambda inner: st.dictionaries(st.sampled_from(_PARTS) | st.sampled_from(_KINDS), inner, max_size=3),
    max_leaves=8,
)
_VERSIONS = ("1.17.3", "1.18.12", "1.20.0")
_FACTS = ClusterFacts("v1.33.1", ("v1",), 3, 3, "v1.20.0", "amazon-k8s-cni:v1.20.0")


def nested(path: str, value: Any) -> Values:
    head, _, rest = path.partition(".")
    return {head: nested(rest, value) if rest else value}


@st.composite
def _values(draw: st.DrawFn) -> Values:
    """Odd values at keys that are reserved, near them and above them, merged in any order."""
    made: Values = {}
    for _ in range(draw(st.integers(1, 4))):
        path = draw(_PATHS)
        cut = draw(st.integers(1, path.count(".") + 1))
        piece = nested(".".join(path.split(".")[:cut]), draw(_TREES))
        made = deep_merge(made, piece) if draw(st.booleans()) else deep_merge(piece, made)
    return made


def build(values: Values, version: str) -> Values | None:
    """The values that the chart gets; None where the user's are refused, which must be by name."""
    before, refused = deepcopy(values), None
    spec = parse_spec({"cilium": {"version": version, "values": values}})
    try:
        built = build_values(spec, load_catalogue().cilium_release(version), _FACTS)
    except ChainError as error:
        built, refused = None, error
    assert values == before, "the user's values were changed"
    if refused is not None:
        assert refused.reason in {Reason.RESERVED_VALUE, Reason.VALUE_AMBIGUOUS, Reason.VALUE_REMOVED}
        assert "spec.cilium.values" in refused.message
    return built


def without_free(path: str, value: Any) -> Any:
    """What stands at a reserved key, without what is the user's below it and what follows from that."""
    kept = deepcopy(value)
    for free in FREE:
        if not isinstance(kept, dict) or not free.startswith(f"{path}."):
            continue
        *above, last = free.removeprefix(f"{path}.").split(".")
        node: Any = kept
        for part in above:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)
    return pruned(kept)


def pruned(value: Any) -> Any:
    """Without mappings that are empty, and without the names of Secrets, which follow from what is encrypted."""
    if not isinstance(value, dict):
        return value
    inner = {key: pruned(item) for key, item in value.items() if key != "existingSecret"}
    return {key: item for key, item in inner.items() if item != {}}


@examples(300)
@given(_values(), st.sampled_from(_VERSIONS))
@example({"cni": {"chainingMode": {}}}, "1.18.12")
@example({"agent": {}}, "1.18.12")
@example({"hubble": {"tls": {"enabled": {}}}}, "1.18.12")
def test_no_reserved_key_is_smuggled_in(values: Values, version: str) -> None:
    built = build(values, version)
    if built is None:
        return
    plain = build({}, version)
    assert plain is not None
    for path in RESERVED:
        was, now = get(plain, path), get(built, path)
        if isinstance(was, dict) or isinstance(now, dict):
            was, now = (without_free(path, {} if not isinstance(item, dict) else item) for item in (was, now))
        assert now == was, f"{path} became {now!r} through {values!r}"
    for path in (".".join(key.split(".")[:-1]) for key in RESERVED if "." in key):
        if isinstance(get(plain, path), dict):
            assert isinstance(get(built, path), dict), f"{path} is no mapping any more through {values!r}"


@examples(100)
@given(st.sampled_from(sorted(AGENT_SETTINGS)), st.data())
def test_no_setting_of_the_agent_is_smuggled_in(setting: str, data: st.DataObject) -> None:
    """The agent reads its ConfigMap's keys whatever their case."""
    name = "".join(char.upper() if data.draw(st.booleans()) else char for char in setting)
    value: Any = data.draw(_ODD)
    variable = f"CILIUM_{setting.upper().replace('-', '_')}"
    for values in (
        {"extraConfig": {"fine": "1", name: value}},
        {"extraArgs": ["--fine", f"--{setting}"]},
        {"extraArgs": [f"--{setting}={value}"]},
        {"extraEnv": [{"name": "FINE"}, {"name": variable, "value": value}]},
    ):
        assert build(values, "1.18.12") is None, f"{values} was let through"


@pytest.mark.parametrize("depth", [50, 200])
def test_deep_values_are_read_to_the_bottom(depth: int) -> None:
    values: Values = {"cni": {"exclusive": True}}
    for _ in range(depth):
        values = {"podAnnotations": values}
    built = build(values, "1.18.12")
    assert built is not None
    assert get(built, ".".join(["podAnnotations"] * depth)) == {"cni": {"exclusive": True}}


@examples(100)
@given(_values(), _values())
def test_a_value_that_is_shared_is_changed_nowhere(one: Values, other: Values) -> None:
    """A YAML alias makes one mapping stand in two places."""
    assume(isinstance(one, dict))
    shared = {"a": one, "b": one}
    before = deepcopy(shared)
    merged = deep_merge(shared, {"a": other})
    assert shared == before
    assert merged["b"] == before["b"], "what was merged into one place came out in the other"
