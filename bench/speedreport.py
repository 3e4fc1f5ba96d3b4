"""What `make bench` has measured, its aims, and the table of it. No I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchtable import MISSED, Aim, markdown, spread

CHEAPER = 10.0
"""So many times cheaper than helm's is our unchanged pass."""
HELP_SECONDS = 0.15


@dataclass(frozen=True)
class Cost:
    """cpu: seconds, of the operator (with the helm that it starts) or of helm; of kubectl nothing is counted."""

    seconds: float
    cpu: float
    reads: int
    writes: int


@dataclass(frozen=True)
class Import:
    """seconds: of the import alone. mb: of the process with it."""

    seconds: float
    mb: float


@dataclass
class Speed:
    """Everything of a run, each list in the order in which it was measured."""

    nodes: int
    cilium: str
    install: list[Cost] = field(default_factory=list)
    helm_install: list[Cost] = field(default_factory=list)
    unchanged: list[Cost] = field(default_factory=list)
    helm_unchanged: list[Cost] = field(default_factory=list)
    help: list[float] = field(default_factory=list)
    bare_python: list[float] = field(default_factory=list)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    operator_start: list[float] = field(default_factory=list)
    operator_start_mb: list[float] = field(default_factory=list)
    operator_mb: float = 0.0


Figure = Callable[[Cost], float]
FIGURES: Sequence[tuple[str, Figure, str]] = (
    ("seconds", lambda cost: cost.seconds, ".2f"),
    ("CPU seconds", lambda cost: cost.cpu, ".2f"),
    ("reads", lambda cost: cost.reads, ".0f"),
    ("writes", lambda cost: cost.writes, ".0f"),
)

REQUESTS: tuple[str, Figure, str] = ("requests", lambda cost: cost.reads + cost.writes, ".1f")


def aims(speed: Speed) -> list[Aim]:
    """Every aim with its verdict."""
    ours, helm = _middle(speed.install), _middle(speed.helm_install)
    found = [Aim("install, seconds", f"{ours:.2f}", f"<= {helm:.2f} (helm)", ours <= helm)]
    for what, figure, form in (*FIGURES[:2], REQUESTS):
        ours, helm = _middle(speed.unchanged, figure), _middle(speed.helm_unchanged, figure)
        limit = helm / CHEAPER
        found.append(Aim(f"unchanged, {what}", f"{ours:{form}}", f"<= {limit:{form}} (helm / 10)", ours <= limit))
    stray = max(cost.writes for cost in speed.unchanged)
    found.append(Aim("unchanged, writes", str(stray), "0", stray == 0))
    helped = median(speed.help)
    wanted = f"< {HELP_SECONDS * 1000:.0f} ms"
    found.append(Aim("cnichain --help", f"{helped * 1000:.0f} ms", wanted, helped < HELP_SECONDS))
    return found


def _middle(costs: Sequence[Cost], figure: Figure = FIGURES[0][1]) -> float:
    return median(figure(cost) for cost in costs)


def table(speed: Speed) -> str:
    """Markdown: medians with the smallest and the largest, and the aims."""
    rows = [[aim.what, aim.measured, aim.limit, "" if aim.held else MISSED] for aim in aims(speed)]
    return "\n\n".join([_pairs(speed), _starts(speed), markdown([["aim", "is", "should be", ""], *rows])])


def _pairs(speed: Speed) -> str:
    sides = (
        (f"install ({len(speed.install)})", speed.install, speed.helm_install),
        (f"unchanged ({len(speed.unchanged)})", speed.unchanged, speed.helm_unchanged),
    )
    rows = [[f"{speed.nodes} nodes, Cilium {speed.cilium}", "CNIChain", "helm", "times"]]
    for title, ours, helm in sides:
        for what, figure, form in FIGURES:
            mine, other = [figure(cost) for cost in ours], [figure(cost) for cost in helm]
            ratio = f"{median(other) / median(mine):.1f}" if median(mine) else ""
            rows.append([f"{title}: {what}", spread(mine, form), spread(other, form), ratio])
    return markdown(rows)


def _starts(speed: Speed) -> str:
    def milliseconds(seconds: Sequence[float]) -> str:
        return spread([1000 * value for value in seconds], ".0f")

    rows = [["start-up", "ms", "MB"]]
    rows.append(["python -c pass", milliseconds(speed.bare_python), ""])
    rows.append(["cnichain --help", milliseconds(speed.help), ""])
    for program, found in speed.imports.items():
        memory = f"{median(one.mb for one in found):.1f}"
        rows.append([f"imports of {program}", milliseconds([one.seconds for one in found]), memory])
    memory = f"{median(speed.operator_start_mb):.1f}"
    rows.append(["operator, start to /readyz", milliseconds(speed.operator_start), memory])
    rows.append(["operator, with a Ready chain", "", f"{speed.operator_mb:.1f}"])
    return markdown(rows)
