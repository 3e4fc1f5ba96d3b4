"""What the agent keeps on the node over a restart, in its own folder (never in the CNI configuration folder).

Three files: `spec.json` (the last spec, so that guarding goes on while the API is away), `state.json` (what the chain
was derived from, and the counters of the status) and `<conflist>.chain-bak` (the last good chain). All are written
whole or not at all. A file that cannot be read counts as not there: each can be found out anew.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cnichain.api.chainnode import LastRepair, NodeSpec, NodeState, Repairs, node_spec_from_wire
from cnichain.node.files import WriteFailedError, system_error, write_all
from cnichain.node.log import log


class StateDirError(Exception):
    """The state folder cannot be made or written; the message says why and what to do."""


@dataclass(frozen=True)
class GivenSpec:
    """A spec as the operator gave it.

    generation, uid: metadata of the CNIChainNode that it stood in. A spec that was kept on the node has no uid.
    """

    spec: NodeSpec
    generation: int
    uid: str = ""


MAX_ASIDE = 32
"""So many files are kept that were set aside: beyond them the one that was kept first goes."""
ABSENT = "-"
"""Memory.written once our file was seen to be missing."""


@dataclass(frozen=True)
class Memory:
    """Content of `state.json`: what `decide.Known` needs, and what the status carries on."""

    source_file: str = ""
    source_digest: str = ""
    chained: bool = False
    repairs: Repairs = field(default_factory=Repairs)
    last_repair: LastRepair | None = None
    ready: str = ""
    ready_since: str = ""
    chained_file: str = ""
    result_digest: str = ""
    fell_back: bool = False
    cilium_seen: bool = False
    verified: bool = False
    written: str = ""
    """Mark of the chained conflist as the agent wrote it; ABSENT when it was seen to be missing since, and empty when
    nothing is known."""


class StateDir:
    """The agent's own folder on the node."""

    def __init__(self, path: Path) -> None:
        """Makes the folder. Raises StateDirError."""
        self._path = path
        self._lock: int | None = None
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateDirError(f"{path} cannot be made: {system_error(error)}; give another --state-dir") from error

    def lock(self) -> bool:
        """Takes the lock that keeps two agents of one node apart; False while another one has it.

        The system gives it back when the process ends, however it ends. Raises StateDirError.
        """
        try:
            if self._lock is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._lock = os.open(self._path / "agent.lock", flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StateDirError(f"{self._path}/agent.lock cannot be locked: {system_error(error)}") from error
        return True

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load_spec(self) -> GivenSpec | None:
        """The last spec; None on a new node, or when an older agent cannot read what a newer one kept."""
        raw = self._load("spec.json")
        try:
            return GivenSpec(node_spec_from_wire(raw["spec"]), int(raw["generation"])) if raw else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("The kept spec cannot be used; waiting for the API", error=repr(error))
            return None

    def save_spec(self, raw: Mapping[str, Any], generation: int) -> None:
        """Keeps a spec, in the API's own form."""
        self._save("spec.json", _encode({"generation": generation, "spec": raw}))

    def load_memory(self) -> Memory:
        """What was known when the agent last ran."""
        raw = self._load("state.json")
        try:
            last = raw.pop("last_repair", None)
            repairs = Repairs(**raw.pop("repairs", {}))
            return Memory(**raw, repairs=repairs, last_repair=LastRepair(**last) if last else None)
        except (TypeError, AttributeError) as error:
            log.warning("The kept state cannot be used; starting anew", error=repr(error))
            return Memory()

    def save_memory(self, memory: Memory) -> None:
        """Keeps what is known."""
        self._save("state.json", _encode(asdict(memory)))

    def load_last_good(self, conflist_file: str) -> bytes | None:
        """Bytes of the last verified chain."""
        try:
            return (self._path / f"{conflist_file}.chain-bak").read_bytes()
        except OSError:
            return None  # none kept yet, or not readable: the chain is then derived without it

    def save_last_good(self, conflist_file: str, content: bytes) -> None:
        """Keeps the bytes of a verified chain."""
        self._save(f"{conflist_file}.chain-bak", content)

    def keep_aside(self, name: str, content: bytes) -> None:
        """Keeps a file that was set aside, under its own name; one of the same name that is kept goes.

        Raises WriteFailedError when it cannot be kept.
        """
        folder = self._path / "aside"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._write(folder / name, content)
            kept = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
            for file in kept[: max(0, len(kept) - MAX_ASIDE)]:
                file.unlink()
        except OSError as error:
            message = f"{name} could not be kept in {folder}: {system_error(error)}"
            raise WriteFailedError(message) from error

    def aside(self) -> tuple[str, ...]:
        """Names of the files that were set aside and are kept."""
        try:
            names = os.listdir(self._path / "aside")  # noqa: PTH208 - names are all that is wanted
        except OSError:
            return ()  # nothing was ever set aside
        return tuple(sorted(name for name in names if not name.endswith(".keep-tmp")))

    def _load(self, name: str) -> dict[str, Any]:
        try:
            raw = json.loads((self._path / name).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            log.warning("A kept file cannot be read", file=name, error=str(error))
            return {}
        return raw if isinstance(raw, dict) else {}

    def _save(self, name: str, content: bytes) -> None:
        """Writes one file, whole or not at all. A failure is logged: guarding the chain matters more than memory."""
        try:
            self._write(self._path / name, content)
        except OSError as error:
            log.warning(
                "State could not be kept; it is lost when the agent restarts",
                file=str(self._path / name),
                error=system_error(error),
            )

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.keep-tmp")
        with suppress(FileNotFoundError):
            temporary.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)
        temporary.rename(path)


def counted(memory: Memory, repair: LastRepair) -> Memory:
    """The memory with one more repair."""
    by_cause = dict(memory.repairs.by_cause)
    by_cause[repair.cause] = by_cause.get(repair.cause, 0) + 1
    # The first chain on a node, one that waited for its primary or its binaries, and Cilium's return are no drift.
    drift = repair.cause not in (NodeState.PUBLISH.value, NodeState.CILIUM_DOWN.value)
    repairs = Repairs(memory.repairs.total + 1, memory.repairs.drifts + drift, by_cause)
    return replace(memory, repairs=repairs, last_repair=repair)


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()
