"""Files that newer runtimes append to a chain: `<folder>/<network's name>/*.conf` (CNI 1.1, libcni 1.3). Pure.

containerd does so from 2.1 on, behind cilium-cni, unless the list says `loadOnlyInlinedPlugins`. One that it cannot
decode takes the whole list away, and the words in containerd's log then blame the list. It loads them when something
changes in the configuration folder itself, so a broken one may lie there for days before it strikes.
"""

import json
from dataclasses import replace
from typing import Any, NoReturn

from cnichain.api.chainnode import NodeSpec, NodeState
from cnichain.api.reasons import Reason
from cnichain.node.decision import Decision, View
from cnichain.node.folder import Folder, FolderFile, Kind
from cnichain.node.pluginconf import kind_of, wrong_member


def with_drop_ins(decision: Decision, view: View, spec: NodeSpec) -> Decision:
    """The decision with a word on drop-ins. One that is broken unverifies a node whose runtime is known to load it."""
    network = _network(view.effective)
    names = view.folder.drop_ins(network)
    broken = _broken(view.folder, network) if network else ()
    if not decision.settled or not (names or broken):
        return decision
    runtime = view.runtime
    is_loaded = runtime is not None and runtime.appends_drop_ins
    newer = f"{runtime.name} {runtime.version}" if runtime and is_loaded else "containerd 2.1 and newer"
    if not broken:
        return replace(decision, message=f"{decision.message} {newer} {_also(is_loaded)} {', '.join(names)}.")
    words = f"{'; '.join(broken)}: {newer} cannot load the network {network} with it. Correct or remove it."
    message = f"{decision.message} {words}"
    if not is_loaded or not decision.verified:
        return replace(decision, message=message)
    decision = replace(decision, settled=False, verified=False, reason=Reason.DROP_IN_INVALID)
    if spec.frozen:
        return replace(decision, message=message)
    state = NodeState.UNINSTALLING if decision.state is NodeState.UNCHAINED else NodeState.RUNTIME_STALE
    return replace(decision, state=state, message=f"No pod can start once it is loaded: {words} {decision.message}")


def mark(folder: Folder, effective: FolderFile | None) -> str:
    """Changes whenever somebody changes the drop-ins of the file that the runtime picks."""
    network = _network(effective)
    there = folder.get(network) if network else None
    return "" if there is None else f"{there.kind}:{[(file.name, file.mark) for file in there.children]}"


def problem(content: bytes) -> str:
    """Why a runtime cannot decode a drop-in; empty where it can, and where that is not known (nested too deeply)."""
    if not content.strip(b" \t\n\r"):
        return "is empty"
    try:
        # As in Go: any bytes in a string, any size of a number, and null for what is not there.
        value = _DECODER.decode(content.decode("utf-8", "replace"))
    except RecursionError:
        return ""
    except ValueError as error:
        return f"is not valid JSON: {error}"
    if not isinstance(value, dict):
        return f"is JSON, but {kind_of(value)} and not an object"
    if wrong := wrong_member(value):
        return f"has {wrong}"
    has_type = any(item for key, item in value.items() if key.casefold() == "type")
    return "" if has_type else 'has no "type"'


def _broken(folder: Folder, network: str) -> tuple[str, ...]:
    """What of the drop-ins a runtime cannot load, one phrase each.

    What stands behind a symbolic link is not judged: on the node it may be something else than in the agent's pod.
    """
    there = folder.get(network)
    if there is None or there.kind is Kind.SYMLINK:
        return ()
    if there.kind is not Kind.FOLDER:
        return (f"{there.shown} is a {there.kind}, where only a folder of drop-ins may be",)
    found = ((file, _child(file)) for file in there.children)
    return tuple(f"{there.shown}/{file.shown} {wrong}" for file, wrong in found if wrong)


def _child(file: FolderFile) -> str:
    if file.kind is Kind.OTHER:
        return f"is a {file.kind}"
    return "" if file.content is None else problem(file.content)


def _network(effective: FolderFile | None) -> str:
    """The network whose drop-ins count; empty where none do: a single plugin has none."""
    conflist = effective.conflist if effective else None
    if conflist is None or conflist.wrapped:
        return ""
    is_inlined = str(conflist.outer.get("loadOnlyInlinedPlugins", False)).lower() == "true"
    return "" if is_inlined else conflist.network


def _also(is_loaded: bool) -> str:
    return "also appends" if is_loaded else "also append"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if value is not None}


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_refuse, parse_int=lambda _: 0, parse_float=lambda _: 0.0
)
