"""The status of a CNIChainNode, from a decision and what was seen. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cnichain.api.chainnode import CiliumHealth, Condition, NodeStatus
from cnichain.node.ciliumhealth import Health
from cnichain.node.conflist import CILIUM_CNI
from cnichain.node.decision import Decision
from cnichain.node.folder import Folder, FolderFile, shown
from cnichain.node.remember import last_writer
from cnichain.node.runtimeview import RuntimeSeen, report
from cnichain.node.state import Memory

_MAX_MESSAGE = 1024
_MAX_PLUGINS = 64
_HEALTH = {Health.GOOD: CiliumHealth.HEALTHY, Health.DOWN: CiliumHealth.DOWN}


@dataclass(frozen=True)
class Seen:
    """What the status is made of, besides the decision.

    folder: None while it cannot be looked at. effective: the file that the runtime picks. generation: of the spec acted
    on. conflist_file: our file's name. cilium: its health. runtime: None when it is not asked.
    note: something to add to each message (polling instead of inotify). version: of the agent.
    uid: of the object that the spec stood in.
    """

    folder: Folder | None
    effective: FolderFile | None
    binaries: frozenset[str]
    generation: int
    conflist_file: str
    cilium: Health
    runtime: RuntimeSeen | None
    note: str
    version: str
    uid: str


def build(decision: Decision, seen: Seen, memory: Memory, aside: Iterable[str]) -> NodeStatus:
    """The whole status. Equal input gives an equal status, so nothing is sent while nothing changes.

    aside: names of the files that were set aside.
    """
    effective = seen.effective
    conflist = effective.conflist if effective else None
    chained = seen.folder.get(seen.conflist_file) if seen.folder else None
    plugins = list(conflist.types[:_MAX_PLUGINS]) if conflist else []
    network = conflist.network if conflist else ""
    message = _short(f"{decision.message} {seen.note}".strip())
    condition = Condition(
        type="Ready",
        status=memory.ready,
        reason=decision.reason.value,
        message=message,
        last_transition_time=memory.ready_since,
        observed_generation=seen.generation,
    )
    return NodeStatus(
        observed_generation=seen.generation,
        state=decision.state,
        reason=decision.reason.value,
        message=message,
        effective_file=effective.shown if effective else "",
        network=network[:255],
        plugins=plugins,
        chain=_short(",".join(plugins)),
        source_file=decision.source.file.shown if decision.source else "",
        source_digest=decision.source.file.digest if decision.source else "",
        result_digest=chained.digest if chained else "",
        last_writer=last_writer(memory, chained),
        drop_ins=[name[:255] for name in seen.folder.drop_ins(network)] if seen.folder else [],
        set_aside=[shown(name) for name in aside],
        runtime=report(seen.runtime),
        cilium="Installed" if CILIUM_CNI in seen.binaries else "Missing",
        cilium_health=_HEALTH.get(seen.cilium, CiliumHealth.UNKNOWN),
        missing_binaries=list(decision.missing[:_MAX_PLUGINS]),
        repairs=memory.repairs,
        last_repair=memory.last_repair,
        agent_version=seen.version,
        conditions=[condition],
    )


def with_ready(memory: Memory, decision: Decision, now: str) -> Memory:
    """The memory with the Ready condition's status; its time moves only when the status does. now: RFC 3339."""
    ready = "True" if decision.verified else "False"
    return memory if memory.ready == ready else replace(memory, ready=ready, ready_since=now)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE - 3]}..."
