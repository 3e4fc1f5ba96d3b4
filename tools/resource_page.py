"""docs/resource.md: every field of both resources, from the CRDs and the models' defaults."""

import re
from collections.abc import Iterator
from typing import Any

from cnichain.api.chain import (
    COUNT_OR_PERCENT_PATTERN,
    DURATION_PATTERN,
    VERSION_PATTERN,
    CiliumSpec,
    CNIChainSpec,
)
from cnichain.api.chainnode import NodeSpec, to_wire
from cnichain.api.crd import CHAIN_COLUMNS, NODE_COLUMNS, chain_crd, node_crd

HEAD = """\
<!-- Generated from operator/cnichain/api by `make generate`; do not edit. -->
# The resource

Two kinds, both cluster-scoped, in `cnichain.io/v1alpha1`. You write a `CNIChain`; the operator and the agents write
`CNIChainNode`s. `kubectl explain cnichain.spec --recursive` shows the same from the cluster.

A field that is left out has the default of this table. The API server does not fill it in, so that what you keep in Git
is what is in the cluster; `status.effective` shows what is in force. An unknown field is refused.

```yaml
apiVersion: cnichain.io/v1alpha1
kind: CNIChain
metadata: {name: default}       # a cluster has one
spec:
  cilium: {version: 1.17.3}     # the one field that is required
```
"""

PATTERNS = {
    VERSION_PATTERN: "a version such as `1.17.3`",
    DURATION_PATTERN: "a time such as `90s`, `2m`, `1h30m`",
    COUNT_OR_PERCENT_PATTERN: "a count such as `3`, or a percentage such as `10%`",
    "^(Enabled|Disabled)$": "`Enabled`, `Disabled`",
}
"""Patterns that a reader need not read."""
LEFT_OUT = re.compile(r"Left out: ([\w-]+|[0-9a-z]+)\.( |$)")
Schema = dict[str, Any]
Row = tuple[str, Schema, bool]
"""Path of a field, its schema, and whether it must be there."""


def resource_page() -> str:
    """The whole page."""
    chain, node = (_root(crd) for crd in (chain_crd(), node_crd()))
    chain_defaults = _dump(CNIChainSpec(cilium=CiliumSpec(version="0.0.0")))
    lines = [HEAD, "## CNIChain", "", "Short name `cnc`.", "", *_columns(CHAIN_COLUMNS)]
    for name, part in chain["properties"]["spec"]["properties"].items():
        required = name in chain["properties"]["spec"].get("required", [])
        lines += _section(f"spec.{name}", part, required, {name: chain_defaults.get(name)})
    lines += _rules("What is refused as a whole", chain)
    lines += ["### CNIChain status", "", "Written by the operator alone.", ""]
    lines += _table(fields("status", chain["properties"]["status"]), {}, with_defaults=False)
    lines += [
        "",
        "## CNIChainNode",
        "",
        "Short name `cncn`. One for each node of the chain, owned by its Node; nobody ",
    ]
    lines[-1] += "needs to write one."
    lines += [
        "",
        *_columns(NODE_COLUMNS),
        "### CNIChainNode spec",
        "",
        "What the node should have, by the operator.",
        "",
    ]
    lines += _table(fields("spec", node["properties"]["spec"]), {"spec": to_wire(NodeSpec())})
    lines += ["", "### CNIChainNode status", "", "What the node has, by its agent alone.", ""]
    lines += _table(fields("status", node["properties"]["status"]), {}, with_defaults=False)
    return "\n".join(lines) + "\n"


def fields(path: str, schema: Schema, required: bool = False) -> Iterator[Row]:
    """Every leaf below a schema, objects and lists of objects taken apart."""
    inner = schema.get("properties")
    if schema.get("type") == "array" and "properties" in schema.get("items", {}):
        path, schema, inner = f"{path}[]", schema["items"], schema["items"]["properties"]
    if not inner:
        yield path, schema, required
        return
    for name, part in inner.items():
        if _meaning(part) == "-":
            part |= {"description": _text(schema)}  # `enabled` says nothing by itself: what it switches does
        yield from fields(f"{path}.{name}", part, name in schema.get("required", []))


def _section(path: str, schema: Schema, required: bool, defaults: Any) -> list[str]:
    lines = [f"### {path}", ""]
    if "properties" in schema:
        lines += [_text(schema), ""]
    return [*lines, *_table(fields(path, schema, required), {"spec": defaults}), ""]


def _table(rows: Iterator[Row], defaults: Any, *, with_defaults: bool = True) -> list[str]:
    head = ["Field", "Type", "Default", "Allowed", "Meaning"]
    cells = [
        [f"`{path}`", _type(schema), _default(path, required, defaults), _allowed(schema), _meaning(schema)]
        for path, schema, required in rows
    ]
    if not with_defaults:
        head.pop(2)
        for line in cells:
            line.pop(2)
    return [_row(head), _row(["---"] * len(head)), *(_row(line) for line in cells)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(schema: Schema) -> str:
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"map of {_type(values)}" if isinstance(values, dict) else "object"
    return str(kind)


def _default(path: str, required: bool, defaults: Any) -> str:
    if required:
        return "*required*"
    value = defaults
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("maxLength", "{} characters at most"),
    ("maxItems", "{} entries at most"),
    ("maxProperties", "{} keys at most"),
)


def _allowed(schema: Schema) -> str:
    said = []
    inner = schema.get("items", {})
    for source in (schema, inner):
        if "enum" in source:
            said.append(", ".join(f"`{value}`" for value in source["enum"]))
        if "pattern" in source:
            said.append(PATTERNS.get(source["pattern"], f"`{source['pattern']}`"))
    said += [text.format(schema[key]) for key, text in BOUNDS if _tells(schema, key)]
    return "; ".join(said) or "-"


def _tells(schema: Schema, key: str) -> bool:
    """Whether a bound says something to a reader: not those that only bound the cost of validation."""
    if key == "maxLength" and ("enum" in schema or "pattern" in schema):
        return False
    return key in schema and not (key == "maximum" and schema[key] >= 2**31 - 1)


def _text(schema: Schema) -> str:
    return " ".join(str(schema.get("description", "")).split()) or "-"


def _meaning(schema: Schema) -> str:
    """The description without what the column of defaults says already."""
    return LEFT_OUT.sub("", _text(schema)).strip() or "-"


def _columns(columns: list[tuple[str, str, str, int]]) -> list[str]:
    """The columns of kubectl's table."""
    plain = ", ".join(name.upper() for name, _, _, priority in columns if not priority)
    wide = ", ".join(name.upper() for name, _, _, priority in columns if priority)
    return [f"`kubectl get` shows {plain}; with `-o wide` also {wide}.", ""]


def _rules(title: str, root: Schema) -> list[str]:
    lines = [f"### {title}", "", "The API server says:", ""]
    for schema in (root, root["properties"]["spec"]):
        lines += [f"- {rule['message']}" for rule in schema.get("x-kubernetes-validations", [])]
    return [*lines, ""]


def _root(crd: Schema) -> Schema:
    root: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def _dump(spec: CNIChainSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True)
