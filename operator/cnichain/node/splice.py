"""The chained conflist: derived from the primary's, checked, and compared with what is on disk. Everything is pure.

The derivation is a splice into the primary's text and gives the same bytes as cilium-agent's own merge (sjson's
SetRawBytes on `plugins.-1`, with the entry template of Cilium 1.15 to 1.20), so that Cilium, which compares bytes,
finds nothing to write after us, and we find nothing to write after Cilium.
"""

from collections.abc import Iterable, Sequence

from cnichain.api.chainnode import CiliumEntry
from cnichain.api.primaries import PrimaryProfile
from cnichain.node.conflist import CILIUM_CNI, Conflist, ConflistError, Plugin, parse
from cnichain.node.strictjson import canonical

MESH_PLUGINS = frozenset({"istio-cni", "linkerd-cni", "kuma-cni"})
"""Plugins whose installers put themselves last in every conflist they find, again and again."""

PRIMARY_PLUGINS = frozenset({"aws-cni", "egress-cni", "egress-v4-cni", "azure-vnet", "flannel", "calico"})
"""Plugins that only a primary's installer writes: behind cilium-cni they are a mistake, not a third party's entry."""


def cilium_entry(entry: CiliumEntry, chaining_mode: str) -> str:
    """The cilium-cni entry as cilium-agent renders it, line ends included.

    For a log file name with an apostrophe Cilium's template gives text that is not JSON; here it is escaped.
    """
    debug = "true" if entry.enable_debug else "false"
    return (
        f'\n{{\n\t"type": "{CILIUM_CNI}",\n\t"chaining-mode": "{_js(chaining_mode)}",\n'
        f'\t"enable-debug": {debug},\n\t"log-file": "{_js(entry.log_file)}"\n}}\n'
    )


def derive(source: Conflist, entry: str, tail: Sequence[Plugin] = ()) -> bytes:
    """The bytes of the chained conflist.

    source: the primary's list. entry: from `cilium_entry`. tail: third-party plugins that stay behind cilium-cni.
    All of the source's text stays as it is: the entry takes the place of the source's first cilium-cni entry, further
    ones are cut out, and without one the entry is put in before the `]` that closes `plugins`, then the tail.
    """
    text, end = source.text, source.array_end
    inserted = "".join(f",\n{plugin.raw}\n" for plugin in tail)
    if source.cilium_at is None:
        inserted = f",{entry}{inserted}"
    result = text[:end] + inserted + text[end:]
    for index in reversed(range(len(source.plugins))):
        plugin = source.plugins[index]
        if plugin.type != CILIUM_CNI:
            continue
        if index == source.cilium_at:
            result = result[: plugin.begin] + entry + result[plugin.end :]
        else:
            result = result[: source.plugins[index - 1].end] + result[plugin.end :]
    return result.encode()


def tail_of(existing: Conflist, source: Conflist, profile: PrimaryProfile) -> tuple[Plugin, ...]:
    """Third-party plugins behind cilium-cni in an existing chained conflist (istio-cni, linkerd-cni, ...).

    What the source has itself, and what only a primary writes, is no third party's: such an entry behind cilium-cni
    comes from a chain that was put together wrongly. Of two entries of one type the last one counts.
    """
    if existing.cilium_at is None:
        return ()
    not_theirs = {*source.types, *PRIMARY_PLUGINS, CILIUM_CNI, profile.plugin_type}
    last = {plugin.type: plugin for plugin in existing.plugins[existing.cilium_at + 1 :]}
    return tuple(plugin for kind, plugin in last.items() if kind not in not_theirs)


