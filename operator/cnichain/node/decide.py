"""From what is on the node and what should be there to what to do and what to say. Everything is pure.

The states are those of the agent's state machine (docs/architecture.md). Nothing is remembered here: the same view
gives the same decision, so an event, a poll and a restart all end in the same place.
"""

from dataclasses import dataclass, field, replace

from cnichain.api.chainnode import Desired, NodeSpec, NodeState
from cnichain.api.primaries import PROFILES, PrimaryProfile
from cnichain.api.reasons import Reason
from cnichain.node.conflist import Conflist, ConflistError, Plugin, parse
from cnichain.node.folder import Folder, FolderFile, Kind, NoSource, Source, find_source
from cnichain.node.shadow import shadow
from cnichain.node.splice import cilium_entry, derive, explain, same_chain, tail_of, validate


@dataclass(frozen=True)
class Known:
    """What the agent remembers of the chain over a restart. All empty on a new node.

    source_file, source_digest: what the chain was last derived from. chained: our file was on disk, verified.
    last_good: its bytes then.
    """

    source_file: str = ""
    source_digest: str = ""
    chained: bool = False
    last_good: bytes | None = None


@dataclass(frozen=True)
class View:
    """Everything that a decision is made from.

    binaries: names of the executables in the CNI binary folder. braked: another writer made the agent hold back.
    """

    folder: Folder
    binaries: frozenset[str]
    known: Known = field(default_factory=Known)
    braked: bool = False


@dataclass(frozen=True)
class Write:
    """Publish these bytes, which mean `expected` and were derived from `source`."""

    content: bytes
    expected: Conflist
    source: Source
    profile: PrimaryProfile


@dataclass(frozen=True)
class Remove:
    """Remove our file, which has this content now."""

    content: bytes


@dataclass(frozen=True)
class Decision:
    """What to do and what to say.

    action: None leaves every file as it is. cause: the state that called for the action; None without need.
    verified: the node has what it should have. in_place: our file means what it should.
    passing: may be over in a moment (a file caught half-written), so it is worth reporting only if it lasts.
    foreign: digest of what another writer put in our file's place, empty when it was deleted; None if nobody did.
    """

    state: NodeState
    reason: Reason
    message: str
    action: Write | Remove | None = None
    cause: NodeState | None = None
    verified: bool = False
    in_place: bool = False
    passing: bool = False
    foreign: str | None = None
    source: Source | None = None
    missing: tuple[str, ...] = ()


def decide(view: View, spec: NodeSpec | None) -> Decision:
    """The one decision for this view. Raises nothing: what cannot be done is said in the decision."""
    if spec is None:
        return Decision(
            NodeState.UNKNOWN, Reason.NODE_SPEC_MISSING, "No spec from the operator yet; no file is changed."
        )
    if "/" in spec.conflist_file or not spec.conflist_file.endswith(".conflist"):
        message = f"spec.conflistFile {spec.conflist_file!a} is not the name of a .conflist file; no file is changed."
        return Decision(NodeState.UNKNOWN, Reason.SPEC_INVALID, message)
    if spec.desired is Desired.UNCHAINED:
        return _unchain(view, spec)
    return _chain(view, spec)


def _chain(view: View, spec: NodeSpec) -> Decision:
    profile = PROFILES[spec.primary]
    source = find_source(view.folder, profile, spec.conflist_file, view.known.source_file)
    if isinstance(source, NoSource):
        return _wait_primary(view, spec, source)
    current = view.folder.get(spec.conflist_file)
    if current is not None and current.kind is not Kind.REGULAR:
        message = f"{current.shown} is a {current.kind}; remove it, then the agent writes the chain."
        return Decision(NodeState.DRIFT_DEST, Reason.CONFLIST_UNSAFE_FILE, message, source=source)
    content = derive(
        source.conflist, cilium_entry(spec.cilium, profile.chaining_mode), _tail(view, source, profile, current)
    )
    try:
        expected = validate(content, source.conflist, profile.chaining_mode)
    except ConflistError as error:
        message = f"{source.file.shown}: the chain derived from it {error}; the file on disk stays as it is."
        return Decision(NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_INVALID, message, source=source)
    missing = tuple(dict.fromkeys(kind for kind in expected.types if kind not in view.binaries))
    need = _need(view, source, current, expected)
    base = Decision(NodeState.IN_SYNC, Reason.CHAIN_VERIFIED, "", source=source, missing=missing)
    if need is None:
        return _on_disk(view, spec, replace(base, in_place=True), expected)
    cause, words = need
    return _to_write(view, spec, replace(base, cause=cause), words, Write(content, expected, source, profile))


