"""The members of a plugin's configuration that a runtime decodes into types of their own (libcni's PluginConf). Pure.

One of another type makes the runtime refuse the whole list, whatever the plugin itself would make of it. As in Go, a
key counts whatever its case, and null counts as not there.
"""

from collections.abc import Mapping
from typing import Any

_TEXT = "a string"
_SHAPES: dict[str, Any] = {
    "cniversion": _TEXT,
    "name": _TEXT,
    "type": _TEXT,
    "capabilities": {"*": "a boolean"},
    "ipam": {"type": _TEXT},
    "dns": {"nameservers": [_TEXT], "domain": _TEXT, "search": [_TEXT], "options": [_TEXT]},
    "prevresult": {},
}
"""Key in lower case to what it has to be: a kind, a list of one, or an object ("*": each of its members)."""


def wrong_member(plugin: Mapping[str, Any]) -> str:
    """What a runtime cannot decode in a plugin's configuration, like `"ipam" that is a string`; empty if nothing."""
    return _wrong(plugin, _SHAPES, "")


def kind_of(value: Any) -> str:
    """The JSON type of a value in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _wrong(value: Any, shape: Any, path: str) -> str:
    if value is None:
        return ""
    if isinstance(shape, dict) and isinstance(value, Mapping):
        inner = ((key, item, shape.get(key.casefold(), shape.get("*"))) for key, item in value.items())
        found = (_wrong(item, wanted, f"{path}.{key}".lstrip(".")) for key, item, wanted in inner if wanted is not None)
        return next(filter(None, found), "")
    if isinstance(shape, list) and isinstance(value, list):
        return next(filter(None, (_wrong(item, shape[0], path) for item in value)), "")
    is_right = isinstance(shape, str) and shape == kind_of(value)
    return "" if is_right else f'"{path[:64]}" that is {kind_of(value)}'
