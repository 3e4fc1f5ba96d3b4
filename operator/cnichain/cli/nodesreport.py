"""What `cnichain nodes` prints: one line per node, its trouble below it, and the chains that nodes have. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cnichain.api.times import parse_rfc3339
from cnichain.cli.layout import Mark, Style, Table, age, fix_of, shared_suffix, wrap
from cnichain.plan.nodes import NodeRecord, chain_node_record

TABLE = Table(("NODE", "STATE", "FILE", "WRITER", "DRIFTS", "REPAIR"), shrink=(2, 0, 1), least=12)
NO_REPORT = "NoReport"
"""State of a node in scope that has no CNIChainNode, or whose agent has not reported yet."""


@dataclass(frozen=True)
class NodeRow:
    """One node. file: the one that a runtime picks. writer: who wrote the chained conflist last."""

    name: str
    state: str
    ready: bool
    reason: str = ""
    message: str = ""
    file: str = ""
    plugins: tuple[str, ...] = ()
    writer: str = ""
    drifts: int = 0
    repairs: int = 0
    last_repair: str = ""
    last_cause: str = ""
    runtime: str = ""


def rows(items: Sequence[Mapping[str, Any]], scope: Mapping[str, NodeRecord]) -> list[NodeRow]:
    """All CNIChainNodes, and the nodes in scope without one, by name.

    scope: nodes that the chain is for; empty when nodes could not be listed.
    """
    found = {item["metadata"]["name"]: _row(item, scope) for item in items}
    for name, node in scope.items():
        if name not in found:
            why = "no CNIChainNode yet" if node.chained else "runs the primary alone until its wave is open"
            found[name] = NodeRow(name, NO_REPORT, ready=False, message=f"{why}.")
    return [found[name] for name in sorted(found)]


def _row(item: Mapping[str, Any], scope: Mapping[str, NodeRecord]) -> NodeRow:
    record, status = chain_node_record(item), item.get("status") or {}
    node = scope.get(record.name)
    if node is not None and record.node_uid not in {"", node.uid}:
        return NodeRow(
            record.name, NO_REPORT, ready=False, message="its CNIChainNode is of a node of this name before."
        )
    if not record.state:
        return NodeRow(record.name, NO_REPORT, ready=False, message="no report from its agent yet.")
    repairs, last = status.get("repairs") or {}, status.get("lastRepair") or {}
    return NodeRow(
        name=record.name,
        state=record.state,
        ready=record.verified,
        reason=record.reason,
        message=record.message,
        file=record.effective_file,
        plugins=record.plugins,
        writer=str(status.get("lastWriter") or ""),
        drifts=int(repairs.get("drifts") or 0),
        repairs=int(repairs.get("total") or 0),
        last_repair=str(last.get("time") or ""),
        last_cause=str(last.get("cause") or ""),
        runtime=str((status.get("runtime") or {}).get("view") or ""),
    )


def as_text(shown: Sequence[NodeRow], total: int, now: datetime, style: Style) -> str:
    """The table. total: how many nodes there are."""
    if not shown:
        return f"No node to show, of {total}." if total else "No node is in scope, and none has a CNIChainNode."
    suffix = shared_suffix([row.name for row in shown])
    head, *lines = TABLE.lines([_cells(row, suffix, now) for row in shown], "  ")
    told = [head]
    for row, line in zip(shown, lines, strict=True):
        told.append(f"{style.sign(Mark.GOOD if row.ready else Mark.BAD)} {line[2:]}")
        if not row.ready:
            told += _trouble(row)
    told.append("")
    if suffix:
        told += wrap(f"Names of nodes end in {suffix}", "")
    told += _chains(shown, suffix, style)
    ready = sum(row.ready for row in shown)
    told.append(f"{ready} of {len(shown)} nodes are verified" + (f"; {total} in all." if total > len(shown) else "."))
    return "\n".join(told)


def _cells(row: NodeRow, suffix: str, now: datetime) -> tuple[str, ...]:
    moment = parse_rfc3339(row.last_repair)
    repaired = age((now - moment).total_seconds()) if moment else "-"
    name = row.name.removesuffix(suffix)
    return name, row.state, row.file or "-", row.writer or "-", str(row.drifts), repaired


def _trouble(row: NodeRow) -> Iterator[str]:
    words = f"{row.reason}: {row.message}" if row.reason else row.message
    if words:
        yield from wrap(words, "    ")
    if row.reason and (fix := fix_of(row.reason)):
        yield from wrap(fix, "    -> ", "       ")


def _chains(shown: Sequence[NodeRow], suffix: str, style: Style) -> Iterator[str]:
    """Each chain once, the most frequent first, with the names of the nodes where only some have it."""
    chains = Counter(row.plugins for row in shown if row.plugins)
    for plugins, number in chains.most_common():
        some = [row.name.removesuffix(suffix) for row in shown if row.plugins == plugins][:3]
        more = f" and {number - len(some)} more" if number > len(some) else ""
        where = f"{number} nodes" if len(chains) == 1 and number > 1 else f"{', '.join(some)}{more}"
        yield from wrap(f"Chain on {where}: {style.arrow.join(plugins)}", "", "  ")


def as_data(shown: Sequence[NodeRow], total: int) -> dict[str, Any]:
    """The same for programs."""
    return {
        "total": total,
        "verified": sum(row.ready for row in shown),
        "nodes": [
            {
                "name": row.name,
                "state": row.state,
                "ready": row.ready,
                "reason": row.reason,
                "message": row.message,
                "fix": "" if row.ready or not row.reason else fix_of(row.reason),
                "effectiveFile": row.file,
                "plugins": list(row.plugins),
                "lastWriter": row.writer,
                "runtime": row.runtime,
                "repairs": {"total": row.repairs, "drifts": row.drifts},
                "lastRepair": {"time": row.last_repair, "cause": row.last_cause} if row.last_repair else None,
            }
            for row in shown
        ],
    }
