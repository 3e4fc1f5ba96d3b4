"""From what is on the node and what should be there to what to do and what to say. Everything is pure.

The states are those of the agent's state machine (docs/architecture.md). Nothing is remembered here: the same view
gives the same decision, so an event, a poll and a restart all end in the same place.
"""

from dataclasses import replace
from functools import partial

from cnichain.api.chainnode import Desired, NodeSpec, NodeState, OnCiliumDown, Writer
from cnichain.api.primaries import PROFILES, PrimaryProfile
from cnichain.api.reasons import Reason
from cnichain.node.ciliumhealth import Health
from cnichain.node.confirm import confirm
from cnichain.node.conflist import CILIUM_CNI, Conflist, ConflistError, Plugin, parse
from cnichain.node.decision import Decision, Remove, View, Write
from cnichain.node.dropins import with_drop_ins
from cnichain.node.folder import FolderFile, Kind, NoSource, Source, digest, find_source, is_of
from cnichain.node.ondisk import on_disk
from cnichain.node.splice import cilium_entry, derive, explain, same_chain, tail_of, validate
from cnichain.node.unchain import fall_back, unchain
from cnichain.node.waiting import no_primary


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
        decision = unchain(view, spec)
    elif spec.on_cilium_down is OnCiliumDown.OPEN and view.cilium is Health.DOWN:
        decision = fall_back(view, spec)
    else:
        decision = _chain(view, spec)
    decision = confirm(with_drop_ins(decision, view, spec), view, spec)
    return replace(decision, message=decision.message + _two_rules(view))


def _chain(view: View, spec: NodeSpec) -> Decision:
    profile = PROFILES[spec.primary]
    source = find_source(view.folder, profile, view.ours(spec), view.known.source_file)
    current = view.folder.get(spec.conflist_file)
    if current is not None and current.kind is not Kind.REGULAR and isinstance(source, Source):
        message = f"{current.shown} is a {current.kind}; remove it, then the agent writes the chain."
        return Decision(NodeState.DRIFT_DEST, Reason.CONFLIST_UNSAFE_FILE, message, source=source)
    if isinstance(source, NoSource):
        return _last_good(view, spec, profile, source, current) or no_primary(view, spec, source)
    content = derive(source.conflist, cilium_entry(spec.cilium, profile.chaining_mode), _tail(view, source, spec))
    check = partial(validate, source=source.conflist, chaining_mode=profile.chaining_mode)
    try:
        expected = check(content)
    except ConflistError as error:
        message = f"{source.file.shown}: the chain derived from it {error}; the file on disk stays as it is."
        return Decision(NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_INVALID, message, source=source)
    write = Write(spec.conflist_file, content, (source.file.name, source.file.content or b""), check)
    base = Decision(NodeState.IN_SYNC, Reason.CHAIN_VERIFIED, "", source=source, missing=_missing(view, expected))
    need = _need(view, spec, source, expected)
    if need is None:
        base = replace(base, in_place=True)
        return _leftover(view, spec, base) or on_disk(view, spec, base, expected)
    cause, words = need
    return _to_write(view, spec, replace(base, cause=cause), words, write)


def _need(view: View, spec: NodeSpec, source: Source, expected: Conflist) -> tuple[NodeState, str] | None:
    """The state that calls for a write, and why in words; None when the file on disk means the same as expected."""
    current = view.folder.get(spec.conflist_file)
    if current is None:
        if view.known.fell_back:
            return NodeState.CILIUM_DOWN, "Cilium answers again"
        if view.known.chained and view.known.chained_file in ("", spec.conflist_file):
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
        message = f"Frozen, no file is changed. Not in order: {words}.{view.warning()}"
        return replace(base, state=NodeState.FROZEN, reason=Reason.NODE_FROZEN, message=message)
    present = current.conflist.types if current and current.conflist else ()
    blocking = [kind for kind in base.missing if kind not in present]
    if blocking and not _fails_closed(view, spec):
        message = f"Not written, since pods could not start: no executable {', '.join(blocking)} in the CNI binary "
        message += f"folder. To be written because {words}.{view.warning()}"
        return replace(base, state=NodeState.WAIT_CILIUM, reason=Reason.PLUGIN_BINARY_MISSING, message=message)
    if waiting := _waits_for_cilium(view, spec, base):
        return replace(waiting, message=f"{waiting.message} To be written because {words}.{view.warning()}")
    if view.braked:
        return _hold(view, spec, base, words)
    types = ", ".join(parse(write.content).types)
    message = f"Writing {types}: {words}."
    return replace(base, state=cause, reason=Reason.CHAIN_REPAIRED, message=message, action=write, passing=True)


def _hold(view: View, spec: NodeSpec, base: Decision, words: str) -> Decision:
    message = f"Another writer keeps changing {spec.conflist_file}; the agent holds back and tries again within a "
    message += f"minute. Now: {words}.{view.warning()}"
    return replace(base, state=NodeState.CONFLICT, reason=Reason.CONFLIST_CONFLICT, message=message)


