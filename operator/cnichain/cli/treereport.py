"""What `cnichain tree` prints: the CNIChain, what it owns by stage, and its nodes, each with how it is. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from cnichain.api.names import KIND_CHAIN, KIND_NODE, SINGLETON
from cnichain.api.objects import ObjectKey
from cnichain.cli.chainview import ChainView
from cnichain.cli.layout import Mark, Style, cut
from cnichain.cli.nodesreport import NodeRow
from cnichain.render.stages import Stage

COLUMNS = 80
NAMED_NODES = 5
BRANCH, LAST, BAR, SPACE = "├─ ", "└─ ", "│  ", "   "
PLAIN = {BRANCH: "|- ", LAST: "`- ", BAR: "|  ", SPACE: "   "}


@dataclass(frozen=True)
class Leaf:
    """An object of the inventory. healthy: None when it could not be looked at. message: what is missing."""

    stage: str
    key: ObjectKey
    healthy: bool | None
    message: str = ""

    @property
    def mark(self) -> Mark:
        """What its sign says."""
        return Mark.NONE if self.healthy is None else Mark.GOOD if self.healthy else Mark.BAD


def is_well(leaves: Sequence[Leaf], nodes: Sequence[NodeRow]) -> bool:
    """Whether everything that could be looked at does its job."""
    return all(leaf.healthy is not False for leaf in leaves) and all(row.ready for row in nodes)


def as_text(view: ChainView, leaves: Sequence[Leaf], nodes: Sequence[NodeRow], style: Style) -> str:
    """The tree."""
    ready = view.condition("Ready")
    word = f"{ready.status} ({ready.reason})" if ready else "not known"
    root = f"{style.sign(Mark.GOOD if view.is_ready else Mark.BAD)} {KIND_CHAIN} {SINGLETON}  Ready: {word}"
    order = {stage.value: place for place, stage in enumerate(Stage)}
    ordered = sorted(leaves, key=lambda leaf: (order.get(leaf.stage, len(order)), leaf.stage, leaf.key))
    groups = [(stage, list(members)) for stage, members in groupby(ordered, key=lambda leaf: leaf.stage)]
    lines = [root]
    for stage, members in groups:
        lines += _branch(f"stage {stage}: {_summary(members)}", [_leaf(one) for one in members], style, last=False)
    lines += _branch(_nodes_head(nodes), _node_lines(nodes), style, last=True)
    return "\n".join(lines)


def _branch(head: str, children: Sequence[tuple[Mark, str]], style: Style, *, last: bool) -> Iterator[str]:
    drawn = PLAIN if style.plain else {key: key for key in PLAIN}
    marks = {mark for mark, _ in children}
    worst = Mark.BAD if Mark.BAD in marks else Mark.NONE if Mark.NONE in marks else Mark.GOOD
    yield f"{drawn[LAST if last else BRANCH]}{style.sign(worst)} {cut(head, COLUMNS - 5)}"
    for number, (mark, text) in enumerate(children):
        edge = drawn[SPACE if last else BAR] + drawn[LAST if number == len(children) - 1 else BRANCH]
        yield f"{edge}{style.sign(mark)} {cut(text, COLUMNS - len(edge) - 2)}"


def _summary(members: Sequence[Leaf]) -> str:
    bad = sum(leaf.healthy is False for leaf in members)
    unknown = sum(leaf.healthy is None for leaf in members)
    told = f"{len(members)} objects" if len(members) != 1 else "1 object"
    return told + (f", {bad} not healthy" if bad else "") + (f", {unknown} not looked at" if unknown else "")


def _leaf(one: Leaf) -> tuple[Mark, str]:
    # The message names the object again, which the line has just done.
    said = one.message.removeprefix(str(one.key)).lstrip(": ")
    return one.mark, f"{one.key}  {said}".rstrip()


def _nodes_head(nodes: Sequence[NodeRow]) -> str:
    states = Counter(row.state for row in nodes)
    told = ", ".join(f"{number} {state}" for state, number in states.most_common())
    return f"{KIND_NODE}s: {sum(row.ready for row in nodes)}/{len(nodes)} verified" + (f" ({told})" if told else "")


def _node_lines(nodes: Sequence[NodeRow]) -> list[tuple[Mark, str]]:
    bad = [row for row in nodes if not row.ready]
    lines = [(Mark.BAD, f"{row.name}  {row.state} {row.reason}".rstrip()) for row in bad[:NAMED_NODES]]
    if len(bad) > NAMED_NODES:
        lines.append((Mark.BAD, f"and {len(bad) - NAMED_NODES} more: cnichain nodes --not-verified"))
    return lines


def as_data(view: ChainView, leaves: Sequence[Leaf], nodes: Sequence[NodeRow]) -> Mapping[str, Any]:
    """The same for programs."""
    ready = view.condition("Ready")
    return {
        "kind": KIND_CHAIN,
        "name": SINGLETON,
        "ready": view.is_ready,
        "reason": ready.reason if ready else "",
        "objects": [
            {
                "stage": leaf.stage,
                "apiVersion": leaf.key.api_version,
                "kind": leaf.key.kind,
                "namespace": leaf.key.namespace,
                "name": leaf.key.name,
                "healthy": leaf.healthy,
                "message": leaf.message,
            }
            for leaf in leaves
        ],
        "nodes": {
            "total": len(nodes),
            "verified": sum(row.ready for row in nodes),
            "byState": dict(Counter(row.state for row in nodes)),
            "notVerified": [row.name for row in nodes if not row.ready],
        },
    }