def _need(view: View, source: Source, current: FolderFile | None, expected: Conflist) -> tuple[NodeState, str] | None:
    """The state that calls for a write, and why in words; None when the file on disk means the same as expected."""
    if current is None:
        if view.known.chained:
            return NodeState.DRIFT_DEST, "the chained conflist was deleted"
        return NodeState.PUBLISH, "the chained conflist does not exist yet"
    found = current.parsed
    if isinstance(found, ConflistError):
        return NodeState.DRIFT_DEST, f"{current.shown} {found}"
    if same_chain(found, expected):
        return None
    words = f"{current.shown}: {explain(found, expected)}"
    if found.cilium_at is None:
        return NodeState.DRIFT_DEST, words
    if view.known.source_digest == source.file.digest:
        return NodeState.DRIFT_DEST, words
    return NodeState.DRIFT_SOURCE, f"{source.file.shown} has changed; {words}"


def _to_write(view: View, spec: NodeSpec, base: Decision, words: str, write: Write) -> Decision:
    """The chain has to be written: now, or why not now."""
    current = view.folder.get(spec.conflist_file)
    cause = base.cause or NodeState.DRIFT_DEST
    foreign = (current.digest if current else "") if cause is NodeState.DRIFT_DEST else None
    base = replace(base, foreign=foreign)
    if spec.frozen:
        message = f"Frozen, no file is changed. Not in order: {words}.{_bypass(view)}"
        return replace(base, state=NodeState.FROZEN, reason=Reason.NODE_FROZEN, message=message)
    present = current.conflist.types if current and current.conflist else ()
    blocking = [kind for kind in base.missing if kind not in present]
    if blocking:
        message = f"Not written, since pods could not start: no executable {', '.join(blocking)} in the CNI binary "
        message += f"folder. To be written because {words}.{_bypass(view)}"
        return replace(base, state=NodeState.WAIT_CILIUM, reason=Reason.PLUGIN_BINARY_MISSING, message=message)
    if view.braked:
        message = f"Another writer keeps changing {spec.conflist_file}; the agent holds back and tries again within a "
        message += f"minute. Now: {words}.{_bypass(view)}"
        return replace(base, state=NodeState.CONFLICT, reason=Reason.CONFLIST_CONFLICT, message=message)
    message = f"Writing {', '.join(write.expected.types)}: {words}."
    return replace(base, state=cause, reason=Reason.CHAIN_REPAIRED, message=message, action=write, passing=True)


def _on_disk(view: View, spec: NodeSpec, base: Decision, expected: Conflist) -> Decision:
    """Our file is as it should be. Is it the one that counts, and can it work?"""
    effective = view.folder.effective()
    if effective is not None and effective.name != spec.conflist_file:
        wrong = shadow(effective, spec.conflist_file, expected)
        if wrong:
            return replace(base, state=NodeState.SHADOWED, reason=Reason.CONFLIST_SHADOWED, message=wrong)
    if base.missing:
        message = f"{spec.conflist_file} is in place, but pods cannot start: no executable {', '.join(base.missing)} "
        message += "in the CNI binary folder."
        return replace(base, state=NodeState.WAIT_CILIUM, reason=Reason.PLUGIN_BINARY_MISSING, message=message)
    used = "" if effective is None or effective.name == spec.conflist_file else f" The runtime uses {effective.shown}."
    drop_ins = view.folder.drop_ins(expected.network)
    if drop_ins and expected.outer.get("loadOnlyInlinedPlugins") not in (True, "true"):
        used += f" containerd 2.1 and newer also append {', '.join(drop_ins)}."
    source = base.source.file.shown if base.source else ""
    message = f"{spec.conflist_file} is {source} with cilium-cni.{used}"
    if spec.frozen:
        message = f"Frozen, no file is changed. {message}"
        return replace(base, state=NodeState.FROZEN, reason=Reason.NODE_FROZEN, message=message, verified=True)
    return replace(base, message=message, verified=True)


