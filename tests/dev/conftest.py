"""A control plane of the module's own, and ways to look at what it left behind."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnichain.dev.background import down
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.toolchain import Toolbox, ensure

Until = Callable[..., None]


@pytest.fixture(scope="session")
def toolbox() -> Toolbox:
    return ensure("controlplane")


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[ControlPlane]:
    """Three EKS-like nodes with their folders, and the stand-ins."""
    with ControlPlane.run(tmp_path_factory.mktemp("eks"), nodes=3, eks=True, toolbox=toolbox) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a control plane in the background, which is stopped in any case."""
    directory = tmp_path / "cluster"
    yield directory
    if directory.exists():
        down(directory)


@pytest.fixture
def until() -> Until:
    """Look again until the condition holds; fail with `what` after `seconds`."""

    def wait(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def processes_of() -> Callable[[Path], dict[int, str]]:
    """Living processes whose command line names the folder: pid to command line."""

    def look(directory: Path) -> dict[int, str]:
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended while we looked
            if str(directory) in command:
                found[int(entry.name)] = command
        return found

    return look
