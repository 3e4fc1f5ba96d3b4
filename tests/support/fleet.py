"""A fleet: fifty fake nodes in three zones and two node groups, with a real agent each, in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Harness, harness

NODES = 50
POOLS = ("general", "memory")


@contextmanager
def fleet(work: Path, chart_dir: Path, nodes: int = NODES) -> Iterator[Harness]:
    """A fresh control plane as `harness` makes it, with hollow agents (cnichain.dev.hollow) on all nodes."""
    with harness(work, chart_dir, nodes=nodes, pools=POOLS) as world, world.hollow_agents():
        yield world
