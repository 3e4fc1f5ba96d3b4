"""A fleet: fifty fake nodes in three zones and two node groups, with a real agent each, in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnichain.catalogue.load import builtin_catalogue
from cnichain.dev.nodefolder import NodeFolder
from harness import Harness, harness

NODES = 50
POOLS = ("general", "memory")


@contextmanager
def fleet(work: Path, chart_dir: Path, nodes: int = NODES) -> Iterator[Harness]:
    """A fresh control plane as `harness` makes it, with hollow agents (cnichain.dev.hollow) on all nodes."""
    with harness(work, chart_dir, nodes=nodes, pools=POOLS) as world, world.hollow_agents():
        yield world


def agent_image(version: str) -> str:
    """The image of the cilium-agent of a release, as its chart names it."""
    (release,) = [item for item in builtin_catalogue().cilium if item.version == version]
    (image,) = [item.image for item in release.images if item.part == "image"]
    return image


def agent_images(world: Harness) -> dict[str, str]:
    """Image of the cilium pod of each node, as far as there is one."""
    items = world.get("pods", "--selector=k8s-app=cilium", "--namespace=kube-system")["items"]
    bound = [item for item in items if "nodeName" in item["spec"]]
    return {item["spec"]["nodeName"]: item["spec"]["containers"][0]["image"] for item in bound}


def node_files(world: Harness) -> dict[str, dict[str, bytes]]:
    """Every file of every node's /etc/cni/net.d."""
    folders = [NodeFolder(path) for path in sorted(world.control_plane.nodes_dir.iterdir())]
    return {
        folder.root.name: {path.name: path.read_bytes() for path in sorted(folder.conf_dir.iterdir()) if path.is_file()}
        for folder in folders
    }


def zones(world: Harness) -> dict[str, str]:
    """Zone of each node."""
    items = world.get("nodes")["items"]
    return {item["metadata"]["name"]: item["metadata"]["labels"]["topology.kubernetes.io/zone"] for item in items}
