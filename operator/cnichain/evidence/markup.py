"""HTML from data that others have named: every text is escaped on its way in. Pure."""

import html
import re
from collections.abc import Iterable, Sequence

UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]"
)
"""Characters that HTML does not know, and those that turn the direction of the text that follows."""
VOID = frozenset(("meta", "br"))


class Markup(str):
    """A piece of HTML that needs no escaping any more."""

    __slots__ = ()


Content = str | int | Markup | Iterable["Content"] | None


def tag(element: str, *content: Content, **attributes: str | int | None) -> Markup:
    """An element. A name with an underscore gets a hyphen, a trailing one goes (`class_`, `aria_label`)."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if element in VOID:
        return Markup(f"<{element}{given}>")
    return Markup(f"<{element}{given}>{join(content)}</{element}>")


def text(value: str | int) -> Markup:
    """A text, escaped for an element and for an attribute in double quotes."""
    return Markup(html.escape(UNSHOWABLE.sub("\ufffd", str(value)), quote=True))


def join(content: Content) -> Markup:
    """Pieces one after the other; None is nothing."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int):
        return text(content)
    return Markup("".join(map(join, content)))


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Content]], *, total: int | None = None) -> Markup:
    """A table whose first column names the row, in a frame that scrolls by itself.

    total: how many rows there would be, where not all are shown.
    """
    columns = tag("tr", (tag("th", name, scope="col") for name in head))
    body = (tag("tr", tag("th", row[0], scope="row"), (tag("td", cell) for cell in row[1:])) for row in rows)
    shown = tag("table", tag("caption", caption), tag("thead", columns), tag("tbody", body))
    left = (total or 0) - len(rows)
    more = tag("p", f"and {left} more, in the JSON files of the archive", class_="more") if left > 0 else None
    return join([tag("div", shown, class_="frame", role="region", aria_label=caption, tabindex=0), more])


def facts(pairs: Iterable[tuple[str, Content]]) -> Markup:
    """Names and values, one under the other."""
    return tag("dl", (tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs))
