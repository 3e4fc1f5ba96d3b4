"""The parser against what Go's encoding/json and libcni accept (fault cases 11 to 24)."""

import json

import pytest
from tests.node.conftest import HISTORY, NEWEST

from cnichain.node.conflist import ConflistError, loads_as_runtime, parse
from cnichain.node.strictjson import go_marshal, loads

OK = '{"cniVersion":"0.4.0","name":"aws-cni","plugins":[{"type":"aws-cni"}]}'

REFUSED = {
    "11 empty": (b"", "is empty"),
    "11 only spaces": (b" \n", "is empty"),
    "12 cut in the middle": (NEWEST[:200], "is not valid JSON"),
    "13 byte order mark": (b"\xef\xbb\xbf" + OK.encode(), "byte order mark"),
    "13 UTF-16": (OK.encode("utf-16"), "is not UTF-8"),
    "14 trailing garbage": (OK.encode() + b"}", "Extra data"),
    "14 trailing NUL": (OK.encode() + b"\0", "Extra data"),
    "15 comment": (b"// managed\n" + OK.encode(), "is not valid JSON"),
    "16 NaN": (OK.replace('"0.4.0"', "NaN").encode(), "NaN"),
    "16 Infinity": (OK.replace('"0.4.0"', "-Infinity").encode(), "Infinity"),
    "16 number beyond a float": (OK.replace('"0.4.0"', "1e400").encode(), "too large"),
    "17 plugins twice": (OK.replace('"name"', '"plugins":[{"type":"portmap"}],"name"').encode(), "twice"),
    "17 plugins twice, escaped": (OK.replace('"name"', '"plu\\u0067ins":[{"type":"x"}],"name"').encode(), "twice"),
    "18 no plugin": (OK.replace('{"type":"aws-cni"}', "").encode(), "empty"),
    "19 plugins null": (OK.replace('[{"type":"aws-cni"}]', "null").encode(), "null"),
    "19 plugins object": (OK.replace('[{"type":"aws-cni"}]', "{}").encode(), "an object"),
    "19 plugins string": (OK.replace('[{"type":"aws-cni"}]', '"x"').encode(), "a string"),
    "19 plugin null": (OK.replace('{"type":"aws-cni"}', "null").encode(), "null as plugin 0"),
    "20 no type": (OK.replace('{"type":"aws-cni"}', '{"name":"x"}').encode(), 'no "type" in plugin 0'),
    "20 type number": (OK.replace('"type":"aws-cni"', '"type":7').encode(), 'a number as "type"'),
    "20 type with a path": (OK.replace('"type":"aws-cni"', '"type":"../sh"').encode(), "no file name"),
    "20 type longer than a file name": (
        OK.replace('"type":"aws-cni"', f'"type":"{"é" * 128}"').encode(),
        "no file name",
    ),
    "20 type half a character": (OK.replace('"type":"aws-cni"', r'"type":"\ud800"').encode(), "no file name"),
    "21 no name": (OK.replace('"name":"aws-cni",', "").encode(), 'no "name"'),
    "21 name number": (OK.replace('"name":"aws-cni"', '"name":7').encode(), "a number"),
    "21 name with a space": (OK.replace('"name":"aws-cni"', '"name":"a b"').encode(), "does not allow"),
    "22 version number": (OK.replace('"0.4.0"', "0.4").encode(), "a number"),
    "22 no version": (OK.replace('"cniVersion":"0.4.0",', "").encode(), 'no "cniVersion"'),
    "22 version 2.0.0": (OK.replace("0.4.0", "2.0.0").encode(), "2.0.0"),
    "22 unknown in cniVersions": (OK.replace('"name"', '"cniVersions":["9.9.9"],"name"').encode(), "9.9.9"),
    "disableCheck string": (OK.replace('"name"', '"disableCheck":"maybe","name"').encode(), "disableCheck"),
    "nested without end": (b'{"a":' + b"[" * 100_000, "nested too deeply"),
    "a list": (b"[]", "a list"),
    "neither list nor plugin": (b'{"cniVersion":"0.4.0","name":"x"}', 'neither "plugins" nor "type"'),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_a_runtime_would_not_load_and_says_why(content: bytes, words: str) -> None:
    with pytest.raises(ConflistError) as error:
        parse(content)
    assert words in str(error.value), f"the reason does not name the problem: {error.value}"


@pytest.mark.parametrize("version", HISTORY)
def test_reads_each_vpc_cni_file(version: str) -> None:
    conflist = parse(HISTORY[version])
    data = json.loads(HISTORY[version])
    assert (conflist.network, conflist.cni_version) == ("aws-cni", data["cniVersion"])
    assert list(conflist.types) == [plugin["type"] for plugin in data["plugins"]]
    assert conflist.text.encode() == HISTORY[version], "the text is not the file's own"
    assert conflist.text[conflist.array_end] == "]", "the end of plugins was not found"


def test_keeps_the_place_of_each_plugin_among_brackets_in_strings_and_other_alphabets() -> None:
    text = (
        '{"s":"]\\"plugins\\":[","é日😀":[[1]],"cniVersion":"0.4.0","name":"n","plugins" : [ {"type":"a","x":"]}"} ]}'
    )
    conflist = parse(text.encode())
    assert [plugin.raw for plugin in conflist.plugins] == ['{"type":"a","x":"]}"}']
    assert conflist.text[conflist.array_end :] == "]}"


def test_the_last_of_two_equal_keys_counts_as_in_go() -> None:
    assert parse(OK.replace('"name"', '"name":"other","name"').encode()).network == "aws-cni"


def test_a_single_plugin_becomes_a_list_with_the_bytes_of_go() -> None:
    single = b'{ "type":"aws-cni","name":"aws-cni","mtu":9001.0,"cniVersion":"0.3.1","x":"<&>","b":[1e21,1e-7] }'
    conflist = parse(single)
    # What Go 1.2x's json.Marshal gave for the same map.
    assert conflist.text == (
        '{"cniVersion":"0.3.1","name":"aws-cni","plugins":[{"b":[1e+21,1e-7],"cniVersion":"0.3.1","mtu":9001,'
        '"name":"aws-cni","type":"aws-cni","x":"\\u003c\\u0026\\u003e"}]}'
    )
    assert conflist.wrapped


def test_numbers_and_text_are_written_as_go_writes_them() -> None:
    # Input and output of Go's json.Unmarshal into any and json.Marshal.
    text = (
        '{"b":9001,"a":1.0,"c":1e21,"d":1e-7,"f":"<&>\\u2028é\\u0001\\b\\u007f","g":1.5e300,"h":-0.0,"i":0.000001,'
        '"k":1e20,"z":[],"y":{},"n":null,"q":"\\ud800"}'
    )
    assert go_marshal(loads(text)) == (
        '{"a":1,"b":9001,"c":1e+21,"d":1e-7,"f":"\\u003c\\u0026\\u003e\\u2028é\\u0001\\b\x7f","g":1.5e+300,"h":-0,'
        '"i":0.000001,"k":100000000000000000000,"n":null,"q":"\ufffd","y":{},"z":[]}'
    )


@pytest.mark.parametrize(
    ("name", "content", "loads"),
    [
        ("10-aws.conflist", OK.encode(), True),
        ("10-aws.conf", OK.encode(), False),  # 24: containerd reads a list in a .conf as a plugin without type
        ("10-aws.conf", b'{"cniVersion":"0.4.0","name":"x","type":"aws-cni"}', True),
        ("10-aws.conflist", b'{"cniVersion":"0.4.0","name":"x","type":"aws-cni"}', False),
    ],
)
def test_knows_which_file_name_a_runtime_wants(name: str, content: bytes, loads: bool) -> None:
    assert loads_as_runtime(name, parse(content)) is loads
