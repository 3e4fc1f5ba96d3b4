"""What `make bench-soak` has seen, its aims, and the tables of it. No I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from auditcount import LEASES, Request
from benchtable import MISSED, Aim
from steadiness import Trend, after_warm_up, peaks, trend

MEMORY = {"operator": 2.0, "agent": 1.0}
"""MB that the line through a process's memory may rise by. The agent, a fifth of the operator's size, has no passes."""
FILES = 2
"""Open files, or threads, that there may be more of at most in the second half: connections are opened and closed."""
QUIET = "quiet"
FORBIDDEN = 403


@dataclass(frozen=True)
class Sample:
    """One process at one moment. seconds: since the chain was Ready. cpu: seconds, all so far."""

    seconds: float
    rss: float
    cpu: float
    files: int
    threads: int


@dataclass(frozen=True)
class Limit:
    """How many writes of one kind there may be, for each thing that is touched, and besides."""

    least: float = 0.0
    most: float = 0.0
    besides: int = 0

    def text(self, touched: int) -> str:
        """`5 to 10`."""
        least, most = self.bounds(touched)
        return str(most) if least == most else f"{least} to {most}"

    def bounds(self, touched: int) -> tuple[int, int]:
        """The fewest and the most."""
        return int(self.least * touched), int(self.most * touched) + self.besides


Limits = Mapping[str, Limit]
"""By program, verb and resource, as `agents: patch cnichainnodes/status`."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time: quiet, or one event until it has settled. writes: by program, verb and resource, but for the
    Lease. named: the same with names, for people. refused: requests that the roles do not allow."""

    what: str
    seconds: float
    touched: int
    writes: Mapping[str, int]
    named: Sequence[str]
    refused: Sequence[str]
    leases: int


@dataclass(frozen=True)
class SoakResult:
    """One run. samples: by process. limits: by event. starts_api: the event in which the API server starts, which
    knows no role at first. reapplied: how often the manifest was applied again. ready: at the end."""

    nodes: int
    cilium: str
    seconds: float
    samples: Mapping[str, Sequence[Sample]]
    stretches: Sequence[Stretch]
    limits: Mapping[str, Limits]
    starts_api: str
    reapplied: int
    ready: bool


def stretch(what: str, seconds: float, touched: int, requests: Iterable[Request]) -> Stretch:
    """Count the requests of a stretch."""
    found = list(requests)
    made = [one for one in found if one.is_change]
    return Stretch(
        what,
        seconds,
        touched,
        dict(Counter(f"{one.program}: {one.verb} {one.resource}" for one in made).most_common()),
        [str(one) for one in made],
        [str(one) for one in found if one.code == FORBIDDEN],
        sum(1 for one in found if one.is_write and one.resource == LEASES),
    )


def wrong_writes(stretch_: Stretch, limits: Limits) -> list[str]:
    """What a stretch has written that it should not have, or has not written that it should."""
    wrong = []
    for target in sorted({*stretch_.writes, *limits}):
        count, limit = stretch_.writes.get(target, 0), limits.get(target, Limit())
        least, most = limit.bounds(stretch_.touched)
        if not least <= count <= most:
            wrong.append(f"{target}: {count}, not {limit.text(stretch_.touched)}")
    return wrong


def line(samples: Sequence[Sample]) -> Trend:
    """The line through the memory of a process."""
    return trend([one.seconds for one in samples], [one.rss for one in samples])


def aims(result: SoakResult) -> list[Aim]:
    """Every aim with its verdict."""
    return [*_steady(result), *_written_as_expected(result)]


def _steady(result: SoakResult) -> Iterator[Aim]:
    """Of each process that has a bound."""
    for process, bound in MEMORY.items():
        samples = result.samples[process]
        memory = line(samples)
        measured = f"{memory.rise:+.2f} MB, noise {memory.noise:.2f} MB"
        yield Aim(f"{process}: memory rises by", measured, f"<= {bound:g} MB", memory.is_flat(bound))
        times = [one.seconds for one in samples]
        counted = {"files": [one.files for one in samples], "threads": [one.threads for one in samples]}
        for what, values in counted.items():
            before, after = peaks(times, values)
            held = after - before <= FILES
            yield Aim(f"{process}: open {what} at most, by halves", f"{before:.0f}, {after:.0f}", f"<= +{FILES}", held)


def forbidden(result: SoakResult) -> list[tuple[int, str]]:
    """Requests that the roles do not allow, with the number of the stretch; those to an API server that starts do not
    count."""
    seen = [(number, one) for number, one in enumerate(result.stretches, 1) if one.what != result.starts_api]
    return [(number, words) for number, one in seen for words in one.refused]


def _written_as_expected(result: SoakResult) -> Iterator[Aim]:
    quiet = [one for one in result.stretches if one.what == QUIET]
    stray = sum(sum(one.writes.values()) for one in quiet)
    minutes = sum(one.seconds for one in quiet) / 60
    yield Aim(f"writes in {minutes:.1f} quiet minutes", str(stray), "0", stray == 0 and bool(quiet))
    for what, limits in result.limits.items():
        seen = [one for one in result.stretches if one.what == what]
        right = [one for one in seen if not wrong_writes(one, limits)]
        if seen:
            yield Aim(f"writes as expected: {what}", f"{len(right)} of {len(seen)}", "all", right == seen)
    refused = len(forbidden(result))
    yield Aim("requests that the roles forbid", str(refused), "0", refused == 0)
    yield Aim("Ready at the end", "yes" if result.ready else "no", "yes", result.ready)


def problems(result: SoakResult) -> list[str]:
    """In words: each write that was not expected, and each request that was refused."""
    told = []
    for number, one in enumerate(result.stretches, 1):
        place = f"stretch {number} ({one.what}, {one.seconds:.0f} s)"
        if one.what == QUIET:
            told += [f"{place}: {write}" for write in one.named]
        elif wrong := wrong_writes(one, result.limits.get(one.what, {})):
            told += [f"{place}: {words}" for words in wrong]
    return told + [f"stretch {number}: forbidden: {words}" for number, words in forbidden(result)]


def report(result: SoakResult) -> str:
    """Markdown for docs/performance.md: the processes, what was written, the aims."""
    parts = [markdown(_processes(result)), markdown(_written(result)), _beside(result), markdown(_verdicts(result))]
    if told := problems(result):
        parts.append("\n".join(["What is wrong:", "", *(f"- {words}" for words in told[:40])]))
    return "\n\n".join(parts)


def _beside(result: SoakResult) -> str:
    """What is no row."""
    leases = sum(one.leases for one in result.stretches) / result.seconds * 60
    refused = [len(one.refused) for one in result.stretches if one.what == result.starts_api]
    texts = [
        f"The manifest was applied again {result.reapplied} times. The Lease was renewed {leases:.1f} times a minute."
    ]
    if refused:
        counts = ", ".join(map(str, refused))
        texts.append(f"An API server that starts knows no role yet and forbade {counts} requests.")
    return " ".join(texts)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" if row else "|---" * len(head) + "|" for row in [head, [], *body])


def _processes(result: SoakResult) -> list[list[str]]:
    processes = list(result.samples.values())
    kept = [_counted(samples) for samples in processes]
    through = [line(samples) for samples in processes]
    minutes = f"{result.nodes} nodes, {result.seconds / 60:.0f} minutes"
    return [
        [minutes, *result.samples],
        ["RSS when Ready / at the end", *(f"{one[0].rss:.1f} / {one[-1].rss:.1f} MB" for one in processes)],
        ["RSS after the warm-up", *(_span([one.rss for one in samples], ".1f", " MB") for samples in kept)],
        ["slope after the warm-up", *(f"{one.per_hour:+.2f} MB/h" for one in through)],
        ["noise, p95", *(f"{one.noise:.2f} MB" for one in through)],
        ["CPU, of a core", *(f"{_cpu(samples):.3%}" for samples in processes)],
        ["open files after the warm-up", *(_span([one.files for one in samples], "d") for samples in kept)],
        ["threads after the warm-up", *(_span([one.threads for one in samples], "d") for samples in kept)],
    ]


def _counted(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those after the warm-up."""
    return samples[after_warm_up([one.seconds for one in samples]) :]


