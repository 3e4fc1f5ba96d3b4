"""Commands in this process, with the real helm and the real charts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from click.testing import CliRunner

from cnichain.cli.main import root
from cnichain.dev.toolchain import ensure


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Run `cnichain` with arguments."""

    def __call__(self, *arguments: str, stdin: str = "") -> Done: ...


@pytest.fixture
def offline(chart_dir: Path, tmp_path: Path) -> Run:
    """`cnichain` where no repository can be reached: charts from a folder, helm as `cnichain dev tools` builds it."""
    environment = {
        "CNICHAIN_CHART_DIR": str(chart_dir),
        "CNICHAIN_HELM": str(ensure("controlplane").path("helm")),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "KUBECONFIG": "/nowhere",
    }

    def run(*arguments: str, stdin: str = "") -> Done:
        result = CliRunner(env=environment).invoke(root, arguments, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run
