"""Any bytes in a node's CNI folder: read as Python's own JSON reader reads them, or refused in words; never a crash.

`make fuzz` runs the same with many more examples.
"""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from cnichain.api.chainnode import CiliumEntry
from cnichain.api.primaries import PROFILES, PrimaryPlugin
from cnichain.node.conflist import CILIUM_CNI, Conflist, ConflistError, parse
from cnichain.node.splice import cilium_entry, derive, explain, same_chain, tail_of, validate
from fuzzing import examples

MODE = "aws-cni"
AWS = PROFILES[PrimaryPlugin.AWS_VPC_CNI]

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
_TYPES = st.sampled_from(["aws-cni", "egress-cni", "portmap", CILIUM_CNI, "istio-cni", "linkerd-cni", "x"]) | st.text()
_KEYS = ["cniVersion", "name", "plugins", "type", "disableCheck", "cniVersions", "ipam", "Plugins", "dns", "a]\\"]


@st.composite
def _members(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """An object as text, which may have a key twice, in any layout."""
    space = draw(st.sampled_from(["", " ", "\n\t", "\r\n"]))
    keys = draw(st.lists(st.sampled_from(_KEYS) | st.text(max_size=3), max_size=4))
    pairs = [f"{json.dumps(key, ensure_ascii=draw(st.booleans()))}{space}:{space}{draw(inner)}" for key in keys]
    return f"{{{space}{f'{space},{space}'.join(pairs)}{space}}}"


@st.composite
def _plugins(draw: st.DrawFn) -> str:
    entries = []
    for _ in range(draw(st.integers(1, 5))):
        rest = draw(st.dictionaries(st.text(max_size=4), _JSON, max_size=2))
        entries.append(json.dumps(rest | {"type": draw(_TYPES)}, ensure_ascii=draw(st.booleans())))
    space = draw(st.sampled_from(["", " ", "\n"]))
    return f"[{space}{f'{space},{space}'.join(entries)}{space}]"


@st.composite
def _lists(draw: st.DrawFn) -> bytes:
    """Mostly a good list: any layout, `plugins` anywhere, odd members around."""
    around = st.sampled_from(["disableCheck", "x", "é", "capabilities", "Plugins"])
    pairs = [
        ('"cniVersion"', json.dumps(draw(st.sampled_from(["0.3.1", "0.4.0", "1.0.0"])))),
        ('"name"', '"aws-cni"'),
        (draw(st.sampled_from(['"plugins"', '"plu\\u0067ins"'])), draw(_plugins())),
        *((json.dumps(key), json.dumps(draw(_JSON))) for key in draw(st.lists(around, max_size=2))),
    ]
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    text = ",".join(f"{space}{key}{space}:{space}{value}" for key, value in draw(st.permutations(pairs)))
    return f"{space}{{{text}}}{space}".encode("utf-8", "replace")


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A list with a few bytes cut out, put in, doubled or overwritten."""
    content = draw(_lists())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = draw(st.integers(at, min(len(content), at + 24)))
        piece = draw(
            st.sampled_from(
                [b"", b'"', b"{", b"]", b",", b"\\", b"\0", b"\xff", b"\xed\xa0\x80", b"1e999", b"[" * 3000]
            )
            | st.just(content[at:end] * 2)
            | st.binary(max_size=4)
        )
        content = content[:at] + piece + content[end:]
    return content


_OBJECTS = _members(_JSON.map(json.dumps) | _plugins() | _members(_JSON.map(json.dumps))).map(
    lambda text: text.encode("utf-8", "replace")
)
ANYTHING = st.binary(max_size=80) | _OBJECTS | _lists() | _damaged()


def _read(content: bytes) -> Conflist | None:
    """The list, or None where it is refused; anything but a refusal in words fails the test."""
    try:
        return parse(content)
    except ConflistError as error:
        said = str(error)
        assert said, "a refusal must say why"
        assert len(said) < 1000, f"a refusal must be short enough to be shown: {said[:200]}"
        said.encode()
        return None


def _no_constants(text: str) -> Any:
    raise ValueError(text)


@examples(300)
@given(ANYTHING)
@example(b'{"cniVersion":"0.4.0","name":"n","plugins":[{"type":"' + b"a" * 300 + b'"}]}')
def test_what_is_read_is_what_any_json_reader_reads(content: bytes) -> None:
    found = _read(content)
    if found is None:
        return
    data = json.loads(content.decode(), parse_constant=_no_constants)
    if found.wrapped:
        assert "plugins" not in data
        data = {"cniVersion": data.get("cniVersion"), "name": data["name"], "plugins": [data]}
        # Go writes a character that is none as U+FFFD, so the text may differ from the file in that.
        assert found.types == (data["plugins"][0]["type"],)
    else:
        assert found.text.encode() == content, "the text is not the file's own"
        assert found.outer == {key: value for key, value in data.items() if key != "plugins"}
        assert [plugin.value for plugin in found.plugins] == data["plugins"]
    assert (found.network, found.cni_version) == (data["name"], data["cniVersion"])
    assert found.text[found.array_end] == "]"
    for plugin in found.plugins:
        assert plugin.raw == found.text[plugin.begin : plugin.end]
        assert json.loads(plugin.raw) == plugin.value
        assert 0 < len(plugin.type.encode()) <= 255, "no binary can have such a name"
        assert "/" not in plugin.type


@examples(300)
@given(ANYTHING, st.booleans(), st.text(max_size=8))
def test_whatever_is_read_can_be_chained_and_nothing_of_it_is_lost(source: bytes, debug: bool, log: str) -> None:
    primary = _read(source)
    if primary is None:
        return
    entry = cilium_entry(CiliumEntry(enable_debug=debug, log_file=log), MODE)
    content = derive(primary, entry)
    chained = validate(content, primary, MODE)
    data, before = json.loads(content), json.loads(primary.text)
    theirs = [plugin for plugin in before["plugins"] if plugin["type"] != CILIUM_CNI]
    assert [plugin for plugin in data["plugins"] if plugin["type"] != CILIUM_CNI] == theirs
    assert {**data, "plugins": 0} == {**before, "plugins": 0}
    (ours,) = [plugin for plugin in data["plugins"] if plugin["type"] == CILIUM_CNI]
    assert ours["enable-debug"] is debug, "the entry is not what it was made from"
    assert ours["log-file"].encode("utf-16", "surrogatepass") == log.encode("utf-16", "surrogatepass")
    assert entry in chained.text, "the entry's bytes are not Cilium's own"
    first = next((plugin.begin for plugin in primary.plugins if plugin.type == CILIUM_CNI), primary.array_end)
    assert chained.text.startswith(primary.text[:first]), "bytes before the entry were changed"
    end = primary.array_end
    assert chained.text.endswith(primary.text[end:]), "bytes behind the plugins were changed"
    again = parse(derive(chained, entry))
    assert same_chain(again, chained), f"deriving from the result changes it again: {explain(again, chained)}"


@examples(110)
@given(ANYTHING, ANYTHING)
def test_two_files_of_anyones_are_compared_in_words(one: bytes, other: bytes) -> None:
    current, expected = _read(one), _read(other)
    if current is None or expected is None:
        return
    said = explain(current, expected)
    said.encode()
    if not same_chain(current, expected):
        assert said != "no difference"
    tail = tail_of(current, expected, AWS)
    assert not {plugin.type for plugin in tail} & {CILIUM_CNI, *expected.types}
    validate(derive(expected, cilium_entry(CiliumEntry(), MODE), tail), expected, MODE)
