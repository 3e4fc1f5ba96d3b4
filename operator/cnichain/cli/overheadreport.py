"""What the chain costs, as tables for a terminal of 80 columns, and as data. Pure."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from cnichain.api.overheadstatus import NodeOverhead, OverheadStatus, PodStarts
from cnichain.cli.common import COLUMNS
from cnichain.plan.overhead import BY_NAME

NOT_KNOWN = "-"


def as_text(found: OverheadStatus, why_not: str) -> str:
    """Parts, nodes and starts of pods. why_not: why usage was not measured, "" if it was."""
    not_measured = textwrap.wrap(f"CPU and memory: not measured, {why_not}", COLUMNS, break_long_words=False)
    lines = _usage(found) if found.cpu_millicores is not None else not_measured
    lines += ["", *_starts(found.pods_before, found.pods_after)]
    return "\n".join(lines)


def as_data(found: OverheadStatus, why_not: str) -> dict[str, Any]:
    """The same for programs: as status.overhead, and why usage is missing."""
    data = found.model_dump(by_alias=True, exclude_none=True, exclude={"since"})
    return {**data, **({"notMeasured": why_not} if why_not else {})}


def _usage(found: OverheadStatus) -> list[str]:
    rows: list[tuple[str, ...]] = [("PART", "PODS", "CPU", "MEMORY", "MOST CPU", "MOST MEMORY")]
    for part in found.parts:
        used = (_cores(part.cpu_millicores), _mebibytes(part.memory_mebibytes))
        most = (_cores(part.most_cpu_millicores), _mebibytes(part.most_memory_mebibytes))
        name = f"{part.name} (the primary)" if BY_NAME[part.name].primary else part.name
        rows.append((name, str(part.pods), *used, *most))
    added = (_cores(found.cpu_millicores or 0), _mebibytes(found.memory_mebibytes or 0))
    pods = sum(part.pods for part in found.parts if not BY_NAME[part.name].primary)
    rows.append(("all but the primary", str(pods), *added, "", ""))
    return [*_table(rows), *(_per_node(found.per_node) if found.per_node else [])]


def _per_node(node: NodeOverhead) -> list[str]:
    average = f"{_cores(node.cpu_millicores)} and {_mebibytes(node.memory_mebibytes)}"
    most = f"{_cores(node.most_cpu_millicores)} and {_mebibytes(node.most_memory_mebibytes)}"
    return ["", f"A node pays {average} on average, {most} at most", f"({node.nodes} nodes, without the primary)."]


def _starts(before: PodStarts | None, after: PodStarts | None) -> list[str]:
    if before is None and after is None:
        return ["Start of pods: no pod tells how long it took."]
    rows: list[tuple[str, ...]] = [("START OF PODS", "PODS", "NETWORK", "P90", "FIRST CONTAINER", "P90")]
    for name, pods in (("before the chain", before), ("with the chain", after)):
        if pods is None:
            rows.append((name, "0", *[NOT_KNOWN] * 4))
            continue
        network = _time(pods.network_milliseconds), _whole(pods.network_p90_seconds)
        started = _time(pods.started_milliseconds), _whole(pods.started_p90_seconds)
        rows.append((name, str(pods.pods), *network, *started))
    differs = _difference(before, after)
    return [
        *_table(rows),
        *([f"The chain adds {differs} to the network of a pod."] if differs else []),
        "From scheduled on; averages of the fastest nine of ten. Kubelet tells whole",
        "seconds, so a difference means something only over many pods.",
    ]


def _difference(before: PodStarts | None, after: PodStarts | None) -> str:
    if before is None or after is None or before.network_milliseconds is None or after.network_milliseconds is None:
        return ""
    return f"{(after.network_milliseconds - before.network_milliseconds) / 1000:+.2f} s"


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns two blanks apart, the first to the left and the figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *figures in rows:
        cells = [f"{name:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(figures, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def _cores(millicores: int) -> str:
    return f"{millicores}m" if millicores < 10_000 else f"{millicores / 1000:.1f}"


def _mebibytes(amount: int) -> str:
    return f"{amount}Mi" if amount < 10_240 else f"{amount / 1024:.1f}Gi"


def _time(milliseconds: int | None) -> str:
    return NOT_KNOWN if milliseconds is None else f"{milliseconds / 1000:.2f}s"


def _whole(seconds: int | None) -> str:
    return NOT_KNOWN if seconds is None else f"{seconds}s"
