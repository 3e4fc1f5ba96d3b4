"""One control plane for the chaos tests of a module, which run in the order in which they stand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Harness, harness


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> Iterator[Harness]:
    """A control plane with agents on its nodes, and no operator yet."""
    with harness(tmp_path_factory.mktemp("chaos"), chart_dir) as running, running.agents():
        yield running
