"""What `analyze` says of a manifest. Plain data."""

from dataclasses import dataclass
from enum import StrEnum

from cnichain.analyze.documents import Document, Part
from cnichain.api.reasons import REASONS, Reason
from cnichain.preflight.finding import Finding, Level


class Severity(StrEnum):
    """How bad it is, worst first."""

    ERROR = "error"
    """The operator would refuse it, or it breaks the network."""
    WARNING = "warning"
    """It stops nothing, and a person should look before it is merged."""
    NOTE = "note"
    """Worth knowing; whether it matters cannot be seen in the manifests."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in one place. resource: `Kind/name`, or `Kind/namespace/name`."""

    severity: Severity
    reason: Reason
    resource: str
    file: str
    line: int
    message: str
    source: str = ""

    @property
    def fix(self) -> str:
        """What to do about it, from the registry of reasons."""
        return REASONS[self.reason].fix


SEVERITIES = {Level.REFUSED: Severity.ERROR, Level.WARNING: Severity.WARNING}
"""Of what the operator's own checks say; the other levels are no problem."""


def problem(
    severity: Severity, reason: Reason, document: Document, message: str, *path: Part, source: str = ""
) -> Problem:
    """A problem of a document. path: of the field that is wrong."""
    where = f"{document.namespace}/{document.name}" if document.namespace else document.name
    resource = f"{document.kind}/{where or '(no name)'}"
    return Problem(severity, reason, resource, document.file, document.line_of(*path), message, source)


def of_finding(finding: Finding, document: Document, *path: Part) -> Problem | None:
    """The problem that a check of the operator's found, None when it found none."""
    severity = SEVERITIES.get(finding.level)
    if severity is None:
        return None
    source = finding.source if finding.source.startswith("https://") else ""
    return problem(severity, finding.reason, document, finding.message, *path, source=source)
