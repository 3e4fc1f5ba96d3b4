"""Unmanaged pods as a table for a terminal of 80 columns, and as data. Pure."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from cnichain.plan.coverage import MEANING, Cause, Coverage, Unmanaged

COLUMNS = 80
HEAD = ("NAMESPACE", "POD", "CAUSE", "AGE", "OWNER")
LEAST = (9, 3, 5, 3, 5)
CUT_FIRST = (4, 1, 0)
"""Columns that are cut when a row is too wide: the owner, which a pod's name mostly tells, then pod and namespace."""
KINDS = {"Deployment": "deploy", "DaemonSet": "ds", "StatefulSet": "sts", "ReplicaSet": "rs", "Job": "job"}
"""kubectl's short names."""


def as_text(coverage: Coverage, shown: Sequence[Unmanaged], now: float) -> str:
    """The pods by node, and what their causes mean."""
    rows = {id(one): _row(one, now) for one in shown}
    widths = _widths([HEAD, *rows.values()])
    lines = [_line(HEAD, widths)] if shown else []
    for node, of_node in groupby(sorted(shown, key=lambda one: (one.pod.node, one.pod.namespace, one.pod.name)), _node):
        mine = list(of_node)
        lines.append(f"{node}: {len(mine)}")
        lines += [_line(rows[id(one)], widths) for one in mine]
    if shown:
        causes = [cause for cause in Cause if any(one.cause is cause for one in shown)]
        lines += ["", *(f"{cause.value}: {MEANING[cause]}" for cause in causes), ""]
    total = f"{coverage.managed} managed, {len(coverage.unmanaged)} unmanaged"
    left_out = ", ".join(f"{number} {kind}" for kind, number in coverage.out_of_scope.items())
    lines += [f"{total}; out of scope: {left_out or 'none'}"]
    return "\n".join(lines)


def as_data(coverage: Coverage, shown: Sequence[Unmanaged], now: float) -> dict[str, Any]:
    """The same for programs."""
    return {
        "managed": coverage.managed,
        "unmanaged": len(coverage.unmanaged),
        "byCause": coverage.by_cause,
        "outOfScope": dict(coverage.out_of_scope),
        "pods": [_pod(one, now) for one in shown],
    }


def _pod(one: Unmanaged, now: float) -> Mapping[str, Any]:
    pod = one.pod
    return {
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "node": pod.node,
        "cause": one.cause.value,
        "ageSeconds": max(0, int(now - pod.started)),
        "owner": {"kind": pod.workload.kind, "name": pod.workload.name} if pod.workload.kind else None,
    }


def _row(one: Unmanaged, now: float) -> tuple[str, ...]:
    pod = one.pod
    owner = f"{KINDS.get(pod.workload.kind, pod.workload.kind.lower())}/{pod.workload.name}"
    return pod.namespace, pod.name, one.cause.value, age(now - pod.started), owner if pod.workload.kind else "-"


def age(seconds: float) -> str:
    """An age as kubectl's tables have it: 59s, 12m, 5h, 3d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column, so that a line has at most 80 characters."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for column in CUT_FIRST:
        too_wide = sum(widths) + 2 * len(HEAD) - COLUMNS
        widths[column] -= max(0, min(too_wide, widths[column] - max(LEAST[column], 16)))
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = (
        cell if len(cell) <= width else f"{cell[: width - 3]}..." for cell, width in zip(cells, widths, strict=True)
    )
    return "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(shown, widths, strict=True)).rstrip()


def _node(one: Unmanaged) -> str:
    return one.pod.node