def _wait_primary(view: View, spec: NodeSpec, none: NoSource) -> Decision:
    network = PROFILES[spec.primary].network
    wanted = "a network" if network == "*" else f"the network {network}"
    stays = f" {spec.conflist_file} stays as it is." if view.folder.get(spec.conflist_file) else ""
    if none.broken:
        said = "; ".join(f"{file.shown} {error}" for file, error in none.broken[:3])
        message = f"No valid conflist of {wanted}: {said}.{stays}"
        return Decision(NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_INVALID, message, passing=True)
    hint = ""
    if backups := view.folder.backups():
        hint = f" {backups[0].shown} is there: a Cilium with cni.exclusive=true has put the primary's file aside."
    message = f"No conflist of {wanted} yet.{hint}{stays}"
    return Decision(NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_MISSING, message)


def _unchain(view: View, spec: NodeSpec) -> Decision:
    """Our file goes, once it is sure that the primary's own file can take over."""
    source = find_source(view.folder, PROFILES[spec.primary], spec.conflist_file, view.known.source_file)
    primary = source if isinstance(source, Source) else None
    current = view.folder.get(spec.conflist_file)
    if current is None or (current.conflist is not None and current.conflist.cilium_at is None):
        return _unchained(view, source)
    if spec.frozen:
        message = f"Frozen, no file is changed; {spec.conflist_file} would be removed."
        return Decision(NodeState.FROZEN, Reason.NODE_FROZEN, message, source=primary)
    if current.content is None:
        message = f"{current.shown} {current.parsed}; remove it by hand."
        return Decision(NodeState.UNINSTALLING, Reason.CONFLIST_UNSAFE_FILE, message, source=primary)
    if not isinstance(source, Source):
        waiting = _wait_primary(view, spec, source)
        message = f"Not removed, since nothing valid would be left: {waiting.message}"
        return replace(waiting, state=NodeState.UNINSTALLING, message=message)
    if not source.file.is_loadable:
        message = f"Not removed, since no runtime would load {source.file.shown}: a list must be named .conflist."
        return Decision(NodeState.UNINSTALLING, Reason.PRIMARY_CONFLIST_INVALID, message, source=primary)
    message = f"Removing {spec.conflist_file}; {source.file.shown} takes over."
    cause = NodeState.UNINSTALLING
    action = Remove(current.content)
    return Decision(cause, Reason.NODE_UNCHAINED, message, action=action, cause=cause, source=primary, passing=True)


def _unchained(view: View, source: Source | NoSource) -> Decision:
    """Our file is gone. Does what is left work without Cilium?"""
    effective = view.folder.effective()
    base = Decision(
        NodeState.UNCHAINED, Reason.NODE_UNCHAINED, "", source=source if isinstance(source, Source) else None
    )
    if isinstance(source, NoSource):
        message = "No chained conflist on this node, and no valid conflist of the primary either."
        return replace(base, reason=Reason.PRIMARY_CONFLIST_MISSING, message=message)
    if effective is not None and effective.conflist is not None and effective.conflist.cilium_at is not None:
        message = f"{effective.shown} is used by the runtime and still has cilium-cni; its owner has to take it out."
        return replace(base, reason=Reason.CONFLIST_SHADOWED, message=message)
    used = f"; the runtime uses {effective.shown}" if effective else ""
    return replace(base, message=f"No chained conflist on this node{used}.", verified=True)


def _tail(view: View, source: Source, profile: PrimaryProfile, current: FolderFile | None) -> tuple[Plugin, ...]:
    """Third-party plugins to keep: those of the file on disk, else (it is gone or broken) those of the last good one.

    From the last good one only what is still installed: its owner may have been uninstalled with the file.
    """
    if current is not None and current.conflist is not None:
        return tail_of(current.conflist, source.conflist, profile)
    if view.known.last_good is None:
        return ()
    try:
        last = parse(view.known.last_good)
    except ConflistError:
        return ()
    return tuple(plugin for plugin in tail_of(last, source.conflist, profile) if plugin.type in view.binaries)


def _bypass(view: View) -> str:
    """A warning when pods start without policy meanwhile."""
    effective = view.folder.effective()
    if effective is None or effective.conflist is None or effective.conflist.cilium_at is not None:
        return ""
    return f" Until then the runtime uses {effective.shown}, and pods start WITHOUT policy."
