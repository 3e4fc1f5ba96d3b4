"""Manifests from files, folders and standard input."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cnichain.analyze.documents import Document, Unreadable, parse
from cnichain.analyze.gitops import STDIN

SUFFIXES = (".yaml", ".yml", ".json")
HIDDEN = "."


@dataclass
class Manifests:
    """What files hold. others: documents that are no Kubernetes objects, as values files. templates: folders of Helm
    charts, whose templates are not YAML before helm has rendered them."""

    documents: list[Document] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    others: int = 0
    templates: list[str] = field(default_factory=list)
    files: int = 0


def read_manifests(paths: Iterable[str]) -> Manifests:
    """All documents of files and of folders, read recursively; `-` is standard input.

    Nothing is raised: what cannot be read is listed. In folders, hidden files and the templates of charts are left out.
    """
    found = Manifests()
    for name in dict.fromkeys(paths):
        if name == STDIN:
            _take(found, STDIN, sys.stdin.buffer.read())
            continue
        path = Path(name)
        if not path.is_dir():
            _read(found, path)
            continue
        for file in sorted(_files(path, found)):
            _read(found, file)
    return found


def _files(folder: Path, found: Manifests) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.unreadable.append(Unreadable(str(folder), 0, error.strerror or type(error).__name__))
        return
    is_chart = (folder / "Chart.yaml").is_file()
    for entry in entries:
        if entry.name.startswith(HIDDEN):
            continue
        if is_chart and entry.name == "templates" and entry.is_dir():
            found.templates.append(str(entry))
        elif entry.is_dir() and not entry.is_symlink():
            yield from _files(entry, found)
        elif entry.suffix in SUFFIXES and entry.is_file():
            yield entry


def _read(found: Manifests, path: Path) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        found.unreadable.append(Unreadable(str(path), 0, error.strerror or type(error).__name__))
        return
    _take(found, str(path), content)


def _take(found: Manifests, name: str, content: bytes) -> None:
    found.files += 1
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        found.unreadable.append(Unreadable(name, 0, f"not UTF-8: {error.reason} at byte {error.start}"))
        return
    documents, unreadable, others = parse(text, name)
    found.documents += documents
    found.unreadable += unreadable
    found.others += others
