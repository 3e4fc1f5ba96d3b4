"""The site: it builds without a warning, from this machine alone, and what the code points to is in it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnichain.api.reasons import REASONS, Reason
from docpages import DOCS, ROOT

BUILD_SECONDS = 120
OUTSIDE = re.compile(r"""(?:src|href)=["'](https?:)?//[^"']+["']""")
PAGE_IN_CODE = re.compile(r"\bdocs/(?P<page>[\w/-]+)\.md(?:#(?P<anchor>[\w-]+))?")


def build(pages: Path, to: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", str(pages), str(to)]
    return subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    to = tmp_path_factory.mktemp("site")
    done = build(DOCS, to)
    assert done.returncode == 0, f"links, anchors or the menu (docs/conf.py, NAV) are not right:\n{done.stderr}"
    return to


def test_it_builds_without_a_warning(site: Path) -> None:
    made = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    asked = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    assert asked <= made, "pages that are not in the site"


def test_a_reader_needs_no_other_machine(site: Path) -> None:
    """No fonts, scripts or styles from elsewhere: the site is read where there is no way out, too."""
    loaded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*>")
    found = {
        f"{path.name}: {tag}"
        for path in site.rglob("*.html")
        for tag in loaded.findall(path.read_text(encoding="utf-8"))
        if OUTSIDE.search(tag)
    }
    styles = [path for path in site.rglob("*.css") if re.search(r"url\(['\"]?(https?:)?//", path.read_text("utf-8"))]
    assert (found, styles) == (set(), [])


def test_a_fault_fails_the_build(tmp_path: Path) -> None:
    """A link or an anchor that leads nowhere, and a page that is in no menu."""
    pages = tmp_path / "docs"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("_build"))
    for folder in ("operator", "demo", "examples", "deploy"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (pages / "faq.md").write_text("# FAQ\n\n[a](nosuchpage.md) [b](reasons.md#nosuchcode)\n", encoding="utf-8")
    (pages / "forgotten.md").write_text("# Forgotten\n", encoding="utf-8")
    done = build(pages, tmp_path / "site")
    assert done.returncode != 0, "the build must fail"
    missed = [named for named in ("nosuchpage", "nosuchcode", "forgotten") if named not in done.stderr]
    assert missed == [], f"faults that the build does not name:\n{done.stderr}"


def test_each_reason_code_has_an_anchor(site: Path) -> None:
    page = (site / "reasons.html").read_text(encoding="utf-8")
    missing = [reason.value for reason in Reason if f'id="{reason.value.lower()}"' not in page]
    assert missing == [], "codes to which nobody could link"
    assert set(REASONS) == set(Reason), "codes without a cause and a fix"


def _pointers() -> list[tuple[str, str, str]]:
    """Each page of the docs that code, charts or manifests name: file, page, anchor."""
    found = set()
    for folder in ("operator", "deploy", "examples", "demo", "crds", "tools", "bench"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".yaml", ".yml", ".json", ".lua", ".tpl", ".txt"}:
                for match in PAGE_IN_CODE.finditer(path.read_text(encoding="utf-8")):
                    found.add((str(path.relative_to(ROOT)), match["page"], match["anchor"] or ""))
    return sorted(found)


def test_what_the_code_points_to_is_there(site: Path) -> None:
    """Fixes, messages, comments and the `runbook_url` of alerts name pages; a reader who follows one must find it."""
    pointers = _pointers()
    assert pointers, "nothing points to the docs any more: the search is wrong"
    lost = []
    for file, page, anchor in pointers:
        built = site / f"{page}.html"
        if not built.is_file():
            lost.append(f"{file}: docs/{page}.md is no page")
        elif anchor and f'id="{anchor}"' not in built.read_text(encoding="utf-8"):
            lost.append(f"{file}: docs/{page}.md has no #{anchor}")
    assert lost == []
