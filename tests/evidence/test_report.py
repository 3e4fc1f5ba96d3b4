"""The report as a reader's program sees it: well formed, self-contained, in order, and safe from hostile names."""

import itertools
import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.evidence.controls import CONTROLS
from cnichain.evidence.gaps import GAPS
from cnichain.evidence.markup import VOID, tag, text
from cnichain.evidence.model import Evidence, PodFact
from cnichain.evidence.report import CLAIM, ROWS, SECTIONS, as_html
from evidencesample import healthy, sample

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style></section><h1>",
    "' onmouseover='x",
    "&lt;&amp;",
    "a\x00\x1b[31mb\u202eevil\ud800",
    "<!--",
    "]]>",
)


class Page(HTMLParser):
    """Elements in their order, checked for nesting; text by element."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")

    def of(self, *names: str) -> list[tuple[str, dict[str, str | None]]]:
        return [item for item in self.elements if item[0] in names]

    @property
    def shape(self) -> list[str]:
        """What the page is made of, without what stands in it."""
        return [f"{tag} {sorted(attrs)}" for tag, attrs in self.elements]


@pytest.fixture(scope="module", params=[sample, healthy, lambda: Evidence("2026-11-28T12:00:00Z", "0.1.0")])
def source(request: pytest.FixtureRequest) -> str:
    """The page of a full, a flawless and an empty cluster."""
    return as_html(request.param())


def test_it_is_well_formed_and_says_its_language(source: str) -> None:
    page = Page(source)
    assert source.startswith("<!DOCTYPE html>\n")
    assert page.of("html")[0][1]["lang"] == "en"
    assert len(page.of("h1")) == len(page.of("main")) == len(page.of("title")) == 1
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)), "an id twice"
    assert set(SECTIONS) <= set(ids)


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(source: str) -> None:
    page = Page(source)
    assert not page.of("script", "link", "img", "iframe", "object", "embed", "base", "form")
    for element, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on") or name in {"src", "style", "action"}], element
        assert (attrs.get("href") or "#").startswith("#"), f"a link that leaves the page: {attrs}"
    ids = {attrs.get("id") for _, attrs in page.elements}
    broken = [attrs["href"] for _, attrs in page.of("a") if (attrs["href"] or "").removeprefix("#") not in ids]
    assert broken == [], "links to nowhere"
    assert "url(" not in source
    assert "@import" not in source
    (policy,) = [attrs["content"] for _, attrs in page.of("meta") if "http-equiv" in attrs]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script" not in policy


def test_headings_go_down_one_step_at_a_time(source: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(source).of("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels)), levels


def test_tables_name_their_rows_and_columns_and_can_be_scrolled_by_keyboard(source: str) -> None:
    page = Page(source)
    tables = len(page.of("table"))
    assert tables == len(page.of("caption")) == len(page.of("thead"))
    assert all(attrs.get("scope") in {"row", "col"} for _, attrs in page.of("th"))
    frames = [attrs for tag, attrs in page.of("div") if attrs.get("class") == "frame"]
    assert len(frames) == tables
    assert all(frame["tabindex"] == "0" and frame["role"] == "region" and frame["aria-label"] for frame in frames)


def test_it_is_readable_in_the_dark_and_on_paper(source: str) -> None:
    assert "@media screen and (prefers-color-scheme:dark)" in source, "print must not become dark"
    printed = source.partition("@media print{")[2]
    for rule in ("nav,.skip{display:none}", "thead{display:table-header-group}", "break-inside:avoid"):
        assert rule in printed, f"print lacks {rule}"


COLOURS = re.compile(r"--([a-z-]+):(#[0-9a-f]{3,6})")


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(one * 2 for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_contrast_is_enough_for_everybody(scheme: str) -> None:
    """WCAG 2 AA: 4.5 to 1 for text."""
    light, _, dark = as_html(sample()).partition("@media screen and")
    colours = dict(COLOURS.findall(light if scheme == "light" else dark.partition("color-scheme:dark}}")[0]))
    pairs = [("ink", "paper"), ("soft", "paper"), ("soft", "band"), ("link", "paper"), ("ink", "band")]
    pairs += [(name, f"{name}-paper") for name in ("good", "warn", "bad")]
    for front, back in pairs:
        bright, dim = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, f"{front} on {back} in {scheme}"


def test_it_says_everything_that_it_was_given() -> None:
    evidence = sample()
    said = " ".join(Page(as_html(evidence)).texts)
    for expected in (
        CLAIM,
        evidence.cluster.uid,
        str(evidence.chain.versions["chartDigest"]),
        str(evidence.chain.effective["valuesDigest"]),
        "ip-10-0-1-17.eu-central-1.compute.internal",
        "cnichain-baseline-dns",
        "POLICY_DENIED",
        "/var/run/cilium/hubble/events.log",
        "CN=*.default.hubble-grpc.cilium.io",
        "port 9965 does not answer within 2 s",
    ):
        assert expected in said, f"the report does not say {expected!r}"
    for gap in evidence.gaps:
        assert gap.title in said
        assert gap.next in said
    for control in CONTROLS:
        assert control.id in said
    assert "certifies nothing" in said
    assert "complian" not in said.lower(), "nothing may sound like a promise of compliance"


def test_a_flawless_cluster_has_no_gap_and_says_so() -> None:
    assert "None of the known kinds of gaps was found." in as_html(healthy())
    assert healthy().gaps == ()


def test_a_long_table_is_cut_with_a_word_and_the_bad_nodes_first() -> None:
    good = sample().nodes[0]
    many = [replace(good, name=f"n{number}") for number in range(ROWS + 50)]
    bad = replace(good, name="zz-the-bad-one", verified=False, state="Conflict")
    page = as_html(sample(nodes=(*many, bad)))
    assert "zz-the-bad-one" in page.partition('id="policies"')[0].partition("Nodes in scope")[2]
    assert "and 51 more, in the JSON files of the archive" in page


def hostile(value: Any, word: str) -> Any:
    """The same data with every text replaced, names of keys too. Enumerations of ours stay: they pick what is shown."""
    if isinstance(value, str):
        return word
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: hostile(getattr(value, one.name), word) for one in fields(value)})
    if isinstance(value, dict):
        return {f"{key}": hostile(inner, word) for key, inner in value.items()} | {word: word}
    if isinstance(value, tuple | list):
        return type(value)(hostile(inner, word) for inner in value)
    return value


BENIGN = "harmless"


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_names_change_no_element(word: str) -> None:
    """Whatever others name their pods, labels, verdicts and messages, the page has the elements that it had."""
    evidence = sample()
    page = Page(as_html(hostile(evidence, word)))
    assert page.shape == Page(as_html(hostile(evidence, BENIGN))).shape
    assert str(text(word)) in as_html(hostile(evidence, word))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.text(max_size=20))
def test_any_text_is_only_text(content: str, attribute: str) -> None:
    page = Page(str(tag("p", content, title=attribute)))
    assert [name for name, _ in page.elements] == ["p"]
    assert set(page.elements[0][1]) == {"title"}
    shown = "".join(page.texts)
    assert re.sub("[^ -~]", "", shown) == re.sub("[^ -~]", "", content), "what can be shown is shown"


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_any_name_of_a_pod_is_only_a_name(name: str) -> None:
    pods = {"hostNetwork": (PodFact(name, name, name, name),)}
    plain = {"hostNetwork": (PodFact("a", "a", "a", "a"),)}
    assert Page(as_html(sample(pods=pods))).shape == Page(as_html(sample(pods=plain))).shape


def test_every_kind_of_gap_tells_what_to_do() -> None:
    for code, kind in GAPS.items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", code)
        assert kind.means.endswith(".")
        assert kind.next.endswith(".")
