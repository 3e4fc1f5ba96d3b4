"""JSON as Go's encoding/json reads it, with the place of every member: what a container runtime would see.

Python's own `json` is more lenient (NaN, Infinity, UTF-16) and tells no places, and the splice of a chained conflist
needs to know where in the text the `plugins` list ends. Everything here is pure.

Stricter than Go in two points, both on the safe side: bytes that are not UTF-8 are refused (Go puts U+FFFD in their
place), and so is a nesting deeper than Python's parser follows (some hundreds of levels; Go allows 10,000).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

_SPACE = re.compile(r"[ \t\n\r]*")


class JSONError(ValueError):
    """The text is not the JSON that Go would accept; the message says what and where."""


@dataclass(frozen=True)
class Span:
    """One value inside a JSON text: the value, and where its text begins and ends (offsets in characters)."""

    value: Any
    begin: int
    end: int


def decode(content: bytes) -> str:
    """The bytes of a file as text. Raises JSONError for a byte order mark and for bytes that are not UTF-8."""
    if content.startswith(b"\xef\xbb\xbf"):
        raise JSONError("starts with a byte order mark (BOM), which Go's JSON reader refuses")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JSONError(f"is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}") from error


def loads(text: str) -> Any:
    """The value of a JSON text. For a key that stands twice the last one counts, as in Go. Raises JSONError."""
    if not text.strip(" \t\n\r"):
        raise JSONError("is empty")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JSONError(f"is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise JSONError("is nested too deeply") from error


def members(text: str) -> Iterator[tuple[str, Span]]:
    """The members of the object that a valid JSON text is, in the order of the text, repeated keys included."""
    place = _skip(text, _skip(text, 0) + 1)
    while text[place] != "}":
        key, place = _DECODER.raw_decode(text, place)
        begin = _skip(text, _skip(text, place) + 1)
        value, end = _DECODER.raw_decode(text, begin)
        yield key, Span(value, begin, end)
        place = _after_comma(text, end)


def elements(text: str, array: Span) -> Iterator[Span]:
    """The elements of an array whose place in the valid JSON text is known."""
    place = _skip(text, array.begin + 1)
    while text[place] != "]":
        value, end = _DECODER.raw_decode(text, place)
        yield Span(value, place, end)
        place = _after_comma(text, end)


def canonical(value: Any) -> str:
    """One text for one value: equal texts mean equal JSON, and 1, 1.0 and true are three different things."""
    return _CANONICAL.encode(value)


def go_marshal(value: Any) -> str:
    """The value as Go's json.Marshal writes it after reading it into `any`: sorted keys, no spaces, HTML escapes.

    Cilium does this to a single-plugin file when it makes a list of it. Whole numbers beyond 2^53 keep their digits
    here, where Go rounds them to a float.
    """
    if isinstance(value, dict):
        # Go sorts by bytes and Python by code points: for UTF-8 these are the same order.
        pairs = (f"{_go_string(key)}:{go_marshal(value[key])}" for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(go_marshal(item) for item in value) + "]"
    if isinstance(value, str):
        return _go_string(value)
    if isinstance(value, float):
        return _go_float(value)
    return json.dumps(value)


def _go_string(value: str) -> str:
    plain = json.dumps(value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), ensure_ascii=False)
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return "".join(escapes.get(char, char) for char in plain)


def _go_float(value: float) -> str:
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    if 1e-6 <= abs(value) < 1e21:
        from decimal import Decimal  # noqa: PLC0415 - for the rare single-plugin file; it costs the agent a megabyte

        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return re.sub(r"e([+-])0(\d)$", r"e\1\2", repr(value))


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _after_comma(text: str, end: int) -> int:
    place = _skip(text, end)
    return _skip(text, place + 1) if text[place] == "," else place


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise JSONError(f"has a number that is too large for Go: {text[:20]}...")
    return value


def _integer(text: str) -> int:
    _number(text)
    return int(text)


def _constant(text: str) -> NoReturn:
    raise JSONError(f"has {text}, which is not JSON and which Go refuses")


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=_constant)
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
