"""CNIChain itself on a local control plane: the operator, and one agent per node, each tethered to it."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cnichain.dev.layout import Layout
from cnichain.dev.linux import is_locked
from cnichain.dev.nodefolder import NodeFolder

STOP_SECONDS = 20


@dataclass
class Parts:
    """Operator and agents of one control plane; their logs are in its folder. helm: the program for the operator."""

    layout: Layout
    helm: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def folders(self) -> list[NodeFolder]:
        """The folder of each node; none for a control plane that was not started with `--eks`."""
        if not self.layout.nodes.is_dir():
            return []
        return [NodeFolder(path) for path in sorted(self.layout.nodes.iterdir())]

    def log_of(self, name: str) -> Path:
        """Where a part writes its log."""
        return self.layout.logs / f"{name}.log"

    def running(self) -> bool:
        """Whether an operator was started for this control plane, by whomever, and runs."""
        return is_locked(self._own("operator"))

    def start_operator(self, *, chart_dir: Path | None = None, catalogue: Path | None = None) -> None:
        """Start the operator. chart_dir: where charts are taken from; None for Cilium's repository."""
        options = [f"--kubeconfig={self.layout.kubeconfig}", f"--helm={self.helm}"]
        options += [f"--chart-dir={chart_dir}"] if chart_dir else []
        options += [f"--catalogue={catalogue}"] if catalogue else []
        options.append(f"--cache-dir={self.layout.root / 'charts'}")
        self._start("operator", "cnichain.cli.main", "operator", *options)

    def start_agents(self) -> None:
        """Start an agent for each node."""
        for folder in self.folders:
            self._start(
                f"agent-{folder.root.name}",
                "cnichain.node",
                f"--node-name={folder.root.name}",
                f"--cni-conf-dir={folder.conf_dir}",
                f"--cni-bin-dir={folder.bin_dir}",
                f"--state-dir={folder.state_dir}",
                f"--kubeconfig={self.layout.kubeconfig}",
                "--health-port=0",
                # A fake node has no Cilium that answers and no runtime; the machine's own are not meant.
                "--cilium-health-url=",
                "--runtime-socket=",
            )

    def _own(self, name: str) -> Path:
        return self.layout.root / f"{name}.lock"

    def _start(self, name: str, module: str, *arguments: str) -> None:
        tether = [sys.executable, "-m", "cnichain.dev.tether", str(self.layout.lock), str(self._own(name)), "--"]
        with self.log_of(name).open("ab") as log:
            # A session of its own, so that Ctrl-C reaches the caller alone, which then stops everything in order.
            self.processes[name] = subprocess.Popen(
                [*tether, sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ended(self) -> str:
        """The name of a part that has ended by itself; empty when all run."""
        return next((name for name, process in self.processes.items() if process.poll() is not None), "")

    def stop(self) -> None:
        """Stop agents and operator and wait for them."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
