"""Taking the chain off a node: for good, or while Cilium is down. Pure.

The order is that of an uninstallation that never leaves a node without network: a valid fallback is there first, then
our file goes, then the runtime shows that it has gone. Each step is decided from what is on disk, so the agent may be
killed between any two.
"""

from dataclasses import replace

from cnichain.api.chainnode import NodeSpec, NodeState
from cnichain.api.primaries import PROFILES, PrimaryProfile
from cnichain.api.reasons import Reason
from cnichain.node.conflist import ConflistError, parse
from cnichain.node.decision import Decision, Remove, View, Write
from cnichain.node.folder import FolderFile, NoSource, Source, find_backup, find_source, is_of
from cnichain.node.waiting import no_primary


def unchain(view: View, spec: NodeSpec) -> Decision:
    """The node is to run the primary alone, for good."""
    profile = PROFILES[spec.primary]
    source = find_source(view.folder, profile, view.ours(spec), view.known.source_file)
    base = Decision(NodeState.UNINSTALLING, Reason.NODE_UNCHAINED, "", source=_primary(source))
    chained = _chained(view, spec)
    if spec.frozen and chained is not None:
        message = f"Frozen, no file is changed; {chained.shown} would be removed."
        return replace(base, state=NodeState.FROZEN, reason=Reason.NODE_FROZEN, message=message)
    if isinstance(source, NoSource) and not spec.frozen:
        restore = _restore(view, profile, base)
        if restore is not None:
            return restore
    if chained is None:
        return _unchained(view, replace(base, state=NodeState.UNCHAINED), source)
    return _remove(view, spec, base, source, chained)


def fall_back(view: View, spec: NodeSpec) -> Decision:
    """Cilium is down, and pods are to start by the primary alone until it is back."""
    source = find_source(view.folder, PROFILES[spec.primary], view.ours(spec), view.known.source_file)
    base = Decision(NodeState.CILIUM_DOWN, Reason.CILIUM_DOWN_OPEN, "", source=_primary(source))
    chained = _chained(view, spec)
    if chained is None:
        message = "Cilium does not answer on this node, so pods start by the primary alone, WITHOUT policy."
        if isinstance(source, NoSource):
            return replace(base, message=f"{message} {no_primary(view, spec, source).message}")
        return replace(base, settled=True, message=message)
    if spec.frozen:
        message = f"Frozen, no file is changed; {chained.shown} would be removed, since Cilium does not answer."
        return replace(base, state=NodeState.FROZEN, reason=Reason.NODE_FROZEN, message=message)
    return _remove(view, spec, base, source, chained)


def _remove(view: View, spec: NodeSpec, base: Decision, source: Source | NoSource, chained: FolderFile) -> Decision:
    """Our file is there: it goes, or why not."""
    if chained.content is None:
        message = f"{chained.shown} {chained.parsed}; remove it by hand."
        return replace(base, reason=Reason.CONFLIST_UNSAFE_FILE, message=message)
    if isinstance(source, NoSource):
        waiting = no_primary(view, spec, source)
        reason = base.reason if base.state is NodeState.CILIUM_DOWN else waiting.reason
        message = f"{chained.shown} is not removed, since nothing valid would be left: {waiting.message}"
        return replace(base, reason=reason, message=message, passing=waiting.passing)
    invalid = Reason.PRIMARY_CONFLIST_INVALID
    if not source.file.is_loadable:
        message = f"{chained.shown} is not removed, since no runtime would load {source.file.shown}: a list must be "
        return replace(base, reason=invalid, message=f"{message}named .conflist.")
    following = next((file for file in view.folder.runtime_files() if file.name not in view.ours(spec)), None)
    if following is not None and not following.is_loadable and not view.is_cri_o:
        said = following.parsed if isinstance(following.parsed, ConflistError) else "is a list, but not named .conflist"
        message = f"{chained.shown} is not removed, since {following.shown} would be picked then, and it {said}."
        return replace(base, reason=invalid, message=message)
    # Removed once already, and there again: another writer, who may not want to stop.
    was_gone = view.known.fell_back if base.state is NodeState.CILIUM_DOWN else not view.known.chained
    base = replace(base, cause=base.state, foreign=chained.digest if was_gone else None)
    if view.braked:
        message = f"Another writer keeps writing {chained.shown}; the agent holds back and removes it within a minute."
        return replace(base, state=NodeState.CONFLICT, reason=Reason.CONFLIST_CONFLICT, message=message)
    why = ", since Cilium does not answer" if base.state is NodeState.CILIUM_DOWN else ""
    message = f"Removing {chained.shown}{why}; {source.file.shown} takes over."
    return replace(base, message=message, action=Remove(chained.name, chained.content), passing=True)


def _restore(view: View, profile: PrimaryProfile, base: Decision) -> Decision | None:
    """The primary's conflist is written anew from the copy that a Cilium with cni.exclusive=true has put aside."""
    found = find_backup(view.folder, profile)
    if found is None:
        return None
    backup, name = found
    content = backup.content or b""
    base = replace(base, cause=base.state, foreign=backup.digest)
    if view.braked:
        message = f"Another program keeps putting {name} aside; the agent holds back and tries again within a minute."
        return replace(base, state=NodeState.CONFLICT, reason=Reason.CONFLIST_CONFLICT, message=message)
    message = f"Writing {name} anew from {backup.shown}, so that the node has a network without Cilium."

    def check(written: bytes) -> None:
        if not is_of(profile, parse(written)):
            raise ConflistError("is not the primary's")

    action = Write(name, content, (backup.name, content), check, is_chain=False)
    return replace(base, message=message, action=action, passing=True)


def _unchained(view: View, base: Decision, source: Source | NoSource) -> Decision:
    """Our file is gone. Does what is left work without Cilium?"""
    effective = view.effective
    if isinstance(source, NoSource):
        message = "No chained conflist on this node, and no valid conflist of the primary either."
        return replace(base, reason=Reason.PRIMARY_CONFLIST_MISSING, message=message)
    if effective is not None and effective.conflist is not None and effective.conflist.cilium_at is not None:
        message = f"{effective.shown} is used by the runtime and still has cilium-cni; its owner has to take it out."
        return replace(base, reason=Reason.CONFLIST_SHADOWED, message=message)
    used = f"; the runtime uses {effective.shown}" if effective else ""
    return replace(base, message=f"No chained conflist on this node{used}.", settled=True, verified=True)


def _chained(view: View, spec: NodeSpec) -> FolderFile | None:
    """A file of ours that still has to go: one with cilium-cni, or one that cannot be read."""
    files = [file for name in view.ours(spec) if (file := view.folder.get(name)) is not None]
    return next((file for file in files if file.conflist is None or file.conflist.cilium_at is not None), None)


def _primary(source: Source | NoSource) -> Source | None:
    return source if isinstance(source, Source) else None
