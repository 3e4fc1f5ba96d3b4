"""A plan as text for a terminal of 80 columns. Pure."""

import textwrap
from collections.abc import Iterable, Iterator

from cnichain.plan.model import Action, Field, Plan, Roll

COLUMNS = 80
SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.RECREATE: "±", Action.PRUNE: "-"}
LEGEND = "+ create   ~ change   ± delete and make anew   - prune"


def plan_text(plan: Plan, state: str) -> str:
    """The whole plan. state: one sentence on where it stands."""
    lines = [*_wrapped(f"Plan {plan.digest}: {plan.summary}.", ""), *_wrapped(state, ""), ""]
    for item in plan.items:
        lines += _wrapped(f"{SIGNS[item.action]} {item.key}", "", "    ")
        lines += _wrapped(f"({item.note})", "    ") if item.note else []
        lines += _fields(item.fields)
    if plan.nodes:
        lines.append(f"~ CNIChainNode of {plan.nodes.nodes} nodes")
        lines += _fields(plan.nodes.fields)
    lines += ["", LEGEND]
    if plan.rolls:
        lines += ["", "Pods that restart:"]
        lines += (line for roll in plan.rolls for line in _roll(roll))
    return "\n".join(lines) + "\n"


def _roll(roll: Roll) -> Iterator[str]:
    note = f", {roll.note}" if roll.note else ""
    yield from _wrapped(f"{roll.key}: {roll.pods} pods{note}", "  ", "    ")
    if roll.fields:
        yield from _wrapped(f"because of {', '.join(roll.fields)}", "    ")


def _fields(fields: Iterable[Field]) -> Iterator[str]:
    for one in fields:
        if one.before is None and one.after is None:
            yield from _wrapped(f"~ {one.path} (its values are secret)", "    ", "      ")
            continue
        sign = "~" if one.before is not None and one.after is not None else "+" if one.before is None else "-"
        yield from _wrapped(f"{sign} {one.path}", "    ", "      ")
        for mark, value in (("-", one.before), ("+", one.after)):
            if value is not None:
                yield from _wrapped(f"{mark} {' '.join(value.split()) or '(empty)'}", "        ", "          ")


def _wrapped(text: str, indent: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent if rest is None else rest,
        break_on_hyphens=False,
    )
