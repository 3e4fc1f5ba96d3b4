"""Carries a decision's action out on the folder, and does not repeat at once what the system has just refused."""

import time
from dataclasses import replace
from pathlib import Path

from cnichain.node import files, movedaside
from cnichain.node.conflist import ConflistError
from cnichain.node.decision import Action, Decision, Nudge, Remove, SetAside, Write
from cnichain.node.folder import Folder
from cnichain.node.log import log
from cnichain.node.state import StateDir
from cnichain.node.timing import Backoff


class Actor:
    """The only part of the agent that changes the CNI configuration folder."""

    def __init__(self, conf_dir: Path, state: StateDir) -> None:
        self._conf_dir, self._state = conf_dir, state
        self._backoff = Backoff(1, 60)
        self._refused: tuple[bytes | None, files.NodeFileError] | None = None
        self._retry_at = 0.0
        self.written = ""
        """Mark of the file that was written last; empty when none was."""

    def retry_in(self, now: float) -> float:
        """Seconds until what was refused is tried again; 0.0 when nothing was."""
        return max(0.0, self._retry_at - now) if self._refused else 0.0

    def act(self, action: Action, folder: Folder) -> files.NodeFileError | None:
        """Carries it out. None when it is done, else the error that stood in the way.

        ChangedMeanwhileError asks for another look. Any other error is kept: the same is not tried again before a
        backoff of 1 to 60 s is over, something else is tried at once.
        """
        if self._refused and self._refused[0] == _content(action) and self.retry_in(time.monotonic()) > 0:
            return self._refused[1]
        try:
            if isinstance(action, Nudge):
                files.nudge(self._conf_dir)
            elif isinstance(action, Remove):
                self._state.save_last_good(action.name, action.content)
                files.remove(self._conf_dir, action.name, action.content, folder_identity=folder.identity)
            elif isinstance(action, SetAside):
                identity, keep = folder.identity, self._state.keep_aside
                movedaside.set_aside(self._conf_dir, action.name, action.content, folder_identity=identity, keep=keep)
            else:
                self.written = files.write_atomic(
                    self._conf_dir,
                    action.name,
                    action.content,
                    folder_identity=folder.identity,
                    check=action.check,
                    source=action.source,
                )
        except files.ChangedMeanwhileError as error:
            log.info("Looking again", because=str(error))
            return error
        except (files.NodeFileError, ConflistError) as error:
            return self._refuse(action, error)
        self._refused = None
        self._backoff.reset()
        return None

    def _refuse(self, action: Action, error: files.NodeFileError | ConflistError) -> files.NodeFileError:
        if isinstance(error, ConflistError):
            name = action.name if isinstance(action, Write) else ""
            error = files.WriteFailedError(f"{name} was not published: what was read back from the disk {error}")
        self._refused = (_content(action), error)
        self._retry_at = time.monotonic() + self._backoff.delay()
        return error


def _content(action: Action) -> bytes | None:
    """What tells one refused action from another."""
    return None if isinstance(action, Nudge) else action.content


def outcome(action: Action) -> tuple[str, bool]:
    """What was done, in words, and whether it put the chain right."""
    if isinstance(action, Nudge):
        return "The runtime was nudged", False
    if isinstance(action, Remove):
        return "The chained conflist was removed", False
    if isinstance(action, SetAside):
        return "A file that stood before the chained conflist was set aside", True
    return ("The chain was repaired", True) if action.is_chain else ("The primary's conflist was restored", False)


def failed(decision: Decision, error: files.NodeFileError) -> Decision:
    """The decision, whose action the error prevented, as it is to be reported."""
    if isinstance(error, files.ChangedMeanwhileError):
        return decision
    return replace(decision, action=None, settled=False, reason=error.reason, message=f"{error}.", passing=False)
