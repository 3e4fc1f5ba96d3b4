"""What `cnichain evidence` prints: a summary for a terminal of 80 columns. Pure."""

import textwrap
from collections.abc import Sequence

from cnichain.evidence.gaps import UNMANAGED
from cnichain.evidence.model import Evidence

COLUMNS = 80
TOGETHER = "\xa0"


def as_text(evidence: Evidence, written: Sequence[str], key: str) -> str:
    """Counts, gaps, and where everything was written."""
    nodes = [node for node in evidence.nodes if not node.kind]
    unmanaged = len(evidence.pods.get(UNMANAGED, ()))
    versions = evidence.chain.versions
    exporters = [one for one in evidence.export.exporters if one.active]
    verdicts = evidence.verdicts
    lines = [
        f"Evidence of {evidence.created}",
        "",
        _pair("Cilium", f"{versions.get('cilium') or 'none'} after {evidence.chain.effective.get('primary') or '-'}"),
        _pair("Nodes", f"{sum(node.verified for node in nodes)} of {len(nodes)} in scope have a verified chain"),
        _pair("Pods", f"{evidence.managed} managed, {unmanaged} unmanaged"),
        _pair("Policies", ", ".join(_kind(*item) for item in evidence.policies.counts.items()) or "none"),
        _pair("Flow export", evidence.export.profile if exporters else "off"),
        _pair("Verdicts", f"read from {verdicts.answered} of {verdicts.asked} nodes"),
        "",
        f"Gaps: {len(evidence.gaps)}",
    ]
    for gap in evidence.gaps:
        text = f"{gap.title}: {gap.detail}"
        lines += textwrap.wrap(text, COLUMNS, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join([*lines, "", *(f"Written: {name}" for name in written), f"Key:     {key}"])


def _kind(kind: str, count: int) -> str:
    """A count that no end of a line takes from its kind."""
    return f"{count}{TOGETHER}{kind}"


def _pair(name: str, value: str) -> str:
    indent = " " * 14
    return textwrap.fill(f"  {name:<12}{value}", COLUMNS, subsequent_indent=indent).replace(TOGETHER, " ")
