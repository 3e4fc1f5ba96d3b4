"""The site made of these pages: `make docs` builds it into docs/_build/html, from files of this machine alone.

Sphinx with MyST, since MyST reads Markdown as GitHub does, so the pages are right in both places. Every warning fails
the build: a link or an anchor that leads nowhere, a page that is in no part of NAV, a page in NAV that is not there.
"""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "operator"))

from cnichain import __version__  # noqa: E402 - only importable after the line above

NAV = {
    "Start": ["quickstart", "install", "concepts", "faq", "comparison"],
    "Use": [
        "new-nodes",
        "adoption",
        "rollouts",
        "upgrade",
        "coverage",
        "calico",
        "certificates",
        "gitops",
        "analyze",
        "airgap",
        "uninstall",
    ],
    "Observe and prove": ["metrics", "overhead", "audit", "policies", "evidence"],
    "When something is wrong": ["troubleshooting", "reasons", "faults", "chaos"],
    "Reference": [
        "cli",
        "resource",
        "chart",
        "compatibility",
        "security",
        "threat-model",
        "permissions",
        "architecture",
        "performance",
        "testing",
    ],
}
"""The pages of the site, by part, in the order of its menu. A page that is missing here fails the build."""
BELOW = {"metrics": "runbooks/*"}
"""Pages that stand below another one in the menu."""

project = "CNIChain"
author = "The CNIChain authors"
release = version = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build", "conf.py"]
source_suffix = {".md": "markdown"}
root_doc = "index"

myst_heading_anchors = 4
myst_enable_extensions = ["tasklist"]
nitpicky = True
suppress_warnings = ["misc.highlighting_failure"]  # a console session is shown as it is, whatever the lexer makes of it

html_theme = "furo"
html_title = f"CNIChain {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"


def _menu() -> str:
    parts = []
    for caption, pages in NAV.items():
        entries = "\n".join(pages)
        parts.append(f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n:caption: {caption}\n\n{entries}\n```\n")
    return "\n" + "\n".join(parts)


def _read(_app: object, docname: str, source: list[str]) -> None:
    """Add the menu to the pages that hold it, so that they stay plain Markdown themselves."""
    if docname == root_doc:
        source[0] += _menu()
    if docname in BELOW:
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{BELOW[docname]}\n```\n"


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)  # type: ignore[attr-defined]
