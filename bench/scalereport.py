"""What `make bench-scale` has measured, its aims, and the table of it. No I/O."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from auditcount import Verbs, reads, writes
from benchtable import Aim, grid, verdicts

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
    of the largest object of each kind, in bytes.
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

    def per_node(self, phase: Phase) -> tuple[float, float]:
        """Reads and writes for each node."""
        return reads(phase.requests) / self.nodes, writes(phase.requests) / self.nodes

    @property
    def steady_reads(self) -> float:
        """Reads a minute for each node, as many as there would be with an agent's own process on each node."""
        return self.per_node(self.steady)[0] / (self.steady.seconds / 60) + self.watches


def aims(results: Sequence[ScaleResult]) -> list[Aim]:
    """Every aim with its verdict. results: from the smallest cluster to the largest."""
    return [aim for result in results for aim in _of_one(result)] + [
        aim for smaller, larger in pairwise(results) for aim in _growth(smaller, larger)
    ]


def _of_one(result: ScaleResult) -> Iterator[Aim]:
    nodes = f"{result.nodes:,} nodes"
    _, made = result.per_node(result.adoption)
    yield Aim(f"{nodes}: writes per node, adoption", f"{made:.2f}", f"<= {ADOPTION_WRITES:g}", made <= ADOPTION_WRITES)
    stray = writes(result.steady.requests)
    yield Aim(f"{nodes}: writes, steady state", str(stray), "0", stray == 0)
    seen = result.steady_reads
    yield Aim(f"{nodes}: reads per node and minute, steady", f"{seen:.3f}", f"< {STEADY_READS:g}", seen < STEADY_READS)
    limit = next((most for up_to, most in MEMORY if result.nodes <= up_to), None)
    if limit is not None:
        most = result.operator_peak_mb
        yield Aim(f"{nodes}: operator's memory, the most", f"{most:.0f} MB", f"< {limit:.0f} MB", most < limit)


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


def table(results: Sequence[ScaleResult]) -> str:
    """Figures by cluster, requests by verb, and the aims; at most 80 columns for up to three clusters."""
    head = ["", *(f"{result.nodes:,} nodes" for result in results)]
    kinds = sorted({kind for result in results for kind in result.sizes})
    rows = [[what, *(value(result) for result in results)] for what, value in FIGURES]
    rows += [[f"{kind}, bytes", *(f"{result.sizes.get(kind, 0):,}" for result in results)] for kind in kinds]
    parts = [grid([head, *rows]), *(grid(_verbs(result)) for result in results)]
    parts += [grid(_targets(result)) for result in results]
    parts.append(verdicts(aims(results)))
    stray = [words for result in results for words in result.writes]
    if stray:
        parts.append("\n".join(["Writes in the steady state:", *stray[:20]]))
    return "\n\n".join(parts)


FIGURES: Sequence[tuple[str, Callable[[ScaleResult], str]]] = (
    ("adoption, seconds", lambda one: f"{one.adoption.seconds:.1f}"),
    ("  writes per node", lambda one: f"{one.per_node(one.adoption)[1]:.2f}"),
    ("  reads per node", lambda one: f"{one.per_node(one.adoption)[0]:.2f}"),
    ("  operator's CPU, seconds", lambda one: f"{one.adoption.cpu['operator']:.1f}"),
    ("  everybody's CPU, seconds", lambda one: f"{sum(one.adoption.cpu.values()):.1f}"),
    ("steady state, seconds", lambda one: f"{one.steady.seconds:.0f}"),
    ("  writes", lambda one: str(writes(one.steady.requests))),
    ("  reads per node and minute", lambda one: f"{one.steady_reads:.3f}"),
    ("  operator's CPU, of a core", lambda one: f"{one.steady.cpu['operator'] / one.steady.seconds:.1%}"),
    ("repair storm: files right, seconds", lambda one: f"{one.files:.2f}"),
    ("  status right, seconds", lambda one: f"{one.storm.seconds:.1f}"),
    ("  writes per node", lambda one: f"{one.per_node(one.storm)[1]:.2f}"),
    ("  operator's CPU, seconds", lambda one: f"{one.storm.cpu['operator']:.1f}"),
    ("operator's RSS / its peak, MB", lambda one: f"{one.operator_mb:.0f} / {one.operator_peak_mb:.0f}"),
    ("agents' RSS per node, MB", lambda one: f"{one.agents_mb / one.nodes:.2f}"),
)


def _targets(result: ScaleResult) -> list[list[str]]:
    """What an adoption writes most."""
    rows = [[what, str(count), f"{count / result.nodes:.2f}"] for what, count in result.adoption_writes.items()]
    return [[f"writes of an adoption, {result.nodes:,} nodes", "all", "per node"], *rows[:8]]


def _verbs(result: ScaleResult) -> list[list[str]]:
    """Requests of a cluster by program and verb."""
    phases = {"adoption": result.adoption, "steady": result.steady, "storm": result.storm}
    keys = sorted({(by, verb) for phase in phases.values() for by, verbs in phase.requests.items() for verb in verbs})
    rows = [
        [f"{by}: {verb}", *(str(phase.requests.get(by, {}).get(verb, 0)) for phase in phases.values())]
        for by, verb in keys
    ]
    return [[f"requests, {result.nodes:,} nodes", *phases], *rows]