def validate(content: bytes, source: Conflist, chaining_mode: str) -> Conflist:
    """The chained conflist read back, as the last check before it is published. Raises ConflistError.

    Independent of `derive`: it compares data, not text. Nothing of the source may be lost or moved, exactly one
    cilium-cni entry stands in the list, and it has the chaining mode (without it each ADD would fail).
    """
    chained = parse(content)
    entries = [plugin for plugin in chained.plugins if plugin.type == CILIUM_CNI]
    if len(entries) != 1:
        raise ConflistError(f"has {len(entries)} cilium-cni entries, not one")
    if entries[0].value.get("chaining-mode") != chaining_mode:
        raise ConflistError(f"has a cilium-cni entry without chaining-mode {chaining_mode}")
    if canonical(chained.outer) != canonical(source.outer):
        raise ConflistError("does not have the primary's settings outside of plugins")
    wanted = _without_cilium(source.plugins)
    if _without_cilium(chained.plugins)[: len(wanted)] != wanted:
        raise ConflistError("does not have the primary's plugins in the primary's order")
    return chained


def same_chain(current: Conflist, expected: Conflist) -> bool:
    """Whether a chained conflist on disk means the same as the expected one.

    Text does not count, data does. A mesh plugin may stand before or behind cilium-cni, and its installer owns what is
    in it: linkerd-cni moves itself to the end of every file, and taking it back would start a war of two writers.
    """
    if canonical(current.outer) != canonical(expected.outer):
        return False
    if same_list(current, expected):
        return True
    mesh_now = sorted(kind for kind in current.types if kind in MESH_PLUGINS)
    mesh_then = sorted(kind for kind in expected.types if kind in MESH_PLUGINS)
    return mesh_now == mesh_then and _without_mesh(current.plugins) == _without_mesh(expected.plugins)


def same_list(one: Conflist, other: Conflist) -> bool:
    """Whether two lists mean the same to a runtime: text does not count, data and order do."""
    mine, theirs = ([plugin.canonical for plugin in conflist.plugins] for conflist in (one, other))
    return mine == theirs and canonical(one.outer) == canonical(other.outer)


def explain(current: Conflist, expected: Conflist) -> str:
    """In words, how a chained conflist differs from the expected one; the first three differences."""
    said = list(_member_differences("", current.outer, expected.outer))
    now, then = {p.type: p for p in current.plugins}, {p.type: p for p in expected.plugins}
    said += [f"plugin {kind} is missing" for kind in then if kind not in now]
    said += [f"plugin {kind} does not belong there" for kind in now if kind not in then]
    said += [f"plugin {kind} stands there twice" for kind in now if current.types.count(kind) > 1]
    for kind, plugin in now.items():
        if kind in then and plugin.canonical != then[kind].canonical:
            said += _member_differences(f"plugin {kind}: ", plugin.value, then[kind].value)
    if not said and current.types != expected.types:
        said = [f"the order is {', '.join(current.types)} instead of {', '.join(expected.types)}"]
    more = f" and {len(said) - 3} more" if len(said) > 3 else ""
    return ("; ".join(said[:3]) + more) if said else "no difference"


def _member_differences(where: str, current: dict[str, object], expected: dict[str, object]) -> Iterable[str]:
    for key in dict.fromkeys((*expected, *current)):
        if key not in current:
            yield f'{where}"{key}" is missing'
        elif key not in expected:
            yield f'{where}"{key}" does not belong there'
        elif canonical(current[key]) != canonical(expected[key]):
            yield f'{where}"{key}" is {_short(current[key])} instead of {_short(expected[key])}'


def _short(value: object) -> str:
    text = canonical(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_cilium(plugins: Sequence[Plugin]) -> list[str]:
    return [plugin.canonical for plugin in plugins if plugin.type != CILIUM_CNI]


def _without_mesh(plugins: Sequence[Plugin]) -> list[str]:
    return [plugin.canonical for plugin in plugins if plugin.type not in MESH_PLUGINS]


def _js(value: str) -> str:
    """Go's template.JSEscape, in a form that is JSON too."""
    escaped = {'"': '\\"', "\\": "\\\\"}
    return "".join(escaped.get(char) or (char if _plain(char) else _unicode_escape(char)) for char in value)


def _plain(char: str) -> bool:
    return char.isprintable() and char not in "'<>&="


def _unicode_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))
