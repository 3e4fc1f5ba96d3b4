"""Fixtures of the tests of what is shown to Prometheus."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Harness, harness


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> Iterator[Harness]:
    """One control plane for the tests of a module, which run in the order in which they stand."""
    with harness(tmp_path_factory.mktemp("monitoring"), chart_dir) as running:
        yield running
