"""What one look at the CNI configuration folder showed, and the choices made from it. Everything is pure.

Which file a runtime picks: containerd's go-cni (`max_conf_num = 1`) sorts the full names by bytes and loads the first
file with a known extension, dotfiles and symlinks included, folders not. If that one is bad, the node has no network.
CRI-O's ocicni sorts likewise, and goes on to the next file where one is bad or lacks a plugin: a silent bypass.
"""

import hashlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from cnichain.api.primaries import PrimaryProfile
from cnichain.node.conflist import CILIUM_CNI, RUNTIME_EXTENSIONS, Conflist, ConflistError, loads_as_runtime, parse

CILIUM_BACKUP = ".cilium_bak"
"""Extension that Cilium with `cni.exclusive=true` gives to every other file. Never a source: it goes stale."""

NO_PRIMARY = frozenset({"loopback", "multus", "multus-shim"})
"""Plugins that give a pod no network of their own: what begins with one of them is no primary CNI."""


class Kind(StrEnum):
    """What a directory entry is; everything but a regular file is named, not read."""

    REGULAR = "regular file"
    SYMLINK = "symbolic link"
    FOLDER = "folder"
    OTHER = "special file (FIFO, socket or device)"


def shown(name: str) -> str:
    """A file name as text that can be printed and sent anywhere, 255 characters at most."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    # A line end or an escape sequence in a name must not steer the terminal of who reads a status or a log.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:255]


@dataclass(frozen=True)
class FolderFile:
    """One entry of the folder.

    name: as the system gives it (bytes that are not UTF-8 are surrogate escapes). kind: see Kind.
    content: the bytes of a regular file that a runtime would load, or that Cilium has put aside; None for any other,
    and when it could not be read.
    problem: why it could not be read, in words; empty otherwise. mode: permission bits.
    children: of a folder, its .conf files. mark: changes whenever someone writes the file anew.
    stranger: user id of an owner that is neither root nor the agent; None otherwise.
    """

    name: str
    kind: Kind
    content: bytes | None = None
    problem: str = ""
    mode: int = 0o600
    children: "tuple[FolderFile, ...]" = ()
    mark: str = ""
    stranger: int | None = None

    @property
    def shown(self) -> str:
        """The name as text that can be printed and sent anywhere, 255 characters at most."""
        return shown(self.name)

    @cached_property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the content; empty without content."""
        return digest(self.content)

    @cached_property
    def parsed(self) -> Conflist | ConflistError:
        """The file as a conflist, or why it is none."""
        if self.kind is not Kind.REGULAR:
            return ConflistError(f"is a {self.kind}, which the agent does not follow or read")
        if self.content is None:
            return ConflistError(self.problem or "was not read")
        try:
            return parse(self.content)
        except ConflistError as error:
            return error

    @property
    def conflist(self) -> Conflist | None:
        """The file as a conflist; None when it is none."""
        return self.parsed if isinstance(self.parsed, Conflist) else None

    @property
    def is_loadable(self) -> bool:
        """Whether a runtime gets a network out of it."""
        return self.conflist is not None and loads_as_runtime(self.name, self.conflist)


@dataclass(frozen=True)
class Folder:
    """One look at the folder.

    path: as given to the agent. identity: device and inode of the folder itself. files: all entries, in byte order.
    """

    path: str
    identity: tuple[int, int]
    files: tuple[FolderFile, ...] = ()

    def get(self, name: str) -> FolderFile | None:
        """The entry of that name."""
        return next((file for file in self.files if file.name == name), None)

    def runtime_files(self, without: str = "") -> tuple[FolderFile, ...]:
        """Everything that a runtime takes for configuration, first choice first, but for the file named `without`."""
        return tuple(
            file
            for file in self.files
            if file.kind is not Kind.FOLDER and file.name.endswith(RUNTIME_EXTENSIONS) and file.name != without
        )

    def effective(self, without: str = "") -> FolderFile | None:
        """The one that a runtime picks."""
        return next(iter(self.runtime_files(without)), None)

    def first_valid(self, binaries: Collection[str]) -> FolderFile | None:
        """The one that CRI-O picks: the first that is valid and whose plugins are all installed (its ocicni)."""
        for file in self.runtime_files():
            if file.conflist is not None and file.is_loadable and all(kind in binaries for kind in file.conflist.types):
                return file
        return None

    def backups(self) -> tuple[FolderFile, ...]:
        """Files that a Cilium with `cni.exclusive=true` has put aside."""
        return tuple(file for file in self.files if file.name.endswith(CILIUM_BACKUP))

    def drop_ins(self, network: str) -> tuple[str, ...]:
        """Files that containerd 2.1 and newer (libcni 1.3) append to the chain: `<folder>/<network>/*.conf`."""
        folder = self.get(network)
        return tuple(f"{network}/{file.shown}" for file in folder.children) if folder else ()


