"""Manifests as documents that know where they stand: file, line, and the line of each field. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from cnichain.render.yamlstream import SEPARATOR, KubernetesLoader

Object = Mapping[str, Any]
Part = str | int


@dataclass(frozen=True)
class Unreadable:
    """Something that could not be read. line: 0 when it is not about a line."""

    file: str
    line: int
    why: str


@dataclass(frozen=True, repr=False)
class Document:
    """An object of a manifest. file: its name, for people. line: of its first field. node: its YAML, for lines."""

    body: Object
    file: str
    line: int
    node: yaml.Node | None = field(default=None, compare=False)
    offset: int = 0

    @property
    def kind(self) -> str:
        """The kind, "" when there is none."""
        return text(self.body.get("kind"))

    @property
    def group(self) -> str:
        """The API group, "" for the core group."""
        version = text(self.body.get("apiVersion"))
        return version.partition("/")[0] if "/" in version else ""

    @property
    def metadata(self) -> Object:
        """The metadata, empty when there are none."""
        return mapping(self.body.get("metadata"))

    @property
    def spec(self) -> Object:
        """The spec, empty when there is none."""
        return mapping(self.body.get("spec"))

    @property
    def name(self) -> str:
        """The name, "" when there is none."""
        return text(self.metadata.get("name"))

    @property
    def namespace(self) -> str:
        """The namespace, "" when it is left to whoever applies it."""
        return text(self.metadata.get("namespace"))

    def is_a(self, kind: str, group: str = "") -> bool:
        """Whether it is of a kind of a group, in any version."""
        return (self.kind, self.group) == (kind, group)

    def line_of(self, *path: Part) -> int:
        """The line of a field; of the nearest field above it that is there, when it is not."""
        node, line = self.node, self.line
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            key, node = found
            line = self.offset + key.start_mark.line
        return line


def _child(node: yaml.Node | None, part: Part) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def mapping(value: Any) -> Object:
    """A value if it is a mapping, else an empty one: manifests of others may be anything."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> Sequence[Any]:
    """A value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def mappings(value: Any) -> list[Object]:
    """The mappings of a list, empty for anything else."""
    return [item for item in sequence(value) if isinstance(item, Mapping)]


def text(value: Any) -> str:
    """A value if it is a text, else ""."""
    return value if isinstance(value, str) else ""


def at(value: Any, *path: str) -> Any:
    """The value at a path of keys, None when it is not there."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def parse(content: str, file: str) -> tuple[list[Document], list[Unreadable], int]:
    """Documents of a YAML or JSON text, what of it could not be read, and how many documents are no objects.

    The items of a List count as documents. One bad document leaves the others readable.
    """
    found: list[Document] = []
    bad: list[Unreadable] = []
    others = 0
    for part, first in _parts(content.removeprefix("\ufeff")):
        try:
            loaded = _load(part)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            why = getattr(error, "problem", None) or " ".join(str(error).split())
            bad.append(Unreadable(file, first + (mark.line if mark else 0), f"not valid YAML: {why}"))
            continue
        except (ValueError, RecursionError) as error:
            # PyYAML lets both through: an integer that is too long, and nesting without an end.
            bad.append(Unreadable(file, first, f"not valid YAML: {type(error).__name__}"))
            continue
        if loaded is None:
            continue
        if loaded[1] is None:
            continue
        items = list(_objects(Document(loaded[1], file, 0, loaded[0], first)))
        others += not items
        found += items
    return found, bad, others


def _parts(content: str) -> Iterator[tuple[str, int]]:
    """The documents of a stream, each with the number of its first line."""
    start, line = 0, 1
    for match in SEPARATOR.finditer(content):
        yield content[start : match.start()], line
        line += content.count("\n", start, match.start())
        start = match.start() + len("---")  # a document may begin on the separator's own line
    yield content[start:], line


def _load(part: str) -> tuple[yaml.Node, Any] | None:
    loader = KubernetesLoader(part)
    try:
        node = loader.get_single_node()
        return None if node is None else (node, loader.construct_document(node))
    finally:
        loader.dispose()


def _objects(document: Document) -> Iterator[Document]:
    """The document itself when it is an object, or the objects of a List."""
    body = mapping(document.body)
    if not text(body.get("kind")) or not text(body.get("apiVersion")):
        return
    if text(body["kind"]).endswith("List") and isinstance(body.get("items"), list):
        items = _child(document.node, "items")
        nodes = items[1].value if items else []
        for item, node in zip(body["items"], nodes, strict=True):
            yield from _objects(Document(item, document.file, 0, node, document.offset))
        return
    line = document.offset + (document.node.start_mark.line if document.node else 0)
    yield Document(body, document.file, line, document.node, document.offset)
