"""What a decision is made from and what it is. Plain data, and the words that several decisions share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cnichain.api.chainnode import NodeSpec, NodeState
from cnichain.api.reasons import Reason
from cnichain.node.ciliumhealth import Health
from cnichain.node.folder import Folder, FolderFile, Source
from cnichain.node.runtimeview import RuntimeSeen


@dataclass(frozen=True)
class Known:
    """What the agent remembers of the chain over a restart. All empty on a new node.

    source_file, source_digest: what the chain was last derived from. chained: our file was on disk, verified.
    chained_file: its name then. result_digest: its digest then. last_good: bytes of the last good chain.
    fell_back: our file was removed since Cilium was down. cilium_seen: Cilium was healthy once.
    verified: the chain was the list that counts here once.
    """

    source_file: str = ""
    source_digest: str = ""
    chained: bool = False
    last_good: bytes | None = None
    chained_file: str = ""
    result_digest: str = ""
    fell_back: bool = False
    cilium_seen: bool = False
    verified: bool = False


@dataclass(frozen=True)
class View:
    """Everything that a decision is made from.

    binaries: names of the executables in the CNI binary folder. braked: another writer made the agent hold back.
    cilium: verdict on its health. runtime: None when it is not asked. may_nudge: the runtime may be nudged again.
    first_is_settled: the file that a runtime picks has not changed for a moment, so nobody is in the middle of it.
    """

    folder: Folder
    binaries: frozenset[str]
    known: Known = field(default_factory=Known)
    braked: bool = False
    cilium: Health = Health.OFF
    runtime: RuntimeSeen | None = None
    may_nudge: bool = False
    first_is_settled: bool = True

    @property
    def is_cri_o(self) -> bool:
        """Whether the node's runtime is known to be CRI-O."""
        return self.runtime is not None and self.runtime.is_cri_o

    @property
    def effective(self) -> FolderFile | None:
        """The file that the node's runtime picks; by containerd's rule where the runtime is not known."""
        if self.is_cri_o:
            return self.folder.first_valid(self.binaries)
        return self.folder.effective()

    @property
    def bypassed(self) -> FolderFile | None:
        """The file that the runtime picks, when pods that start by it get no policy."""
        effective = self.effective
        if effective is None or not effective.is_loadable or effective.conflist is None:
            return None
        return effective if effective.conflist.cilium_at is None else None

    def ours(self, spec: NodeSpec) -> tuple[str, ...]:
        """Names of our own files: the one of the spec, and that of an earlier spec."""
        earlier = self.known.chained_file
        return (spec.conflist_file, earlier) if earlier not in ("", spec.conflist_file) else (spec.conflist_file,)

    def warning(self) -> str:
        """Words to add when pods start without policy meanwhile; empty when they do not."""
        file = self.bypassed
        return f" Until then the runtime uses {file.shown}, and pods start WITHOUT policy." if file else ""


@dataclass(frozen=True)
class Write:
    """Publish these bytes under this name.

    source: name and content of the file that they were derived from, which must not have changed; None for a copy.
    check: raises ConflistError for bytes that must not be published. is_chain: the chained conflist, not the primary's.
    """

    name: str
    content: bytes
    source: tuple[str, bytes] | None
    check: Callable[[bytes], object]
    is_chain: bool = True


@dataclass(frozen=True)
class Remove:
    """Remove the file of ours that has this content now."""

    name: str
    content: bytes


@dataclass(frozen=True)
class SetAside:
    """Move this file of another owner, which has this content now, out of the folder, and keep it."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Nudge:
    """Make the runtime look at the folder again."""


Action = Write | Remove | SetAside | Nudge


@dataclass(frozen=True)
class Decision:
    """What to do and what to say.

    action: None leaves every file as it is. cause: the state that called for the action; None without need.
    settled: every file is as it should be, so that the runtime should show it. verified: the node has the chain, or is
    without it, as the spec wants. in_place: our file means what it should, be it used or not.
    passing: may be over in a moment (a file caught half-written), so it is worth reporting only if it lasts.
    foreign: digest of what another writer put in our file's place, empty when it was deleted; None if nobody did.
    """

    state: NodeState
    reason: Reason
    message: str
    action: Action | None = None
    cause: NodeState | None = None
    settled: bool = False
    verified: bool = False
    in_place: bool = False
    passing: bool = False
    foreign: str | None = None
    source: Source | None = None
    missing: tuple[str, ...] = ()
