"""`RealNode`: a kubelet with containerd and real CNI plugins, joined to a local control plane."""

import contextlib
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from cnichain.dev.layout import tail
from cnichain.dev.run import capture
from cnichain.dev.toolchain import Toolbox, ensure
from realnode import cgroups, config, conflists, identity, images
from realnode.layout import PRIMARY_FILE, Layout
from realnode.namespaces import DIE_WITH_ME, Daemon, Namespaces, started, wait_for
from realnode.pods import Pods
from realnode.runtime import RuntimeStatus, runtime_status

READY_SECONDS = 90.0
PLUGINS = ("loopback", "ptp", "bridge", "host-local", "portmap", "bandwidth", "tuning", "aws-cni", "egress-cni")
"""In the bin folder from the start. cilium-cni is not: on a real node Cilium's install container brings it."""
SERVICE_ADDRESS = "10.100.0.1"
"""The Service `kubernetes` of the control plane (cnichain.dev.pki). The node has no kube-proxy, only this address."""
_NODE_PROGRAMS = ("kubelet", "ipamd-stand-in")


@dataclass
class RealNode:
    """A node that is Ready. All paths of `layout` are on the machine; the node sees them at the usual places."""

    name: str
    address: str
    layout: Layout
    control_plane: ControlPlane
    toolbox: Toolbox
    namespaces: Namespaces
    pods: Pods
    cgroup: str
    daemons: dict[str, Daemon] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def run(cls, folder: Path, control_plane: ControlPlane) -> Iterator["RealNode"]:
        """A node for the time of the block, with the stand-in primary (conflists.stand_in) published.

        folder: made if missing; only its `log` stays. Raises DevError when the node does not get Ready.
        """
        layout = Layout(folder.resolve())
        toolbox = ensure("node")
        identifier = secrets.token_hex(3)
        with contextlib.ExitStack() as stack:
            stack.callback(_remove_all_but_logs, layout)
            layout.make()
            cgroups.remove_abandoned()
            stack.callback(cgroups.remove, identifier)
            cgroup = cgroups.create(identifier)
            namespaces = stack.enter_context(
                Namespaces.run(layout.scratch, layout.binds, [layout.containerd_dir], layout.log_dir)
            )
            address = stack.enter_context(_network(namespaces, f"cnx{identifier}"))
            name = f"ip-{address.replace('.', '-')}.us-west-2.compute.internal"
            pods = Pods(control_plane, name)
            node = cls(name, address, layout, control_plane, toolbox, namespaces, pods, cgroup)
            stack.enter_context(node._way_to_api_server())
            node._start_all()
            yield node

    def publish(self, text: str, name: str = PRIMARY_FILE) -> None:
        """Write a file into the node's CNI folder as aws-node does: a .tmp beside it, then rename."""
        scratch = self.layout.conf_dir / f"{name}.tmp"
        scratch.write_text(text, encoding="utf-8")
        scratch.chmod(0o644)
        scratch.rename(self.layout.conf_dir / name)

    def unpublish(self, name: str) -> None:
        """Remove a file from the node's CNI folder."""
        (self.layout.conf_dir / name).unlink(missing_ok=True)

    def install_plugin(self, name: str) -> None:
        """Put a real plugin binary into the node's bin folder, by rename as installers do."""
        scratch = self.layout.bin_dir / f".{name}.tmp"
        shutil.copy2(self.toolbox.path(name), scratch)
        scratch.rename(self.layout.bin_dir / name)

    def remove_plugin(self, name: str) -> None:
        """Take a plugin binary away."""
        (self.layout.bin_dir / name).unlink(missing_ok=True)

    def runtime_status(self) -> RuntimeStatus:
        """What containerd says of itself and of the CNI configuration that it has loaded."""
        return runtime_status(self.toolbox.path("cri-status"), self.layout.containerd_socket)

    def wait_loaded(self, *plugins: str, seconds: float = 30.0) -> RuntimeStatus:
        """Wait until containerd has loaded a list of these plugin types; its status then."""

        def loaded() -> str:
            return "yes" if self.runtime_status().plugins == list(plugins) else ""

        try:
            wait_for(f"containerd has not loaded {', '.join(plugins)}", loaded, seconds)
        except DevError as error:
            raise DevError(f"{error}; it says {self.runtime_status()}") from error
        return self.runtime_status()

    def import_image(self, archive: Path) -> str:
        """Load an image archive (OCI or Docker) into containerd; what ctr says."""
        return self.ctr("images", "import", str(archive))

    def ctr(self, *arguments: str, timeout: float = 120.0) -> str:
        """Standard output of `ctr` in kubelet's namespace of containerd."""
        return self.namespaces.call("ctr", "--namespace=k8s.io", *arguments, timeout=timeout)

    def start_containerd(self) -> None:
        """Start containerd and wait until it answers. Pods of an earlier run of it go on all the while."""
        self._start("containerd", ["containerd", f"--config={self.layout.conf / 'containerd.toml'}"])
        self.wait_runtime()

    def wait_runtime(self, seconds: float = 30.0) -> None:
        """Wait until containerd answers."""

        def answers() -> str:
            try:
                self.runtime_status()
            except DevError:
                return ""
            return "yes"

        wait_for("containerd does not answer", answers, seconds, self.daemons["containerd"].raise_if_ended)

    def start_kubelet(self, *more: str) -> None:
        """Start kubelet; `wait_ready` waits for it. more: further flags."""
        flags = [*config.kubelet_flags(self.layout, self.name, self.address), *more]
        self._start("kubelet", [str(self.layout.programs / "kubelet"), *flags])

    def join_anew(self, taint: str) -> None:
        """Join the cluster as a machine does that starts for the first time, with a taint (`key=value:effect`).

        kubelet sets taints only when it makes its Node, so the one that is there goes first.
        """
        self.stop("kubelet")
        self.control_plane.run_kubectl("delete", "node", self.name, "--timeout=20s")
        self.start_kubelet(f"--register-with-taints={taint}")
        self.wait_ready()

    def start_ipamd(self) -> None:
        """Start what stands for aws-node's ipamd; the real aws-cni plugin finds its socket where it expects it."""
        self._start("ipamd", [str(self.layout.programs / "ipamd-stand-in"), f"--pods={conflists.AWS_RANGE}"])
        wait_for(
            "ipamd-stand-in does not serve",
            lambda: self._socket("/run/aws-node/ipamd.sock"),
            30.0,
            self.daemons["ipamd"].raise_if_ended,
        )

    def stop(self, name: str) -> None:
        """Stop a program of the node, if it runs: containerd, kubelet, ipamd, cilium-agent."""
        if name in self.daemons:
            self.daemons.pop(name).stop()

    def wait_ready(self, seconds: float = READY_SECONDS, status: str = "True") -> None:
        """Wait until the API server shows the node's condition Ready with a status."""
        try:
            wait_for(
                f"node {self.name} is not shown as Ready={status}",
                lambda: "yes" if self._ready() == status else "",
                seconds,
                self.daemons["kubelet"].raise_if_ended,
            )
        except DevError as error:
            log = self.layout.log_dir / "kubelet.log"
            raise DevError(f"{error}\nThe end of {log}:\n{tail(log, 25)}") from error

    def start_cilium_agent(self) -> None:
        """Start what stands for cilium-agent (ciliumagent.py): from now on cilium-cni lets pods in."""
        self._start("cilium-agent", [sys.executable, str(Path(__file__).with_name("ciliumagent.py"))])
        wait_for("the stand-in for cilium-agent does not serve", lambda: self._socket("/run/cilium/cilium.sock"), 30.0)

    @contextmanager
    def agent(self, **options: str) -> Iterator[Daemon]:
        """The real node agent as a process in the node, as a pod on the host's network would be.

        options: of its command line, as `poll_seconds="1"`. It may be killed in the block; else it is told to stop,
        and DevError says when it did not end as it should.
        """
        usual = {"node_name": self.name, "kubeconfig": str(self.control_plane.kubeconfig), "report_spread": "0.1"}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in (usual | options).items()]
        agent = self.namespaces.start("agent", [sys.executable, "-m", "cnichain.node", *flags])
        failed = True
        try:
            yield agent
            failed = False
        finally:
            code = agent.stop() if agent.alive() else 0
        if code and not failed:
            raise DevError(f"The agent ended with exit code {code}. The end of {agent.log}:\n{tail(agent.log)}")

    def reset(self) -> None:
        """Back to the start: no pods, the stand-in primary alone, no cilium-cni and none of the other stand-ins.

        Nothing of an agent either: one that remembers a chain brings it back, as it should on a node that had it.
        """
        self.pods.delete_all()
        for path in self.layout.agent_state_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.layout.conf_dir.iterdir():
            if path.name != PRIMARY_FILE:
                path.unlink()
        self.publish(conflists.stand_in())
        self.remove_plugin("cilium-cni")
        self.stop("ipamd")
        self.stop("cilium-agent")
        self.wait_loaded("ptp", "portmap")

    def _start(self, name: str, command: list[str]) -> None:
        self.daemons[name] = self.namespaces.start(name, command)

    def _start_all(self) -> None:
        layout = self.layout
        for plugin in PLUGINS:
            self.install_plugin(plugin)
        for program in _NODE_PROGRAMS:  # a copy: wherever the toolchain's cache is, the node sees its own folder
            shutil.copy2(self.toolbox.path(program), layout.programs / program)
        self.publish(conflists.stand_in())
        (layout.conf / "containerd.toml").write_text(config.containerd_toml(layout), encoding="utf-8")
        (layout.conf / "kubelet.json").write_text(config.kubelet_configuration(layout, self.cgroup), encoding="utf-8")
        identity.write_kubeconfig(config.kubelet_kubeconfig(layout), self.control_plane, self.name)
        self.start_containerd()
        self.start_kubelet()
        self.import_image(images.build_pause(layout.scratch, config.PAUSE_IMAGE))
        self.wait_ready()

    def _socket(self, path: str) -> str:
        """The path, once something listens there."""
        listening = self.namespaces.call("ss", "--listening", "--unix", "--no-header", "--numeric")
        return path if f" {path} " in listening or f" /var{path} " in listening else ""

    def _ready(self) -> str:
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.control_plane.run_kubectl(
            "get", "node", self.name, "--ignore-not-found", f"--output=jsonpath={path}"
        )

    @contextmanager
    def _way_to_api_server(self) -> Iterator[None]:
        """The API server, from the node: at the URL that it has on the machine, and at the Service's address."""
        endpoint = self.control_plane.server.removeprefix("https://")
        script = Path(__file__).with_name("forward.py")
        command = [
            *(*DIE_WITH_ME, sys.executable, str(script), f"--netns=/proc/{self.namespaces.init}/ns/net"),
            *(f"--listen={endpoint}", f"--listen={SERVICE_ADDRESS}:443", f"--to={endpoint}"),
        ]
        with started("the way to the API server", command, self.layout.log_dir / "forward.log"):
            yield


