"""kubectl with a cluster and a time limit."""

from dataclasses import dataclass
from pathlib import Path

from cnichain.dev.run import capture


@dataclass(frozen=True)
class Kubectl:
    """The program and the kubeconfig that it is always given."""

    program: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 30.0) -> str:
        """Its standard output. DevError with kubectl's own words when it fails or takes longer than `timeout` s."""
        argv = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        return capture(argv, timeout=timeout, stdin=stdin)
