"""What happens to the cluster during a soak: ordinary things, each with the writes that it may cost."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from auditcount import OPERATOR
from benchworld import CHAIN_NODES, Api, Object, World, wait_for
from cnichain.api.names import CONFLIST_FILE
from cnichain.dev import manifests
from cnichain.dev.cluster import apply
from cnichain.dev.kubectl import Kubectl
from cnichain.dev.nodefolder import NodeFolder, make_node_folder, write_aws_conflist
from soakreport import Limit, Limits

PATIENCE = 180.0
COUNTED_SECONDS = 360.0
"""The numbers of pods are written within five minutes, when they alone have changed."""
PODS = 30
REWRITTEN = 5
"""Nodes whose primary writes its file anew."""
AWAY = 3.0
"""Seconds without an API server."""
MTUS = ("9001", "1500")
CONFIG = "/api/v1/namespaces/kube-system/configmaps/cilium-config"
SERVICE = "/api/v1/namespaces/kube-system/services/hubble-peer"
ALL_PODS = "/api/v1/pods"


@dataclass
class Life:
    """The cluster of a soak. hollow: folder with a link to each node's folder whose agent is one of many in a process.

    api_gate: held by who takes the API server away, or needs it there.
    """

    world: World
    hollow: Path
    api_gate: threading.Lock = field(default_factory=threading.Lock)
    next_node: int = 0
    turn: int = 0

    @property
    def kubectl(self) -> Kubectl:
        """As administrator."""
        return Kubectl(self.world.control_plane.kubectl, self.world.control_plane.kubeconfig)

    def link(self, folder: NodeFolder) -> None:
        """Let the process of the many agents have an agent for this node."""
        (self.hollow / folder.root.name).symlink_to(folder.root)


@dataclass(frozen=True)
class Event:
    """happen: does it, waits until it is over, and tells how many things it has touched. settle: without a write for so
    many seconds nothing of it is left to come. limits: of the writes from its beginning until then."""

    what: str
    happen: Callable[[Life], int]
    settle: float
    limits: Limits


def rewrite(life: Life) -> int:
    """The primary starts anew on some nodes with another setting, and writes its file."""
    life.turn += 1
    mtu = MTUS[life.turn % len(MTUS)]
    folders = life.world.folders()[:REWRITTEN]
    for folder in folders:
        write_aws_conflist(folder.conf_dir, egress_mtu=mtu)

    def followed() -> bool:
        texts = [(folder.conf_dir / CONFLIST_FILE).read_text(encoding="utf-8") for folder in folders]
        egress = [next(p for p in json.loads(text)["plugins"] if p["type"] == "egress-cni") for text in texts]
        return all(plugin["mtu"] == mtu for plugin in egress)

    wait_for("the chain follows the primary on every node", followed, PATIENCE)
    wait_for("the CNIChain is Ready", life.world.is_ready, PATIENCE, look=1.0)
    return len(folders)


def interfere(life: Life) -> int:
    """Somebody changes a setting of Cilium's and deletes a Service; both are put right."""
    wanted = (life.world.api.get(CONFIG) or {})["data"]["debug"]
    other = "true" if wanted == "false" else "false"
    change = json.dumps({"data": {"debug": other}})
    life.kubectl.run("patch", "configmap", "cilium-config", "--namespace=kube-system", f"--patch={change}")
    life.kubectl.run("delete", "service", "hubble-peer", "--namespace=kube-system")

    def is_right() -> bool:
        config = life.world.api.get(CONFIG) or {}
        return bool(config["data"]["debug"] == wanted and life.world.api.get(SERVICE))

    wait_for("both are put right", is_right, PATIENCE)
    wait_for("the CNIChain is Ready", life.world.is_ready, PATIENCE, look=1.0)
    return 2


def restart_api(life: Life) -> int:
    """The API server goes away and comes back; every watch ends with it."""
    with life.api_gate:
        life.world.control_plane.stop_apiserver()
        time.sleep(AWAY)
        life.world.control_plane.start_apiserver()
        life.world.api = Api(life.world.control_plane)
    wait_for("the CNIChain is Ready", life.world.is_ready, PATIENCE, look=1.0)
    return 1


