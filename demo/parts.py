"""The processes of the demo: the operator, and one agent per node, each tethered to the control plane."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.layout import Layout
from cnichain.dev.nodefolder import NodeFolder
from demo.charts import Charts

STOP_SECONDS = 20


@dataclass
class Parts:
    """Operator and agents of one control plane; their logs are in its folder."""

    control_plane: ControlPlane
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def folders(self) -> list[NodeFolder]:
        """The folder of each node."""
        return [NodeFolder(path) for path in sorted(self.control_plane.nodes_dir.iterdir())]

    def log_of(self, name: str) -> Path:
        """Where a part writes its log."""
        return Layout(self.control_plane.directory).logs / f"{name}.log"

    def start_operator(self, charts: Charts) -> None:
        """Start the operator."""
        options = [f"--kubeconfig={self.control_plane.kubeconfig}", f"--helm={self.control_plane.toolbox.path('helm')}"]
        options += [f"--chart-dir={charts.folder}"] if charts.folder else []
        options += [f"--catalogue={charts.catalogue}"] if charts.catalogue else []
        options.append(f"--cache-dir={self.control_plane.directory / 'charts'}")
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
                f"--kubeconfig={self.control_plane.kubeconfig}",
                "--health-port=0",
                # A fake node has no Cilium that answers and no runtime; the machine's own are not meant.
                "--cilium-health-url=",
                "--runtime-socket=",
            )

    def _start(self, name: str, module: str, *arguments: str) -> None:
        lock = Layout(self.control_plane.directory).lock
        command = [sys.executable, "-m", "demo.tether", str(lock), "--", sys.executable, "-m", module, *arguments]
        with self.log_of(name).open("ab") as log:
            # A session of its own, so that Ctrl-C reaches the demo alone, which then stops everything in order.
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
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