@contextmanager
def _network(namespaces: Namespaces, link: str) -> Iterator[str]:
    """A link between machine and node; the node's address. Only the machine is at its other end."""
    block = secrets.randbelow(1 << 20)  # of the 4-address blocks in 100.64.0.0/10, carriers' shared space
    base = (100 << 24) + (64 << 16) + block * 4
    near, far = (".".join(str(base + offset >> shift & 255) for shift in (24, 16, 8, 0)) for offset in (1, 2))
    capture(
        ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(namespaces.init)], timeout=10
    )
    try:
        capture(["ip", "address", "add", f"{near}/30", "dev", link], timeout=10)
        capture(["ip", "link", "set", link, "up"], timeout=10)
        namespaces.call("ip", "address", "add", f"{far}/30", "dev", "eth0")
        namespaces.call("ip", "link", "set", "eth0", "up")
        namespaces.call("ip", "route", "add", "default", "via", near)
        namespaces.call("ip", "address", "add", f"{SERVICE_ADDRESS}/32", "dev", "lo")
        yield far
    finally:
        capture(["ip", "link", "delete", link], timeout=10)


def _remove_all_but_logs(layout: Layout) -> None:
    for path in layout.root.iterdir():
        if path.is_dir() and path != layout.log_dir:
            shutil.rmtree(path)
        elif path != layout.log_dir:
            path.unlink()
