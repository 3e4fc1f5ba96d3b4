"""What `make bench-scale` has measured, its aims, and its tables: Markdown, as docs/performance.md has them. No I/O."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from auditcount import AGENTS, OPERATOR, Verbs, reads, writes
from benchtable import MISSED, Aim, markdown

ADOPTION_WRITES = 4.0
"""Writes for each node of an adoption, at most."""
STEADY_READS = 1.0
"""Reads a minute for each node in the steady state, less than."""
MEMORY = ((1000, 250.0), (5000, 500.0))
"""Up to so many nodes the operator may take so many MB."""
LINEAR = 1.25
"""A figure that belongs to each node may be so much more of it in the larger cluster: what the machine adds."""


@dataclass(frozen=True)
class Phase:
    """One stretch of time. requests: by program and verb. cpu: seconds by process, of ours and of the control plane."""

    seconds: float
    requests: Mapping[str, Verbs]
    cpu: Mapping[str, float]


@dataclass(frozen=True)
class ScaleResult:
    """One cluster.

    watches: that an agent opens in a minute, where hollow agents share one. files: seconds of the storm until every
    file is right. adoption_writes: by program, verb and resource. writes: those in the steady state, in words. sizes:
    of the largest object of each kind, in bytes. operator_ran: to the end, without losing its Lease or a crash.
    """

    nodes: int
    cilium: str
    adoption: Phase
    steady: Phase
    storm: Phase
    files: float
    watches: float
    adoption_writes: Verbs
    writes: Sequence[str]
    operator_mb: float
    operator_peak_mb: float
    agents_mb: float
    sizes: Mapping[str, int] = field(default_factory=dict)
    operator_ran: bool = True

    def per_node(self, phase: Phase) -> tuple[float, float]:
        """Reads and writes for each node."""
        return reads(phase.requests) / self.nodes, writes(phase.requests) / self.nodes

    @property
    def steady_reads(self) -> float:
        """Reads a minute for each node, as many as there would be with an agent's own process on each node."""
        return self.per_node(self.steady)[0] / (self.steady.seconds / 60) + self.watches


def result_of(data: Mapping[str, Any]) -> ScaleResult:
    """A cluster as `-o json` has it."""
    phases = {name: Phase(**data[name]) for name in ("adoption", "steady", "storm")}
    return ScaleResult(**{**data, **phases})


def aims(results: Sequence[ScaleResult]) -> list[Aim]:
    """Every aim with its verdict. results: from the smallest cluster to the largest."""
    return [aim for result in results for aim in _of_one(result)] + [
        aim for smaller, larger in pairwise(results) for aim in _growth(smaller, larger)
    ]


def _writes(result: ScaleResult) -> Aim:
    _, made = result.per_node(result.adoption)
    return Aim("writes per node, adoption", f"{made:.2f}", f"<= {ADOPTION_WRITES:g}", made <= ADOPTION_WRITES)


def _stray(result: ScaleResult) -> Aim:
    found = writes(result.steady.requests)
    return Aim("writes, steady state", str(found), "0", found == 0)


def _steady_reads(result: ScaleResult) -> Aim:
    seen = result.steady_reads
    return Aim("reads per node and minute", f"{seen:.3f}", f"< {STEADY_READS:g}", seen < STEADY_READS)


def _peak(result: ScaleResult) -> Aim | None:
    limit = next((most for up_to, most in MEMORY if result.nodes <= up_to), None)
    if limit is None:
        return None
    most = result.operator_peak_mb
    return Aim("operator's memory at most, MB", f"{most:.0f}", f"< {limit:.0f}", most < limit)


def _ran(result: ScaleResult) -> Aim:
    return Aim("operator outlives the storm", "yes" if result.operator_ran else "no", "yes", result.operator_ran)


def _of_one(result: ScaleResult) -> Iterator[Aim]:
    for aim in (_writes(result), _stray(result), _steady_reads(result), _ran(result), _peak(result)):
        if aim is not None:
            yield replace(aim, what=f"{result.nodes:,} nodes: {aim.what}")


def _growth(smaller: ScaleResult, larger: ScaleResult) -> Iterator[Aim]:
    """A figure for each node that grows with their number is not linear."""
    pairs = {
        "requests, adoption": (_requests(smaller.adoption), _requests(larger.adoption)),
        "operator's CPU, adoption": (smaller.adoption.cpu["operator"], larger.adoption.cpu["operator"]),
        "requests, repair storm": (_requests(smaller.storm), _requests(larger.storm)),
        "largest object": (max(smaller.sizes.values(), default=0), max(larger.sizes.values(), default=0)),
    }
    nodes = larger.nodes / smaller.nodes
    for what, (before, after) in pairs.items():
        grown = after / before if before else 0.0
        limit = LINEAR * nodes
        title = f"{smaller.nodes:,} to {larger.nodes:,} nodes: {what}"
        yield Aim(title, f"x {grown:.1f}", f"<= x {limit:.1f}", grown <= limit)


