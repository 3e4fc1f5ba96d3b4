"""What is kept of a look for the next one. Pure."""

from dataclasses import replace

from cnichain.api.chainnode import LastWriter, NodeState
from cnichain.node.ciliumhealth import Health
from cnichain.node.decision import Decision, Known
from cnichain.node.folder import Folder, FolderFile
from cnichain.node.state import ABSENT, Memory


def known(memory: Memory, last_good: bytes | None) -> Known:
    """The part of the memory that decisions are made from."""
    return Known(
        memory.source_file,
        memory.source_digest,
        memory.chained,
        last_good,
        memory.chained_file,
        memory.result_digest,
        memory.fell_back,
        memory.cilium_seen,
        memory.verified,
    )


def remember(memory: Memory, decision: Decision, folder: Folder | None, conflist_file: str, cilium: Health) -> Memory:
    """The memory after a look whose actions are done."""
    if folder is None or not conflist_file:
        return memory
    chained = folder.get(conflist_file)
    if chained is None:
        memory = replace(memory, written=ABSENT)
    if cilium is Health.GOOD:
        memory = replace(memory, cilium_seen=True)
    if decision.in_place and decision.source is not None and chained is not None:
        earlier = memory.chained_file
        is_moved = earlier not in ("", conflist_file) and folder.get(earlier) is not None
        source = decision.source.file
        return replace(
            memory,
            source_file=source.name,
            source_digest=source.digest,
            chained=True,
            chained_file=earlier if is_moved else conflist_file,
            result_digest=chained.digest,
            fell_back=False,
            verified=memory.verified or decision.verified,
        )
    if decision.state is NodeState.UNCHAINED:
        return replace(memory, chained=False, chained_file="", fell_back=False, cilium_seen=False, verified=False)
    if decision.state is NodeState.CILIUM_DOWN and chained is None:
        return replace(memory, fell_back=True)
    return memory


def last_writer(memory: Memory, chained: FolderFile | None) -> LastWriter:
    """Who wrote the chained conflist last: by inode and time of change against what the agent's own write had."""
    if chained is None or not memory.written:
        return LastWriter.UNKNOWN
    return LastWriter.AGENT if memory.written == chained.mark else LastWriter.OTHER
