"""The chained conflist: Cilium's own bytes, third-party plugins kept, differences told in words."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.node.conftest import DEFAULT_ENTRY, HISTORY, NEWEST, with_tail

from cnichain.api.chainnode import CiliumEntry
from cnichain.api.primaries import PROFILES, PrimaryPlugin
from cnichain.node.conflist import CILIUM_CNI, ConflistError, parse
from cnichain.node.pluginconf import wrong_member
from cnichain.node.splice import cilium_entry, derive, explain, same_chain, tail_of, validate

AWS = PROFILES[PrimaryPlugin.AWS_VPC_CNI]
ISTIO = {"type": "istio-cni", "log_level": "info"}
LINKERD = {"type": "linkerd-cni", "inbound-skip-ports": []}

# sha256 of what sjson v1.2.5's SetRawBytes(file, "plugins.-1", entry) gives, which is cilium-agent's merge.
CILIUMS_OWN = {
    "1.7.10": "a12cf6d793081f58a453236debc8594c180a8e612c5b57fdbe87722354097c0c",
    "1.11.2": "1adc5d8eeb4a0300b0b4c679b0be4debbcbbc47ccd7f12b6761033baa052721f",
    "1.12.6": "83286d2beb9324af172c40da6f93a1dee3a16845c7cef561f255121d58c7b0f3",
    "1.13.0": "28ee214ce81639b7c042bb40a487307796051bf88f1c025688fa3984239c593a",
    "1.16.0": "f50e2adf7bdcba966d385057f18ccf02b53c14d12f925ee6510bdafbff2e36c5",
    "1.16.2": "4bae31c0e88b7b56385f3b94ed896567c391097e9a91c95920619e084e3b70b9",
    "1.18.3": "5980696935d47528fd093be0a6b432d86a2748388945ef1d8950e76dbb9e85e5",
    "1.20.0": "5b7f4dd632e697ed2136a650efcf314f0817a62e7cfbf899699fb3c494a3b30c",
    "1.20.0+bandwidth": "4595c8c2023e4e117890db37168341a57da89686e2790c787657190580c46f6a",
    "1.20.0+tuning": "12908e0f774652590751c2e2d8a8e9e8d4cdd875de7f564d5cb88e1ba6212b34",
}
_E = '\n{\n\t"type": "cilium-cni",\n\t"chaining-mode": "aws-cni",\n\t"enable-debug": false,\n'
_E += '\t"log-file": "/var/run/cilium/cilium-cni.log"\n}\n'
_HEAD = '"cniVersion":"0.4.0","name":"aws-cni",'

# Input and output of the same sjson, for files of other shapes.
SHAPES = {
    "one line": ("{%s'plugins':[{'type':'aws-cni'}],'x':1}", "{%s'plugins':[{'type':'aws-cni'},%s],'x':1}"),
    "spaces before the end": (
        "{%s'plugins':[{'type':'a'},\n {'type':'b'}\t\n\n]}",
        "{%s'plugins':[{'type':'a'},\n {'type':'b'}\t\n\n,%s]}",
    ),
    "spaces around": (" \n{%s'plugins':[{'type':'a'}]}  \n\n", " \n{%s'plugins':[{'type':'a'},%s]}  \n\n"),
    "escaped key": ("{%s'plu\\u0067ins':[{'type':'a'}]}", "{%s'plu\\u0067ins':[{'type':'a'},%s]}"),
    "brackets and alphabets": (
        "{%s'é':'\\'plugins\\':[','plugins':[{'type':'a','q':']'}]}",
        "{%s'é':'\\'plugins\\':[','plugins':[{'type':'a','q':']'},%s]}",
    ),
    "in place, in the middle": (
        "{%s'plugins':[ {'type':'cilium-cni','a':[1,2]} , {'type':'istio-cni'} ]  , 'x':1}",
        "{%s'plugins':[ %s , {'type':'istio-cni'} ]  , 'x':1}",
    ),
    "in place, at the end": (
        "{%s'plugins':[ {'type':'a'} , {'type':'cilium-cni'}  ]  , 'x':1}",
        "{%s'plugins':[ {'type':'a'} , %s  ]  , 'x':1}",
    ),
}


@pytest.mark.parametrize("version", HISTORY)
def test_gives_the_bytes_that_cilium_writes(version: str) -> None:
    chained = derive(parse(HISTORY[version]), DEFAULT_ENTRY)
    assert hashlib.sha256(chained).hexdigest() == CILIUMS_OWN[version], (
        f"Cilium would write the file again after us:\n{chained.decode()}"
    )


@pytest.mark.parametrize(("before", "after"), SHAPES.values(), ids=SHAPES)
def test_gives_the_bytes_that_cilium_writes_for_other_shapes(before: str, after: str) -> None:
    source = before.replace("'", '"') % _HEAD
    chained = derive(parse(source.encode()), DEFAULT_ENTRY).decode()
    assert chained == after.replace("'", '"') % (_HEAD, _E)


def test_the_entry_is_cilium_agents_own_text() -> None:
    assert cilium_entry(CiliumEntry(), "aws-cni") == _E
    debug = cilium_entry(CiliumEntry(enable_debug=True, log_file='/a "b"\\<c>&=é'), "generic-veth")
    # The escapes of Go's text/template `js`.
    assert '\t"enable-debug": true,\n' in debug
    assert '\t"log-file": "/a \\"b\\"\\\\\\u003Cc\\u003E\\u0026\\u003Dé"\n' in debug
    assert json.loads(cilium_entry(CiliumEntry(log_file="it's\n"), "aws-cni"))["log-file"] == "it's\n"


def test_of_two_cilium_entries_one_remains() -> None:
    source = json.loads(NEWEST)
    source["plugins"][1:1] = [{"type": CILIUM_CNI}]
    source["plugins"].append({"type": CILIUM_CNI, "old": True})
    chained = parse(derive(parse(json.dumps(source).encode()), DEFAULT_ENTRY))
    assert chained.types == ("aws-cni", "cilium-cni", "egress-cni", "portmap")
    assert "old" not in chained.plugins[1].value


def _tail(existing: bytes, source: bytes) -> tuple[str, ...]:
    return tuple(plugin.type for plugin in tail_of(parse(existing), parse(source), AWS))


def test_third_party_plugins_behind_cilium_survive_a_new_derivation() -> None:
    old = with_tail(derive(parse(HISTORY["1.12.6"]), DEFAULT_ENTRY), ISTIO, {"type": "bandwidth"})
    new_source = parse(NEWEST)
    chained = derive(new_source, DEFAULT_ENTRY, tail_of(parse(old), new_source, AWS))
    assert parse(chained).types == ("aws-cni", "egress-cni", "portmap", "cilium-cni", "istio-cni", "bandwidth")
    assert parse(chained).plugins[4].value == ISTIO, "the mesh's own settings were changed"
    assert derive(new_source, DEFAULT_ENTRY, tail_of(parse(chained), new_source, AWS)) == chained, "not idempotent"


def test_what_the_primary_writes_is_no_third_party() -> None:
    chain = json.loads(derive(parse(HISTORY["1.11.2"]), DEFAULT_ENTRY))
    chain["plugins"].insert(1, chain["plugins"].pop())  # cilium-cni in the middle (31)
    middle = json.dumps(chain).encode()
    assert _tail(middle, HISTORY["1.11.2"]) == ()
    assert _tail(middle, NEWEST) == (), "the old primary's egress-v4-cni was taken for a third party's plugin"


def test_a_mesh_plugin_may_stand_on_either_side_of_cilium() -> None:
    source = json.loads(NEWEST)
    source["plugins"].append(LINKERD)  # linkerd-cni edits every conflist, the primary's too
    expected = parse(derive(parse(json.dumps(source).encode()), DEFAULT_ENTRY))
    moved = json.loads(expected.text)
    moved["plugins"].insert(4, moved["plugins"].pop(3))
    assert same_chain(parse(json.dumps(moved).encode()), expected), "this would be an endless war with linkerd-cni"
    moved["plugins"].append(LINKERD)
    assert not same_chain(parse(json.dumps(moved).encode()), expected), "linkerd-cni stands there twice"


def _changed(index: int, **values: Any) -> bytes:
    data = json.loads(derive(parse(NEWEST), DEFAULT_ENTRY))
    data["plugins"][index].update(values)
    return json.dumps(data).encode()


def _edited(**values: Any) -> bytes:
    return json.dumps({**json.loads(derive(parse(NEWEST), DEFAULT_ENTRY)), **values}).encode()


@pytest.mark.parametrize(
    ("current", "words"),
    [
        (_changed(1, mtu=9001), 'plugin egress-cni: "mtu" is 9001 instead of "9001"'),
        (_changed(3, **{"chaining-mode": "generic-veth"}), '"chaining-mode" is "generic-veth" instead of "aws-cni"'),
        (_changed(2, snat=1), '"snat" is 1 instead of true'),
        (_edited(cniVersion="1.0.0"), '"cniVersion" is "1.0.0" instead of "0.4.0"'),
        (_edited(plugins=[{"type": "cilium-cni"}]), "plugin aws-cni is missing"),
        (with_tail(derive(parse(NEWEST), DEFAULT_ENTRY), {"type": "cilium-cni"}), "cilium-cni stands there twice"),
        (derive(parse(HISTORY["1.12.6"]), DEFAULT_ENTRY), "plugin egress-v4-cni does not belong there"),
    ],
)
def test_a_difference_is_told_in_words(current: bytes, words: str) -> None:
    expected = parse(derive(parse(NEWEST), DEFAULT_ENTRY))
    assert not same_chain(parse(current), expected)
    assert words in explain(parse(current), expected)


def test_another_layout_is_no_difference() -> None:
    chained = derive(parse(NEWEST), DEFAULT_ENTRY)
    again = json.dumps(json.loads(chained), indent=7, sort_keys=True).encode()
    assert same_chain(parse(again), parse(chained))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (NEWEST, "0 cilium-cni entries"),
        (with_tail(derive(parse(NEWEST), DEFAULT_ENTRY), {"type": "cilium-cni"}), "2 cilium-cni entries"),
        (_changed(3, **{"chaining-mode": ""}), "chaining-mode"),
        (_changed(0, mtu="1500"), "the primary's plugins"),
        (_edited(cniVersion="1.0.0"), "the primary's settings"),
        (derive(parse(NEWEST), DEFAULT_ENTRY)[:-4], "is not valid JSON"),
    ],
)
def test_the_validator_lets_nothing_bad_through(content: bytes, words: str) -> None:
    with pytest.raises(ConflistError) as error:
        validate(content, parse(NEWEST), "aws-cni")
    assert words in str(error.value)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_KINDS = st.sampled_from(["aws-cni", "egress-cni", "portmap", "istio-cni", "cilium-cni", "tuning", "x"])
_PLUGINS = st.lists(
    st.builds(
        lambda rest, kind: {**rest, "type": kind}, st.dictionaries(st.text(), _VALUES, max_size=3), _KINDS
    ).filter(lambda plugin: not wrong_member(plugin)),  # those are refused, see test_loader.py
    min_size=1,
    max_size=6,
)
_RESERVED = {"plugins", "name", "cniVersion", "cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins"}
_OUTER = st.dictionaries(st.text().filter(lambda key: key not in _RESERVED), _VALUES, max_size=3)


@st.composite
def _sources(draw: st.DrawFn) -> bytes:
    """Any valid list, in any layout, with `plugins` at any place."""
    value = [("cniVersion", "0.4.0"), ("name", "aws-cni"), ("plugins", draw(_PLUGINS)), *draw(_OUTER).items()]
    indent, is_ascii = draw(st.sampled_from([None, 0, 3, "\t"])), draw(st.booleans())
    text = json.dumps(dict(draw(st.permutations(value))), indent=indent, ensure_ascii=is_ascii)
    text = text if is_ascii else text.encode("utf-8", "replace").decode()
    return f"{draw(st.sampled_from(['', ' ', chr(10)]))}{text}{draw(st.sampled_from(['', chr(10)]))}".encode()


@settings(deadline=None)  # what is asserted is not how busy the machine is
@given(source=_sources(), tail=st.lists(st.sampled_from([ISTIO, LINKERD, {"type": "bandwidth"}]), max_size=3))
def test_any_list_is_derived_once_and_for_all(source: bytes, tail: list[dict[str, Any]]) -> None:
    primary = parse(source)
    first = derive(primary, DEFAULT_ENTRY)
    chained = validate(first, primary, "aws-cni")
    assert chained.types.count(CILIUM_CNI) == 1
    kept = tail_of(parse(with_tail(first, *tail)), primary, AWS)
    second = derive(primary, DEFAULT_ENTRY, kept)
    expected = validate(second, primary, "aws-cni")
    again = derive(primary, DEFAULT_ENTRY, tail_of(expected, primary, AWS))
    assert again == second, "deriving again from the same source gave other bytes"
    if primary.cilium_at is None:
        before, after = primary.text[: primary.array_end], primary.text[primary.array_end :]
        assert second.startswith(before.encode()), "the source's text before the end of plugins was changed"
        assert second.endswith(after.encode()), "the source's text after plugins was changed"
