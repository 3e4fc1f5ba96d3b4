"""A CNI configuration file as the agent understands it: network name, version, plugins and where each one stands.

Rules: the CNI specification (section 1), libcni's loader and Cilium's own reader (findCNINetwork). Everything is pure.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from cnichain.node.pluginconf import kind_of, wrong_member
from cnichain.node.strictjson import JSONError, Span, canonical, decode, elements, go_marshal, loads, members

CILIUM_CNI = "cilium-cni"
"""The `type` of Cilium's plugin."""

CNI_VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""What the cilium-cni plugin accepts (its `SupportedVersions`)."""

RUNTIME_EXTENSIONS = (".conf", ".conflist", ".json")
"""What containerd and CRI-O load; files with a leading dot count too."""

_NETWORK_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_BOOLEANS = ("true", "false")
_FILE_NAME_BYTES = 255
"""Linux's NAME_MAX: no binary can have a longer name. It bounds the status, too, in which types stand."""


class ConflistError(ValueError):
    """The content is no CNI configuration that a chain can be made from; the message says why, in words."""


@dataclass(frozen=True)
class Plugin:
    """One entry of the `plugins` list.

    type: the name of its binary. value: the entry as data. raw: its text, byte for byte.
    begin, end: its place in the text of the list, in characters.
    """

    type: str
    value: dict[str, Any]
    raw: str
    begin: int
    end: int

    @cached_property
    def canonical(self) -> str:
        """One text for one meaning."""
        return canonical(self.value)


@dataclass(frozen=True)
class Conflist:
    """A valid network configuration list.

    text: the whole of it, byte for byte as on disk unless `wrapped`.
    array_end: place of the `]` that closes `plugins`, in characters of `text`.
    outer: every member but `plugins`, as data.
    wrapped: the file held a single plugin, and `text` is the list that was made of it.
    """

    network: str
    cni_version: str
    plugins: tuple[Plugin, ...]
    outer: dict[str, Any]
    text: str
    array_end: int
    wrapped: bool = False

    @property
    def types(self) -> tuple[str, ...]:
        """The plugins' types in chaining order."""
        return tuple(plugin.type for plugin in self.plugins)

    @cached_property
    def cilium_at(self) -> int | None:
        """Index of the first cilium-cni entry; None without one."""
        return next((index for index, kind in enumerate(self.types) if kind == CILIUM_CNI), None)


def parse(content: bytes) -> Conflist:
    """The content of a CNI configuration file. Raises ConflistError.

    A single-plugin file (no `plugins`, but a `type`) becomes a list in the way Cilium makes one of it, so that a chain
    derived from it has Cilium's bytes. Two `plugins` keys are refused: the runtime reads the last one and Cilium's
    merge edits the first, so no chain made from such a file is what it seems.

    The newest results are kept: one repair looks at the same few bytes seven times. So nobody may change a result.
    """
    return _parse_kept(content) if len(content) <= _KEPT_SIZE else _parse(content)


def _parse(content: bytes) -> Conflist:
    try:
        text = decode(content)
        value = loads(text)
        if not isinstance(value, dict):
            raise ConflistError(f"is a JSON {kind_of(value)}, not an object")
        if "plugins" not in value and "type" in value:
            return _parse_list(_wrap(value), wrapped=True)
        return _parse_list(text, wrapped=False)
    except JSONError as error:
        raise ConflistError(str(error)) from error
    except RecursionError as error:
        raise ConflistError("is nested too deeply") from error


_parse_kept = lru_cache(maxsize=8)(_parse)
_KEPT_SIZE = 32 * 1024
"""Bytes; a larger file is rare, and not worth the memory."""


def loads_as_runtime(name: str, conflist: Conflist) -> bool:
    """Whether containerd loads the file under this name: a list must be called .conflist, a single plugin must not."""
    return name.endswith(".conflist") != conflist.wrapped


def _parse_list(text: str, *, wrapped: bool) -> Conflist:
    spans: dict[str, Span] = {}
    for key, span in members(text):
        if key == "plugins" and key in spans:
            raise ConflistError('has the key "plugins" twice')
        spans[key] = span
    outer = {key: span.value for key, span in spans.items() if key != "plugins"}
    network = _network(outer.get("name"))
    version = _version(outer)
    _check_booleans(outer)
    plugins = _plugins(text, spans.get("plugins"))
    canonical(outer)  # raises RecursionError here, where it is caught, and not in a later comparison
    return Conflist(network, version, plugins, outer, text, spans["plugins"].end - 1, wrapped)


def _network(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ConflistError('has no "name"' if name is None else f'has a "name" that is {kind_of(name)}')
    if not _NETWORK_NAME.fullmatch(name):
        raise ConflistError(f'has a "name" that CNI does not allow: {name[:64]!a}')
    return name


def _version(outer: dict[str, Any]) -> str:
    version = outer.get("cniVersion")
    if not isinstance(version, str):
        said = 'has no "cniVersion"' if version is None else f'has a "cniVersion" that is {kind_of(version)}'
        raise ConflistError(said)
    listed = outer.get("cniVersions", [])
    if not isinstance(listed, list):
        raise ConflistError(f'has a "cniVersions" that is {kind_of(listed)}, not a list')
    for item in (version, *listed):
        if item not in CNI_VERSIONS:
            raise ConflistError(f"has the CNI version {str(item)[:32]!a}; cilium-cni knows {', '.join(CNI_VERSIONS)}")
    return version


def _check_booleans(outer: dict[str, Any]) -> None:
    for key in ("disableCheck", "disableGC", "loadOnlyInlinedPlugins"):
        value = outer.get(key, False)
        if not isinstance(value, bool) and not (isinstance(value, str) and value.lower() in _BOOLEANS):
            raise ConflistError(f'has a "{key}" that is neither true nor false')


def _plugins(text: str, span: Span | None) -> tuple[Plugin, ...]:
    if span is None:
        raise ConflistError('has neither "plugins" nor "type"')
    if not isinstance(span.value, list):
        raise ConflistError(f'has "plugins" that is {kind_of(span.value)}, not a list')
    if not span.value:
        raise ConflistError('has an empty "plugins" list')
    return tuple(_plugin(index, text, item) for index, item in enumerate(elements(text, span)))


def _plugin(index: int, text: str, item: Span) -> Plugin:
    if not isinstance(item.value, dict):
        raise ConflistError(f"has {kind_of(item.value)} as plugin {index}, not an object")
    kind = item.value.get("type")
    if not isinstance(kind, str) or not kind:
        said = "no" if kind is None else "an empty" if kind == "" else f"{kind_of(kind)} as"
        raise ConflistError(f'has {said} "type" in plugin {index}')
    if "/" in kind or not kind.isprintable() or len(kind.encode()) > _FILE_NAME_BYTES:
        raise ConflistError(f"has a plugin type that is no file name: {kind[:64]!a}")
    if wrong := wrong_member(item.value):
        raise ConflistError(f"has {wrong} in plugin {index}, which no runtime loads")
    plugin = Plugin(kind, item.value, text[item.begin : item.end], item.begin, item.end)
    _ = plugin.canonical  # as above: a RecursionError belongs here
    return plugin


def _wrap(value: dict[str, Any]) -> str:
    return go_marshal({"cniVersion": value.get("cniVersion"), "name": value.get("name"), "plugins": [value]})