def _fails_closed(view: View, spec: NodeSpec) -> bool:
    """Whether the chain comes back even if no pod could start by it: a node that had it must not lose it silently."""
    return view.known.chained and spec.on_cilium_down is OnCiliumDown.CLOSED and not _has_chain(view, spec)


def _has_chain(view: View, spec: NodeSpec) -> bool:
    current = view.folder.get(spec.conflist_file)
    return current is not None and current.conflist is not None and current.conflist.cilium_at is not None


def _waits_for_cilium(view: View, spec: NodeSpec, base: Decision) -> Decision | None:
    """Where nothing else sees to it that Cilium runs before pods depend on it, its health check does."""
    if _has_chain(view, spec):
        return None
    not_yet = view.cilium in (Health.UNKNOWN, Health.DOWN)
    if spec.on_cilium_down is OnCiliumDown.OPEN and not_yet:
        message = "Not written until Cilium answers on this node, since onCiliumDown is Open."
        state, reason = NodeState.WAIT_CILIUM, Reason.CILIUM_NOT_HEALTHY
        if view.known.fell_back:
            state, reason = NodeState.CILIUM_DOWN, Reason.CILIUM_DOWN_OPEN
        return replace(base, state=state, reason=reason, message=message)
    is_first = not view.known.chained and not view.known.cilium_seen
    if spec.writer is Writer.CNICHAIN and is_first and not_yet:
        message = "Not written until Cilium answers on this node for the first time."
        return replace(base, state=NodeState.WAIT_CILIUM, reason=Reason.CILIUM_NOT_HEALTHY, message=message)
    return None


def _last_good(
    view: View, spec: NodeSpec, profile: PrimaryProfile, none: NoSource, current: FolderFile | None
) -> Decision | None:
    """The chain is lost while the primary's file is broken: the copy of the one that was verified last comes back."""
    known, content = view.known, view.known.last_good
    is_same = known.chained and known.chained_file in ("", spec.conflist_file) and not known.fell_back
    is_lost = not _has_chain(view, spec) and (current is None or current.kind is Kind.REGULAR)
    if not is_same or not is_lost or content is None or digest(content) != known.result_digest:
        return None
    broken = next((error for file, error in none.broken if file.name == known.source_file), None)
    if broken is None:
        return None
    write = Write(spec.conflist_file, content, None, partial(_check_copy, profile=profile))
    try:
        conflist = _check_copy(content, profile)
    except ConflistError:
        return None  # it was right once, for another spec: nothing is better than a chain that cannot work
    words = f"{spec.conflist_file} is lost, and {known.source_file} {broken}; the last good copy is the best there is"
    base = Decision(NodeState.DRIFT_DEST, Reason.CHAIN_REPAIRED, "", cause=NodeState.DRIFT_DEST)
    return _to_write(view, spec, replace(base, missing=_missing(view, conflist)), words, write)


def _check_copy(content: bytes, profile: PrimaryProfile) -> Conflist:
    conflist = parse(content)
    modes = [plugin.value.get("chaining-mode") for plugin in conflist.plugins if plugin.type == CILIUM_CNI]
    if modes != [profile.chaining_mode] or not is_of(profile, conflist):
        raise ConflistError("is not a chain of this primary")
    return conflist


def _leftover(view: View, spec: NodeSpec, base: Decision) -> Decision | None:
    """The chain has a new file name, and is there: the file of the old name goes."""
    for name in view.ours(spec)[1:]:
        file = view.folder.get(name)
        if file is None or file.content is None or file.conflist is None or file.conflist.cilium_at is None:
            continue
        if spec.frozen:
            return None
        message = f"Removing {file.shown}, whose place {spec.conflist_file} has taken."
        state, action = NodeState.PUBLISH, Remove(file.name, file.content)
        return replace(base, state=state, cause=state, message=message, action=action, passing=True)
    return None


def _tail(view: View, source: Source, spec: NodeSpec) -> tuple[Plugin, ...]:
    """Third-party plugins to keep: those of the file on disk, else (it is gone or broken) those of the last good one.

    From the last good one only what is still installed: its owner may have been uninstalled with the file.
    """
    profile = PROFILES[spec.primary]
    for name in view.ours(spec):
        file = view.folder.get(name)
        if file is not None and file.conflist is not None:
            return tail_of(file.conflist, source.conflist, profile)
    if view.known.last_good is None:
        return ()
    try:
        last = parse(view.known.last_good)
    except ConflistError:
        return ()
    return tuple(plugin for plugin in tail_of(last, source.conflist, profile) if plugin.type in view.binaries)


def _missing(view: View, chain: Conflist) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind for kind in chain.types if kind not in view.binaries))


def _two_rules(view: View) -> str:
    """Words for a node whose runtime is not known, where the answer depends on it."""
    if view.runtime is not None and view.runtime.name:
        return ""
    by_containerd, by_cri_o = view.folder.effective(), view.folder.first_valid(view.binaries)
    if by_containerd is None or by_cri_o is None or by_containerd.name == by_cri_o.name:
        return ""
    return f" (containerd picks {by_containerd.shown}, CRI-O {by_cri_o.shown}.)"