def replace_node(life: Life) -> int:
    """A node comes, is chained, and goes again, with its pods. Each has a name and an address of its own."""
    world, index = life.world, life.world.nodes + life.next_node
    life.next_node += 1
    folder = make_node_folder(world.control_plane.nodes_dir, manifests.node_name(index), egress_mtu="9001")
    life.link(folder)
    apply(life.kubectl, [manifests.node(index)])
    world.nodes += 1
    try:
        wait_for("the new node is chained", world.is_ready, PATIENCE, look=1.0)
    finally:
        world.nodes -= 1
    name = folder.root.name
    life.kubectl.run("delete", "node", name)

    def is_gone() -> bool:
        pods = world.api.all(f"{ALL_PODS}?fieldSelector=spec.nodeName%3D{name}")
        return not pods and world.api.get(f"{CHAIN_NODES}/{name}") is None and world.is_ready()

    wait_for("nothing of the node is left", is_gone, PATIENCE, look=1.0)
    wait_for("the CNIChain tells of the pods that there are", lambda: counts_are_told(world), COUNTED_SECONDS, look=2.0)
    return 1


def counts_are_told(world: World) -> bool:
    """Whether the CNIChain tells of as many pods as there are; a change of these counts alone is written later."""
    on_host = [bool(item["spec"].get("hostNetwork")) for item in world.api.all(ALL_PODS)]
    told = (world.chain().get("status") or {}).get("pods") or {}
    return bool((told.get("managed"), told.get("outOfScope")) == (on_host.count(False), on_host.count(True)))


def scale(life: Life) -> int:
    """Pods come, or go; over when the CNIChain tells how many of them are managed."""
    world = life.world
    deployment = world.api.get("/apis/apps/v1/namespaces/default/deployments/web") or {}
    number = 0 if deployment["spec"]["replicas"] else PODS
    life.kubectl.run("scale", "deployment/web", f"--replicas={number}")

    def is_told() -> bool:
        return len(world.api.all("/api/v1/namespaces/default/pods")) == number and counts_are_told(world)

    wait_for(f"with {number} pods more, all managed pods are told", is_told, COUNTED_SECONDS, look=2.0)
    return PODS


def workload() -> Object:
    """The Deployment that `scale` scales."""
    labels = {"app": "web"}
    pod = {"containers": [{"name": "main", "image": "main"}], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec: Object = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }


NODE_STATUS = "agents: patch cnichainnodes/status"
CHAIN_STATUS = f"{OPERATOR}: patch cnichains/status"
NEW_EVENTS, OLD_EVENTS = f"{OPERATOR}: create events", f"{OPERATOR}: patch events"
RESTART = "API server restarts"
EVENTS = (
    # A status for each node that followed, and another when the runtime or the chain's own second look adds to it.
    Event("primary rewrites its file", rewrite, 20.0, {NODE_STATUS: Limit(1, 2), CHAIN_STATUS: Limit(besides=2)}),
    Event(
        "foreign change",
        interfere,
        20.0,
        {
            # One of the two is a ConfigMap. The inventory, another one, is written before and after a correction.
            f"{OPERATOR}: patch configmaps": Limit(0.5, 2.5),
            f"{OPERATOR}: patch services": Limit(0.5, 0.5),
            NEW_EVENTS: Limit(most=1),
            OLD_EVENTS: Limit(most=1),
            CHAIN_STATUS: Limit(most=1),
        },
    ),
    Event(RESTART, restart_api, 30.0, {}),
    Event(
        "node comes and goes",
        replace_node,
        45.0,
        {
            # Its label and its CNIChainNode; the object goes with the Node, by the cluster's own garbage collection.
            f"{OPERATOR}: patch nodes": Limit(1, 1),
            f"{OPERATOR}: patch cnichainnodes": Limit(1, 1),
            # Verified; and before it what the agent waits for, unless that is over so soon that it keeps it to itself.
            NODE_STATUS: Limit(1, 3),
            # There, being chained, verified; gone; and Cilium's DaemonSet on the way between.
            CHAIN_STATUS: Limit(3, 9),
            NEW_EVENTS: Limit(most=4),
            OLD_EVENTS: Limit(most=2),
        },
    ),
    Event("pods come or go", scale, 45.0, {CHAIN_STATUS: Limit(besides=2)}),
)
