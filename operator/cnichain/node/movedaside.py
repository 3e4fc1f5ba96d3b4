"""Moves a file of another owner out of the CNI configuration folder, so that it is never lost."""

import os
from collections.abc import Callable
from pathlib import Path

from cnichain.node.files import ChangedMeanwhileError, WriteFailedError, identity, open_folder, read, system_error

_ASIDE = ".chain-aside.tmp"
"""Ending of a file that was moved aside and is not kept yet. No runtime loads it."""


def set_aside(
    path: Path,
    name: str,
    content: bytes,
    *,
    folder_identity: tuple[int, int],
    keep: Callable[[str, bytes], object],
) -> None:
    """Takes a file of another owner out of the folder, if it is still the one that was looked at, and keeps it.

    It is moved first, to a name in the same folder that no runtime loads, so that what is kept is what was there, and
    then given to `keep` (name and content; raises WriteFailedError) and removed. Raises as `write_atomic`.
    """
    with open_folder(path) as folder:
        try:
            if identity(folder) != folder_identity or read(folder, name) != content:
                raise ChangedMeanwhileError(f"{path / name} changed before it was set aside")
            os.rename(name, f".{name}{_ASIDE}", src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
            keep_aside(folder, keep)
        except OSError as error:
            raise WriteFailedError(f"{path / name} could not be set aside: {system_error(error)}") from error


def keep_aside(folder: int, keep: Callable[[str, bytes], object]) -> None:
    """Keeps and removes every file that was moved aside, those of an agent that was killed in between too.

    Raises OSError, and WriteFailedError from `keep`: the file then stays where no runtime loads it.
    """
    for entry in os.listdir(folder):
        if not (entry.startswith(".") and entry.endswith(_ASIDE)):
            continue
        content = read(folder, entry)
        if content is None:
            continue  # too large or special: never moved by us
        keep(entry.removeprefix(".").removesuffix(_ASIDE), content)
        os.unlink(entry, dir_fd=folder)
