"""Helm's output as documents: YAML read the way Kubernetes reads it. Pure.

PyYAML follows YAML 1.1, Kubernetes converts YAML to JSON first (sigs.k8s.io/yaml). Where they differ, a manifest would
change its meaning on its way through us: `2026-01-01` is a string there and a date here, `1:30` a string there and 90
here. And a key given twice, which would silently lose its first value, is refused.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason

SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
KIND = re.compile(r"^kind:[ \t]*(\S+)", re.MULTILINE)
NAME = re.compile(r"^metadata:[^\n]*\n(?:[ \t]+[^\n]*\n)*?[ \t]+name:[ \t]*(\S+)", re.MULTILINE)
SOURCE = re.compile(r"^# Source:[ \t]*(\S+)", re.MULTILINE)

_DROPPED_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("timestamp", "value", "int", "float")
}  # int and float come back below, without the base-60 forms


class KubernetesLoader(yaml.CSafeLoader):
    """Safe loader with Kubernetes' reading of plain scalars; keys are text, and none is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping; raises ConstructorError when a key comes twice."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str):
                if key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
        return {_text_key(key): value for key, value in super().construct_mapping(node, deep=deep).items()}


KubernetesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED_TAGS]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
KubernetesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
KubernetesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def documents(text: str) -> Iterator[dict[str, Any]]:
    """The documents of a stream that are not empty.

    Raises ChainError(RenderInvalid) that names the document when it is not YAML or not an object. The message never
    quotes the document: it may hold what nobody should read.
    """
    for part in SEPARATOR.split(text):
        try:
            document = yaml.load(part, KubernetesLoader)  # noqa: S506 - a subclass of the safe loader
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or type(error).__name__
            raise ChainError(Reason.RENDER_INVALID, f"{_describe(part)} is not valid YAML: {problem}.") from None
        if document is None:
            continue
        if not isinstance(document, dict):
            raise ChainError(Reason.RENDER_INVALID, f"{_describe(part)} is not an object.")
        yield document


def _text_key(key: Any) -> str:
    """A mapping's key as JSON has it: `8080:` and `true:` are text there."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)


def _describe(part: str) -> str:
    """Name of a document that could not be read, from what its text shows."""
    kind, name, source = KIND.search(part), NAME.search(part), SOURCE.search(part)
    shown = f"{kind[1] if kind else 'a document'} {name[1] if name else '(no name)'}"
    return f"{shown} of {source[1]}" if source else shown
