"""One cluster of kind: made, given images, looked into, and deleted by its name whatever happened."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnichain.dev.errors import DevError
from cnichain.dev.kubectl import Kubectl
from cnichain.dev.run import capture
from cnichain.dev.toolchain import Toolbox, ensure
from kindrig.settings import cluster_config

CREATE_SECONDS = 900.0
"""The node image has 400 MB."""
BUILD_SECONDS = 1800.0
LOAD_SECONDS = 300.0
SECONDS = 120.0
SHOWN = "cnichains,cnichainnodes,nodes,pods,daemonsets,deployments,events"
"""What is kept of the API beside the logs that kind collects."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Commands:
    """kind's command lines for the cluster `name` and no other. No I/O."""

    kind: str
    name: str
    kubeconfig: str

    def clusters(self) -> list[str]:
        """The names of all clusters of kind on this machine."""
        return [self.kind, "get", "clusters"]

    def create(self) -> list[str]:
        """Reads the configuration from standard input; the nodes do not get Ready yet, as they have no CNI."""
        return [self.kind, "create", "cluster", f"--name={self.name}", f"--kubeconfig={self.kubeconfig}", "--config=-"]

    def load(self, images: Sequence[str]) -> list[str]:
        """Images of the local Docker into the node."""
        return [self.kind, "load", "docker-image", f"--name={self.name}", *images]

    def export_logs(self, folder: str) -> list[str]:
        """The node's journal and the logs of all pods."""
        return [self.kind, "export", "logs", f"--name={self.name}", folder]

    def delete(self) -> list[str]:
        """Says yes when there is no such cluster."""
        return [self.kind, "delete", "cluster", f"--name={self.name}", f"--kubeconfig={self.kubeconfig}"]


@dataclass
class KindCluster:
    """A cluster that runs. kubectl: as its administrator, with a kubeconfig of its own."""

    commands: Commands
    kubeconfig: Path
    kubectl: Kubectl

    @property
    def node(self) -> str:
        """The name of its one node, and of the container that it is."""
        return f"{self.commands.name}-control-plane"

    @classmethod
    @contextmanager
    def run(cls, name: str, folder: Path, toolbox: Toolbox | None = None) -> Iterator["KindCluster"]:
        """For the time of the block. DevError when it cannot be made, or when there is one of that name already."""
        toolbox = toolbox or ensure("all", only=("kind", "helm"))
        kubeconfig = folder / "kubeconfig"
        commands = Commands(str(toolbox.path("kind")), name, str(kubeconfig))
        if name in capture(commands.clusters(), timeout=SECONDS).split():
            raise DevError(f"There is a cluster {name} of kind already; it is not ours, and was left alone.")
        try:
            capture(commands.create(), timeout=CREATE_SECONDS, stdin=json.dumps(cluster_config()))
            yield cls(commands, kubeconfig, Kubectl(toolbox.path("kubectl"), kubeconfig))
        finally:
            capture(commands.delete(), timeout=SECONDS)

    def load(self, *images: str) -> None:
        """Put images of the local Docker into the node."""
        capture(self.commands.load(images), timeout=LOAD_SECONDS)

    def in_node(self, *command: str) -> str:
        """Standard output of a command in the node. DevError when it fails."""
        return capture(["docker", "exec", self.node, *command], timeout=SECONDS)

    def apply(self, *objects: Object) -> None:
        """Server-side apply."""
        text = "\n---\n".join(map(json.dumps, objects))
        self.kubectl.run("apply", "--server-side", "--filename=-", stdin=text, timeout=60)

    def get(self, *arguments: str) -> Object:
        """An object or a list, as JSON; empty when there is none."""
        text = self.kubectl.run("get", *arguments, "--ignore-not-found", "--output=json")
        found: Object = json.loads(text or "{}")
        return found

    def wait(self, what: str, check: Callable[[], Any], seconds: float) -> Any:
        """The first true answer. AssertionError with the chain's words when there is none in time."""
        deadline = time.monotonic() + seconds
        while not (found := check()):
            if time.monotonic() > deadline:
                said = json.dumps((self.get("cnichains").get("items") or [{}])[0].get("status"), indent=1)
                raise AssertionError(f"not within {seconds:.0f} s: {what}\n--- status of the CNIChain\n{said}")
            time.sleep(1)  # between two looks
        return found

    def collect(self, folder: Path) -> None:
        """Logs and objects for whoever looks into a failure; what cannot be had is told in its file."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, argv in (
            ("logs", self.commands.export_logs(str(folder / "logs"))),
            ("objects.yaml", self._kubectl("get", SHOWN, "--all-namespaces", "--output=yaml")),
            ("pods.txt", self._kubectl("describe", "pods", "--all-namespaces")),
            ("net.d.txt", ["docker", "exec", self.node, "sh", "-c", "head -c 20000 /etc/cni/net.d/*"]),
        ):
            try:
                text = capture(argv, timeout=SECONDS)
            except DevError as error:
                text = str(error)
            (folder / (name if "." in name else f"{name}.txt")).write_text(text, encoding="utf-8")

    def _kubectl(self, *arguments: str) -> list[str]:
        return [str(self.kubectl.program), f"--kubeconfig={self.kubeconfig}", *arguments]


def build_command(root: Path, tags: Sequence[str]) -> list[str]:
    """`docker build` of the project's image.

    By BuildKit, since the Dockerfile asks for the platform that it runs on; without attestations, with which
    `kind load` fails where Docker keeps images by containerd (kubernetes-sigs/kind#3795).
    """
    named = [f"--tag={tag}" for tag in tags]
    return ["env", "DOCKER_BUILDKIT=1", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "docker", "build", *named, str(root)]


def build_image(root: Path, *tags: str) -> None:
    """Build it under each of the tags."""
    capture(build_command(root, tags), timeout=BUILD_SECONDS)
