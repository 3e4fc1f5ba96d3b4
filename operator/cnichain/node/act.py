"""Carries a decision's action out on the folder, and does not repeat at once what the system has just refused."""

import time
from dataclasses import replace
from pathlib import Path

from cnichain.node import files
from cnichain.node.conflist import ConflistError
from cnichain.node.decide import Decision, Remove, Write
from cnichain.node.folder import Folder
from cnichain.node.log import log
from cnichain.node.splice import validate
from cnichain.node.state import StateDir
from cnichain.node.timing import Backoff


class Actor:
    """The only part of the agent that changes the CNI configuration folder."""

    def __init__(self, conf_dir: Path, state: StateDir) -> None:
        self._conf_dir, self._state = conf_dir, state
        self._backoff = Backoff(1, 60)
        self._refused: tuple[bytes, files.NodeFileError] | None = None
        self._retry_at = 0.0

    def retry_in(self, now: float) -> float:
        """Seconds until what was refused is tried again; 0.0 when nothing was."""
        return max(0.0, self._retry_at - now) if self._refused else 0.0

    def act(self, decision: Decision, folder: Folder, name: str) -> files.NodeFileError | None:
        """Writes or removes the file `name`. None when it is done, else the error that stood in the way.

        ChangedMeanwhileError asks for another look. Any other error is kept: the same bytes are not tried again before
        a backoff of 1 to 60 s is over, other bytes are tried at once.
        """
        action = decision.action
        if action is None:
            return None
        if self._refused and self._refused[0] == action.content and self.retry_in(time.monotonic()) > 0:
            return self._refused[1]
        try:
            if isinstance(action, Remove):
                self._state.save_last_good(name, action.content)
                files.remove(self._conf_dir, name, action.content, folder_identity=folder.identity)
            else:
                self._write(action, folder, name)
        except files.ChangedMeanwhileError as error:
            log.info("Looking again", because=str(error))
            return error
        except (files.NodeFileError, ConflistError) as error:
            return self._refuse(action.content, error, name)
        self._refused = None
        self._backoff.reset()
        return None

    def _write(self, action: Write, folder: Folder, name: str) -> None:
        source = action.source
        files.write_atomic(
            self._conf_dir,
            name,
            action.content,
            folder_identity=folder.identity,
            check=lambda content: validate(content, source.conflist, action.profile.chaining_mode),
            source=(source.file.name, source.file.content or b""),
        )

    def _refuse(self, content: bytes, error: files.NodeFileError | ConflistError, name: str) -> files.NodeFileError:
        if isinstance(error, ConflistError):
            error = files.WriteFailedError(f"{name} was not published: what was read back from the disk {error}")
        self._refused = (content, error)
        self._retry_at = time.monotonic() + self._backoff.delay()
        return error


def failed(decision: Decision, error: files.NodeFileError) -> Decision:
    """The decision, whose action the error prevented, as it is to be reported."""
    if isinstance(error, files.ChangedMeanwhileError):
        return decision
    return replace(decision, action=None, reason=error.reason, message=f"{error}.", passing=False)
