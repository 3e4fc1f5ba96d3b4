"""The folder of one local control plane: where each file lies, and the state file through which processes talk."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from cnichain.dev.errors import DevError


def default_dir() -> Path:
    """`$XDG_STATE_HOME/cnichain/default`, by default under ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "cnichain" / "default"


@dataclass(frozen=True)
class Layout:
    """Paths inside the folder `root` (absolute)."""

    root: Path

    @property
    def lock(self) -> Path:
        """Locked (flock) by the supervisor as long as it lives: this, not a pid, says whether it runs."""
        return self.root / "lock"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def supervisor_log(self) -> Path:
        return self.root / "supervisor.log"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.root / "audit.log"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def etcd_data(self) -> Path:
        return self.root / "etcd"

    @property
    def nodes(self) -> Path:
        """One folder per node of `--eks`, standing for the node's file system."""
        return self.root / "nodes"


class Phase(StrEnum):
    """Of a control plane, in the state file."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class State:
    """What the supervisor says of itself.

    run_id tells the runs in one folder apart. error: for the phase "failed", what happened and what to do.
    components: name to pid, in the order of start.
    """

    run_id: str
    pid: int
    phase: Phase
    server: str = ""
    token: str = ""
    error: str = ""
    components: dict[str, int] = field(default_factory=dict)

    def with_phase(self, phase: Phase, error: str = "") -> "State":
        return replace(self, phase=phase, error=error)


def write_state(layout: Layout, state: State) -> None:
    """Replace the state file in one step: a reader sees the old or the new one, never half of it."""
    write_private(layout.state, json.dumps(asdict(state), indent=2) + "\n")


def read_state(layout: Layout) -> State | None:
    """The last state written, None when there is none. DevError when it is not ours."""
    try:
        text = layout.state.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        data = json.loads(text)
        return State(**{**data, "phase": Phase(data["phase"])})
    except (ValueError, TypeError, KeyError) as error:
        raise DevError(
            f"{layout.state} is not the state file of a control plane ({error}). Choose another --dir, or remove it."
        ) from error


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (keys, tokens), all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    scratch.rename(path)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented, for an error message; says so when there is nothing."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"  (cannot read {path}: {error})"
    last = text.splitlines()[-lines:]
    return "\n".join(f"  {line[:400]}" for line in last) if last else "  (the log is empty)"
