"""Another file that sorts before the chained conflist: does it carry the same chain, or do pods bypass it? Pure."""

from collections.abc import Mapping
from dataclasses import replace

from cnichain.node.conflist import CILIUM_CNI, Conflist, ConflistError
from cnichain.node.folder import FolderFile
from cnichain.node.splice import explain, same_chain


def shadow(effective: FolderFile, chained: str, expected: Conflist) -> str:
    """What is wrong with another file standing first; empty when it carries the same chain."""
    first = f"{effective.shown} sorts before {chained}, so the runtime uses it"
    found = effective.parsed
    if isinstance(found, ConflistError):
        return f"{first}: it {found}. containerd has no network then; CRI-O goes on to the next file."
    if not effective.is_loadable:
        named = "is a list, but is not named .conflist" if not found.wrapped else "is a single plugin in a .conflist"
        return f"{first}: it {named}. containerd has no network then; CRI-O goes on to the next file."
    if _delegates(found, chained):
        return ""
    if found.cilium_at is None:
        return f"{first}: pods start WITHOUT policy. Its plugins: {', '.join(found.types)}."
    if _tail_aside(found, expected):
        return ""
    return f"{first}. It has cilium-cni, but is not up to date: {explain(found, expected)}."


def _tail_aside(found: Conflist, expected: Conflist) -> bool:
    """Whether a file of another owner is our chain with nothing but further plugins behind it (istio's own file)."""
    count = len(expected.plugins)
    return same_chain(replace(found, plugins=found.plugins[:count]), expected)


def _delegates(found: Conflist, chained: str) -> bool:
    """Whether multus hands pods on to our file: by its path, or by a copy that has cilium-cni."""
    for plugin in found.plugins:
        if plugin.type != "multus":
            continue
        if str(plugin.value.get("clusterNetwork", "")).endswith(f"/{chained}"):
            return True
        delegates = plugin.value.get("delegates")
        first = delegates[0] if isinstance(delegates, list) and delegates else None
        inner = first.get("plugins") if isinstance(first, Mapping) else None
        if isinstance(inner, list) and any(isinstance(p, Mapping) and p.get("type") == CILIUM_CNI for p in inner):
            return True
    return False
