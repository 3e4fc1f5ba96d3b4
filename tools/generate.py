"""The one command that writes the generated files: `make generate`. With --check it fails when one is stale."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from cnichain.api.crd import chain_crd, node_crd, render
from cnichain.api.reasons import REASONS

ROOT = Path(__file__).resolve().parent.parent


def reasons_page() -> str:
    """docs/reasons.md: every reason code with its cause and fix."""
    lines = [
        "<!-- Generated from operator/cnichain/api/reasons.py by `make generate`; do not edit. -->",
        "# Reason codes",
        "",
        "Conditions, events and messages carry these codes. *Stalled* marks those that cannot heal by themselves.",
        "",
    ]
    for reason, info in sorted(REASONS.items(), key=lambda item: item[0].value):
        kind = "Stalled" if info.terminal else "warning" if info.warning else "normal"
        lines += [f"## {reason.value}", "", f"*{kind}*", "", f"**Cause.** {info.cause}", "", f"**Fix.** {info.fix}", ""]
    return "\n".join(lines)


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it should hold."""
    for crd in (chain_crd(), node_crd()):
        yield ROOT / "crds" / f"{crd['metadata']['name']}.yaml", render(crd)
    yield ROOT / "docs" / "reasons.md", reasons_page()


def main() -> int:
    """Write the files, or with --check say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args().check
    stale = [path for path, text in generated() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in generated():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
