"""What the API server checks of an object against a CRD's structural schema, as far as our schemas use it.

tests/security/test_status_on_api.py holds it against the real one.
"""

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def violations(value: Any, schema: Schema, path: str = "status") -> Iterator[str]:
    """Everything that the API server would refuse, or drop without a word (a field that the schema does not have)."""
    kind = schema.get("type")
    if kind is not None:
        is_right = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
        if not is_right:
            yield f"{path} is {type(value).__name__}, not {kind}"
            return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} is {value!r}, none of {schema['enum']}"
    if isinstance(value, str):
        yield from _text(value, schema, path)
    elif isinstance(value, list):
        yield from _bounds(len(value), schema, "Items", path)
        for at, item in enumerate(value):
            yield from violations(item, schema.get("items", {}), f"{path}[{at}]")
    elif isinstance(value, dict):
        yield from _mapping(value, schema, path)
    elif isinstance(value, int | float) and not (schema.get("minimum", value) <= value <= schema.get("maximum", value)):
        yield f"{path} is {value}, out of its bounds"


def _text(value: str, schema: Schema, path: str) -> Iterator[str]:
    yield from _bounds(len(value), schema, "Length", path)  # code points, as the API server counts
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path} is {value[:60]!r}, which is not like {schema['pattern']}"
    try:
        value.encode()
    except UnicodeEncodeError:
        yield f"{path} is no valid UTF-8"


def _mapping(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    yield from _bounds(len(value), schema, "Properties", path)
    yield from (f"{path}.{name} is missing" for name in schema.get("required", []) if name not in value)
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        yield from _text(name, {}, f"{path}, a key")
        if name in properties:
            yield from violations(item, properties[name], f"{path}.{name}")
        elif extra is not None:
            yield from violations(item, extra if isinstance(extra, dict) else {}, f"{path}.{name}")
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name} is not in the schema"


def _bounds(size: int, schema: Schema, what: str, path: str) -> Iterator[str]:
    if size > schema.get(f"max{what}", size) or size < schema.get(f"min{what}", size):
        yield f"{path} has the size {size}, out of its bounds"
