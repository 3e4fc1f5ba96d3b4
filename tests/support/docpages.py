"""The documentation as tests read it: its pages, their fenced blocks, and the commands in them.

A block of commands may carry invisible marks, HTML comments on the lines before it:

    <!-- play -->              a test runs it as it stands, in order, on the local control plane
    <!-- play: eks -->         for EKS alone: looked at, not run
    <!-- play: make -->        a target of the Makefile that runs before the tests do
    <!-- expect: TEXT -->      the block's output has this text
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SHELLS = ("sh", "console", "bash", "shell")
MARK = re.compile(r"^<!-- (play|expect)(?:: (.*?))? -->$")
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+)(?P<language>[\w-]*)$")

SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
"""A command in a command."""


@dataclass(frozen=True)
class Block:
    """A fenced block. play: the mark, "" for a block that is run, None without a mark. expect: texts of its output."""

    page: str
    line: int
    language: str
    text: str
    play: str | None
    expect: tuple[str, ...]

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command line: the arguments of the program. prose: it is `code` in a sentence, so it may name the command
    alone."""

    where: str
    line: str
    words: tuple[str, ...]
    prose: bool


def pages() -> list[Path]:
    """README and every page of the site, in order."""
    return [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page. Raises ValueError for a mark that no block follows."""
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    name = str(page.relative_to(ROOT))
    play: str | None = None
    expect: list[str] = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if mark := MARK.match(line.strip()):
            if mark[1] == "play":
                play = mark[2] or ""
            else:
                expect.append(mark[2])
            continue
        if found := FENCE.match(line):
            inside = []
            for _, text in lines:
                if text.strip() == found["fence"]:
                    break
                inside.append(text.removeprefix(found["indent"]))
            yield Block(name, number, found["language"], "\n".join(inside) + "\n", play, tuple(expect))
        elif line.strip() and (play is not None or expect):
            raise ValueError(f"{name}:{number}: a mark stands before this line, and no block")
        else:
            continue
        play, expect = None, []


def commands(page: Path, *programs: str) -> list[Command]:
    """The command lines of a page that call one of the programs: in its blocks of shell commands, and in `code` of its
    prose. `programs` are what a line begins with, such as "kubectl cnichain"."""
    found = []
    for block in blocks(page):
        if block.language in ("", *SHELLS):
            for line in _joined(block.text):
                found += [Command(block.where, line, words, prose=False) for words in _called(line, programs)]
    name = str(page.relative_to(ROOT))
    for number, line in enumerate(_prose(page), start=1):
        for code in re.findall(r"`([^`]+)`", line):
            if code.startswith(tuple(f"{program} " for program in programs)):
                called = _called(code, programs)
                found += [Command(f"{name}:{number}", code, words, prose=True) for words in called]
    return found


def _prose(page: Path) -> list[str]:
    """The lines of a page, those of its fenced blocks emptied."""
    inside, lines = "", []
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = FENCE.match(line)
        if inside:
            inside = "" if line.strip() == inside else inside
            lines.append("")
        else:
            inside = fence["fence"] if fence else ""
            lines.append("" if fence else line)
    return lines


def _joined(text: str) -> list[str]:
    """Lines of shell with continued ones joined, prompts, comments and empty lines left out."""
    lines = text.replace("\\\n", " ").splitlines()
    stripped = [line.strip().removeprefix("$ ") for line in lines]
    return [line for line in stripped if line and not line.startswith("#")]


def _called(line: str, programs: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The arguments of each call of one of the programs in a line of shell, the program left out."""
    for inner in SUBSTITUTION.findall(line):
        yield from _called(inner, programs)
    lexer = shlex.shlex(SUBSTITUTION.sub("SUBSTITUTED", line), posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    call: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";|&"):
            yield from _arguments(call, programs)
            call = []
        else:
            call.append(word)


def _arguments(call: list[str], programs: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for program in programs:
        words = program.split()
        if call[: len(words)] == words:
            yield tuple(call[len(words) :])
            return