@dataclass(frozen=True)
class Source:
    """The primary's file, and what it says."""

    file: FolderFile
    conflist: Conflist


@dataclass(frozen=True)
class NoSource:
    """Why there is no primary to derive from. broken: files that cannot be read as a conflist, with the reason."""

    broken: tuple[tuple[FolderFile, ConflistError], ...] = ()


def byte_order(names: Iterable[str]) -> list[str]:
    """Names in the order in which Go sorts them: by bytes, whatever they encode."""
    return sorted(names, key=os.fsencode)


def digest(content: bytes | None) -> str:
    """`sha256:` and the hex digest; empty for None."""
    return "" if content is None else f"sha256:{hashlib.sha256(content).hexdigest()}"


def find_source(
    folder: Folder, profile: PrimaryProfile, ours: tuple[str, ...], last_source: str = ""
) -> Source | NoSource:
    """The primary's file: by network name, like Cilium, but never one of our own and never a `.cilium_bak`.

    ours: names of our own files, the chained conflist's first. last_source: name of the file that the chain was last
    derived from, if any. Where several files have the network name (a copy, a hijack, istio's own file), the one counts
    that has no cilium-cni entry, begins with the primary's own plugin and sorts after our file (what sorts before it
    shadows it, like istio's copy of the primary); then byte order, which is Cilium's whole rule.
    While the last source is there but broken (caught half-written), no other file takes its place: a stale copy of
    the primary would be worse than the chain that is on disk.
    """
    found: list[Source] = []
    broken: list[tuple[FolderFile, ConflistError]] = []
    for file in folder.runtime_files():
        if file.name in ours:
            continue
        parsed = file.parsed
        if isinstance(parsed, ConflistError):
            broken.append((file, parsed))
        elif is_of(profile, parsed):
            found.append(Source(file, parsed))
    last = [item for item in broken if item[0].name == last_source]
    if last or not found:
        return NoSource(tuple(last or broken))
    return min(found, key=lambda source: _rank(source, profile, ours[0]))  # min keeps the first of equals: byte order


def find_backup(folder: Folder, profile: PrimaryProfile) -> tuple[FolderFile, str] | None:
    """The primary's conflist that Cilium has put aside, and its own name; None without a valid one.

    Only where nothing has that name now, and only under a name that a runtime loads.
    """
    found: list[tuple[FolderFile, str]] = []
    for file in folder.backups():
        name, conflist = file.name.removesuffix(CILIUM_BACKUP), file.conflist
        if conflist is None or conflist.cilium_at is not None or not is_of(profile, conflist):
            continue
        if name.endswith(RUNTIME_EXTENSIONS) and loads_as_runtime(name, conflist) and folder.get(name) is None:
            if profile.plugin_type in (None, conflist.types[0]):
                return file, name
            found.append((file, name))
    return next(iter(found), None)


def is_of(profile: PrimaryProfile, conflist: Conflist) -> bool:
    """Whether it is a network that the profile's primary makes; "*" is any network that pods could have alone."""
    if profile.network == "*":
        return conflist.types[0] not in NO_PRIMARY
    return profile.network == conflist.network


def _rank(source: Source, profile: PrimaryProfile, chained: str) -> tuple[bool, bool, bool]:
    types = source.conflist.types
    is_before = os.fsencode(source.file.name) < os.fsencode(chained)
    return CILIUM_CNI in types, profile.plugin_type not in (None, types[0]), is_before
