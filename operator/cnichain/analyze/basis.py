"""What the operator's checks look at, one document at a time. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from cnichain.analyze.documents import Document, Part
from cnichain.analyze.problem import Problem, Severity, of_finding
from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Check
from cnichain.preflight.gathered import Gathered
from cnichain.preflight.registry import CHECKS, run_checks
from cnichain.preflight.subject import Subject

BY_CODE: dict[str, Check] = {check.code: check for check in CHECKS}
NOTES = frozenset({Reason.RELEASE_UNMAINTAINED})
"""True of most clusters at some time, and no mistake in a manifest."""


@dataclass(frozen=True)
class Basis:
    """What the checks look at beside one document. chain: None where no CNIChain is among the documents."""

    subject: Subject
    chain: Document | None = None

    def check(self, codes: Iterable[str], document: Document, *path: Part, **changes: Any) -> Iterator[Problem]:
        """Problems that these checks find with changes of the subject."""
        for result in run_checks(replace(self.subject, **changes), [BY_CODE[code] for code in codes]):
            found = of_finding(result.finding, document, *path)
            if found is not None:
                yield replace(found, severity=Severity.NOTE) if found.reason in NOTES else found

    def gathered(self, **changes: Any) -> Gathered:
        """What is gathered, with changes."""
        return replace(self.subject.gathered, **changes)
