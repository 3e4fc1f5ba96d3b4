"""The folder of one real node: where each file lies on the machine, and where the node itself sees it."""

from dataclasses import dataclass
from pathlib import Path

PRIMARY_FILE = "10-aws.conflist"
CHAINED_FILE = "05-cilium.conflist"


@dataclass(frozen=True)
class Layout:
    """Paths below `root` on the machine. `binds` says which of them the node sees at its usual places."""

    root: Path

    @property
    def conf_dir(self) -> Path:
        """/etc/cni/net.d of the node."""
        return self.root / "etc-cni" / "net.d"

    @property
    def bin_dir(self) -> Path:
        """/opt/cni/bin of the node."""
        return self.root / "cni-bin"

    @property
    def agent_state_dir(self) -> Path:
        """/var/lib/cnichain of the node."""
        return self.root / "cnichain"

    @property
    def log_dir(self) -> Path:
        """/var/log of the node, and the logs of its own programs. The one folder that is kept."""
        return self.root / "log"

    @property
    def containerd_dir(self) -> Path:
        """Images and containers; in memory, as the end of each container would sync the whole disk."""
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """/run/containerd/containerd.sock of the node, which the machine can connect to here."""
        return self.run_dir / "containerd.sock"

    @property
    def run_dir(self) -> Path:
        """/run/containerd of the node."""
        return self.root / "run"

    @property
    def kubelet_dir(self) -> Path:
        return self.root / "kubelet"

    @property
    def conf(self) -> Path:
        """Configuration of containerd and kubelet."""
        return self.root / "conf"

    @property
    def programs(self) -> Path:
        """Programs that the node runs."""
        return self.root / "programs"

    @property
    def scratch(self) -> Path:
        """For what the node writes elsewhere."""
        return self.root / "scratch"

    @property
    def binds(self) -> dict[str, Path]:
        """Path in the node to folder on the machine. /etc/cni as a whole: a net.d that is replaced stays visible."""
        return {
            "/etc/cni": self.conf_dir.parent,
            "/opt/cni/bin": self.bin_dir,
            "/run/containerd": self.run_dir,
            "/var/lib/cnichain": self.agent_state_dir,
            "/var/log": self.log_dir,
        }

    def make(self) -> None:
        """Make the folders."""
        for path in (
            *(self.conf_dir, self.bin_dir, self.agent_state_dir, self.log_dir, self.run_dir),
            *(self.containerd_dir, self.kubelet_dir, self.conf, self.programs, self.scratch),
        ):
            path.mkdir(parents=True, exist_ok=True)
