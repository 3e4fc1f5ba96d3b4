"""From a manifest of deploy/base to a template of the chart: an edit that does not find its place stops it."""

import re
from dataclasses import dataclass
from typing import Protocol


class StaleEditError(ValueError):
    """A manifest has changed so that an edit no longer knows where it belongs."""


class Edit(Protocol):
    """A change of one document."""

    def apply(self, text: str) -> str:
        """The document with the change; StaleEditError when its place is not there exactly once."""
        ...


@dataclass(frozen=True)
class Replace:
    """What a regular expression finds, once, becomes `new`, in which `\\1` is its first group."""

    pattern: str
    new: str

    def apply(self, text: str) -> str:
        """See Edit."""
        text, times = re.subn(self.pattern, self.new, text, flags=re.MULTILINE)
        if times != 1:
            raise StaleEditError(f"{self.pattern!r} is there {times} times, not once")
        return text


@dataclass(frozen=True)
class Block:
    """A key with all that is below it becomes `new`, lines of a template. indent: spaces before the key."""

    key: str
    indent: int
    new: str

    def apply(self, text: str) -> str:
        """See Edit."""
        margin = " " * self.indent
        starts = re.compile(rf"^{margin}{re.escape(self.key)}:.*\n(?:{margin} +.*\n)*", re.MULTILINE)
        found = starts.findall(text)
        if len(found) != 1:
            raise StaleEditError(f"the key {self.key!r} is there {len(found)} times, not once")
        return text.replace(found[0], self.new.rstrip("\n") + "\n")


def escaped(text: str) -> str:
    """Braces that are text in a manifest, as text in a template. (Closing ones are text where none were opened.)"""
    return text.replace("{{", '{{ "{{" }}')


def only_if(condition: str, document: str) -> str:
    """A document that is there under a condition, with the comment above it."""
    return f"{{{{- if {condition} }}}}\n{document.rstrip()}\n{{{{- end }}}}\n"
