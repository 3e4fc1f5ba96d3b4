"""A newcomer's way: README and quick start, played on the local control plane by the commands that stand there.

The commands are taken from the pages as they are: each block is run by bash, in the environment that the one before has
left. A page that promises what does not happen fails here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnichain.dev.toolchain import ensure
from docpages import DOCS, ROOT, SHELLS, Block, blocks

PLAYED = (ROOT / "README.md", DOCS / "quickstart.md")
BLOCK_SECONDS = 240


@dataclass
class Newcomer:
    """Somebody with a shell in a checkout. said: what has been typed and printed so far."""

    environment: dict[str, str]
    work: Path
    said: list[str] = field(default_factory=list)

    def types(self, text: str) -> str:
        """Run a block of commands; its output. Variables that it exports are kept. Fails the test when it fails."""
        kept = self.work / "environment"
        script = f"{text}\nenv -0 > {kept}\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        self.said.append(f"$ {text}{done.stdout}")
        if done.returncode != 0:
            pytest.fail(f"exit status {done.returncode} after:\n{''.join(self.said)}\n{self._logs()}")
        pairs = kept.read_text(encoding="utf-8").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return done.stdout

    def _logs(self) -> str:
        """The ends of the logs of operator and agents."""
        logs = sorted(self.work.rglob("logs/operator.log")) + sorted(self.work.rglob("logs/agent-*.log"))
        return "\n".join(f"--- {path}\n{path.read_text(encoding='utf-8', errors='replace')[-3000:]}" for path in logs)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> Iterator[Newcomer]:
    """With state and cache folders of their own, the charts of the tests, and kubectl and cnichain on the PATH."""
    work = tmp_path_factory.mktemp("newcomer")
    tools = ensure("controlplane")
    path = [str(Path(sys.executable).parent), str(tools.path("kubectl").parent), os.environ["PATH"]]
    own = {
        "XDG_STATE_HOME": str(work / "state"),
        "CNICHAIN_CHART_DIR": str(chart_dir),
        "PATH": os.pathsep.join(path),
    }
    somebody = Newcomer({**os.environ, **own}, work)
    yield somebody
    # The last block of the quick start has stopped everything, unless a step failed.
    folder = work / "state" / "cnichain" / "default"
    stop = [sys.executable, "-m", "cnichain.cli.main", "dev", "down", "--dir", str(folder)]
    subprocess.run(stop, timeout=120, check=True, capture_output=True)
    shutil.rmtree(work / "state", ignore_errors=True)


@pytest.mark.controlplane
@pytest.mark.timeout(900)
def test_the_quick_start_does_what_it_says(newcomer: Newcomer) -> None:
    """README sends a newcomer there, and has no step of its own but those for EKS."""
    assert not [block for block in blocks(PLAYED[0]) if block.play == ""], "a step of README that nothing plays"
    played = [block for page in PLAYED[1:] for block in blocks(page) if block.play in {"", "eks"}]
    for block in played:
        if block.play == "eks":
            newcomer.types(without_effect(block))
            continue
        printed = newcomer.types(block.text)
        for text in block.expect:
            assert text in printed, f"{block.where} promises {text!r}. What was typed:\n{''.join(newcomer.said)}"
    whole = "".join(newcomer.said)
    assert "ReservedValue" in whole, "a broken value belongs to the way, with the error that it gives"
    assert whole.count("condition met") >= 4, "Ready, the repaired node, Stalled, and Ready again were waited for"


def without_effect(block: Block) -> str:
    """What of a block for EKS can be run here, and changes nothing: the API server's answer to what it applies."""
    lines = block.text.splitlines()
    applied = [f"{line} --dry-run=server" for line in lines if line.startswith("kubectl apply -f ")]
    rendered = [line.split(" | ")[0] for line in lines if line.startswith("kubectl kustomize ")]
    return "\n".join([*applied, *rendered])


@pytest.mark.parametrize("page", PLAYED, ids=lambda page: page.name)
def test_each_command_of_these_pages_is_played_or_says_why_not(page: Path) -> None:
    known = {"", "eks", "make"}
    unmarked = [block.where for block in blocks(page) if block.language in SHELLS and block.play not in known]
    assert unmarked == [], f"blocks of commands without a mark, one of {known} (tests/support/docpages.py)"


def marked(play: str) -> list[Block]:
    """The blocks of these pages with a mark."""
    return [block for page in PLAYED for block in blocks(page) if block.play == play]


@pytest.mark.parametrize("block", marked("make"), ids=lambda block: block.where)
def test_targets_that_are_named_are_in_the_makefile(block: Block) -> None:
    """`make tools` is what `make test` has done before this test runs; tests/demo has `make demo`."""
    targets = [line.split()[1] for line in block.text.splitlines()]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    missing = [target for target in targets if f"\n{target}:" not in makefile]
    assert missing == []


@pytest.mark.parametrize("block", marked("eks"), ids=lambda block: block.where)
def test_what_is_for_eks_is_at_least_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, f"{block.where}: {done.stderr}"
    for name in ("crds/", "deploy/base", "examples/eks.yaml"):
        if name in block.text:
            assert (ROOT / name).exists(), f"{block.where} names {name}, which is not there"