def _cpu(samples: Sequence[Sample]) -> float:
    return (samples[-1].cpu - samples[0].cpu) / (samples[-1].seconds - samples[0].seconds)


def _span(values: Sequence[float], form: str, unit: str = "") -> str:
    return f"{min(values):{form}} to {max(values):{form}}{unit}"


def _written(result: SoakResult) -> list[list[str]]:
    """What was written, by event."""
    rows = [["stretch", "times", "seconds", "writes, each time", "expected"]]
    for what in dict.fromkeys([QUIET, *(one.what for one in result.stretches)]):
        seen = [one for one in result.stretches if one.what == what]
        if not seen:
            continue
        limits = result.limits.get(what, {})
        seconds = f"{sum(one.seconds for one in seen):.0f}"
        targets = sorted({*limits, *(key for one in seen for key in one.writes)})
        if not targets:
            rows.append([what, str(len(seen)), seconds, "none", "none"])
        for index, target in enumerate(targets):
            counts = [one.writes.get(target, 0) for one in seen]
            limit = limits.get(target, Limit()).text(max(one.touched for one in seen))
            begin = [what, str(len(seen)), seconds] if index == 0 else ["", "", ""]
            rows.append([*begin, f"{target}: {', '.join(map(str, counts))}", limit])
    return rows


def _verdicts(result: SoakResult) -> list[list[str]]:
    rows = [[aim.what, aim.measured, aim.limit, "" if aim.held else MISSED] for aim in aims(result)]
    return [["aim", "is", "should be", ""], *rows]
