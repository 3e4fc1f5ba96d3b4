"""Who asked the API server for what, from its audit log."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import BenchError

OPERATOR, AGENTS, HELM = "operator", "agents", "helm"
PROGRAMS = {"cnichain-operator": OPERATOR, "kopf/": OPERATOR, "cnichain-agent": AGENTS, "Helm/": HELM}
"""Beginning of a user agent to the program. Kopf watches CNIChains for the operator by itself."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
LEASES = "leases"
"""The operator renews its Lease every two seconds, however many nodes there are: counted apart."""
_DRY_RUN = "dryRun="

Verbs = dict[str, int]


@dataclass(frozen=True)
class Request:
    """One request of a program of ours, or of helm. verb: `patch (dry run)` for one that changes nothing."""

    program: str
    verb: str
    resource: str
    name: str
    code: int

    @property
    def is_write(self) -> bool:
        """Whether it changes something, if it is taken."""
        return self.verb in WRITES

    @property
    def is_change(self) -> bool:
        """A write that is not the renewal of the Lease."""
        return self.is_write and self.resource != LEASES

    def __str__(self) -> str:
        return f"{self.program}: {self.verb} {self.resource} {self.name} ({self.code})"


def request_of(entry: Mapping[str, Any]) -> Request | None:
    """The request that an entry of the audit log is about; None for other programs.

    A watch is counted when it is opened, everything else when it has ended.
    """
    agent = str(entry.get("userAgent") or "")
    program = next((name for begin, name in PROGRAMS.items() if agent.startswith(begin)), None)
    verb = str(entry.get("verb"))
    counted = "ResponseStarted" if verb == "watch" else "ResponseComplete"
    if program is None or entry.get("stage") != counted:
        return None
    target = entry.get("objectRef") or {}
    parts = (target.get("resource"), target.get("subresource"))
    if _DRY_RUN in str(entry.get("requestURI")):
        verb = f"{verb} (dry run)"
    return Request(
        program,
        verb,
        "/".join(part for part in parts if part),
        str(target.get("name") or ""),
        int((entry.get("responseStatus") or {}).get("code") or 0),
    )


def by_verb(requests: Iterable[Request]) -> dict[str, Verbs]:
    """Number of requests by program and verb; those about the Lease are left out."""
    counted: dict[str, Counter[str]] = {}
    for request in requests:
        if request.resource != LEASES:
            counted.setdefault(request.program, Counter())[request.verb] += 1
    return {program: dict(sorted(verbs.items())) for program, verbs in sorted(counted.items())}


def by_target(requests: Iterable[Request]) -> dict[str, int]:
    """Number of writes by program, verb and resource, the most first; those about the Lease are left out."""
    counted = Counter(
        f"{request.program}: {request.verb} {request.resource}" for request in requests if request.is_change
    )
    return dict(counted.most_common())


def writes(counted: Mapping[str, Verbs]) -> int:
    """All writes of a count; a dry run is none."""
    return sum(count for verbs in counted.values() for verb, count in verbs.items() if verb in WRITES)


def reads(counted: Mapping[str, Verbs]) -> int:
    """All requests of a count that change nothing."""
    return sum(count for verbs in counted.values() for verb, count in verbs.items() if verb not in WRITES)


class AuditLog:
    """The audit log while it grows: places in it, and what stands behind them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def here(self) -> int:
        """The place of what comes next."""
        return self._path.stat().st_size

    def since(self, place: int) -> list[Request]:
        """The requests from a place on. Raises BenchError when the API server has begun a new file meanwhile."""
        if self.here() < place:
            raise BenchError(f"{self._path} was rotated: the run was too long, or had too many nodes")
        begins = [begin.encode() for begin in PROGRAMS]
        found = []
        with self._path.open("rb") as log:
            log.seek(place)
            for line in log:
                # The last one may be half written.
                if line.endswith(b"\n") and any(begin in line for begin in begins):
                    found.append(request_of(json.loads(line)))
        return [request for request in found if request is not None]