def _requests(phase: Phase) -> int:
    return reads(phase.requests) + writes(phase.requests)


Figure = tuple[str, Callable[[ScaleResult], str | Aim | None]]
FIGURES: Sequence[Figure] = (
    ("adoption, seconds", lambda one: f"{one.adoption.seconds:.1f}"),
    ("writes per node, adoption", _writes),
    ("of them operator / agents", lambda one: " / ".join(_by_program(one, one.adoption))),
    ("reads per node, adoption", lambda one: f"{one.per_node(one.adoption)[0]:.2f}"),
    ("operator's CPU, adoption, seconds", lambda one: f"{one.adoption.cpu['operator']:.1f}"),
    ("everybody's CPU, adoption, seconds", lambda one: f"{sum(one.adoption.cpu.values()):.0f}"),
    ("steady state, seconds", lambda one: f"{one.steady.seconds:.0f}"),
    ("writes, steady state", _stray),
    ("reads per node and minute", _steady_reads),
    ("operator's CPU, % of a core", lambda one: f"{100 * one.steady.cpu['operator'] / one.steady.seconds:.1f}"),
    ("storm: files right, seconds", lambda one: f"{one.files:.1f}"),
    ("storm: status right, seconds", lambda one: f"{one.storm.seconds:.1f}"),
    ("writes per node, storm", lambda one: f"{one.per_node(one.storm)[1]:.2f}"),
    ("operator's CPU, storm, seconds", lambda one: f"{one.storm.cpu['operator']:.1f}"),
    ("operator outlives the storm", _ran),
    ("operator's memory, MB", lambda one: f"{one.operator_mb:.0f}"),
    ("operator's memory at most, MB", _peak),
    ("agents' memory per node, MB", lambda one: f"{one.agents_mb / one.nodes:.2f}"),
)
MOST_TARGETS = 6


def tables(results: Sequence[ScaleResult]) -> str:
    """Figures by cluster with their aims, how they grow, what an adoption writes most, and writes that are strays."""
    clusters = [f"{result.nodes:,} nodes" for result in results]
    kinds = sorted({kind for result in results for kind in result.sizes})
    rows = [["what", *clusters, "aim"], *(_row(what, [value(one) for one in results]) for what, value in FIGURES)]
    rows += [_row(f"{_short(kind)}, bytes", [f"{one.sizes.get(kind, 0):,}" for one in results]) for kind in kinds]
    parts = [markdown(rows)]
    growth = [aim for smaller, larger in pairwise(results) for aim in _growth(smaller, larger)]
    if growth:
        grown = [[aim.what, _marked(aim), aim.limit] for aim in growth]
        parts.append(markdown([["growth", "is", "aim"], *grown]))
    parts.append(markdown([["writes of an adoption, per node", *clusters], *_targets(results)]))
    stray = [words for result in results for words in result.writes]
    if stray:
        parts.append("\n".join(["Writes in the steady state:", *stray[:20]]))
    return "\n\n".join(parts)


def _short(kind: str) -> str:
    """A ConfigMap by what is in it."""
    return kind.replace("ConfigMap cnichain-", "ConfigMap ").removesuffix("-default")


def _row(what: str, values: Sequence[str | Aim | None]) -> list[str]:
    """One figure of each cluster, and its aim where it has one."""
    limits = dict.fromkeys(value.limit for value in values if isinstance(value, Aim))
    cells = [_marked(value) if isinstance(value, Aim) else value or "" for value in values]
    return [what, *cells, ", ".join(limits)]


def _marked(aim: Aim) -> str:
    return aim.measured if aim.held else f"{aim.measured} {MISSED}"


def _by_program(result: ScaleResult, phase: Phase) -> list[str]:
    made = (writes({name: phase.requests.get(name, {})}) for name in (OPERATOR, AGENTS))
    return [f"{count / result.nodes:.2f}" for count in made]


def _targets(results: Sequence[ScaleResult]) -> list[list[str]]:
    """What the adoption of the largest cluster writes most, and how much of it there is in each."""
    most = [target for result in reversed(results) for target in result.adoption_writes][:MOST_TARGETS]
    return [
        [target, *(f"{one.adoption_writes.get(target, 0) / one.nodes:.2f}" for one in results)]
        for target in dict.fromkeys(most)
    ]
