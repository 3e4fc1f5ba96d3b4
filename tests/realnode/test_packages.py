"""Each package installed as docs/install.md says, and a whole chain made and undone by the pods that it brings.

Real are the API server with its admission of Pod Security, helm, kustomize, kubelet, containerd, the project's image,
its operator and agent as pods with the permissions that they ship with, Cilium's chart, aws-cni and cilium-cni.
Stand-ins are aws-node's ipamd and Cilium's own programs (realnode/cilium.py), of which there are no images here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml

from harness import Harness, Object
from packages import CHART, ROOT, helm, image_name
from realnode.cilium import FAKE, VALUES, StandInCilium
from realnode.confinement import confinement
from realnode.eksnode import CHAIN, LABEL, PRIMARY, eks_node
from realnode.layout import CHAINED_FILE, PRIMARY_FILE
from realnode.node import RealNode

pytestmark = [pytest.mark.controlplane, pytest.mark.realnode, pytest.mark.timeout(900)]

OURS = "cnichain-system"
IN_OURS = f"--namespace={OURS}"
OPERATOR, AGENT = (f"app.kubernetes.io/name=cnichain-{name}" for name in ("operator", "agent"))
WORKLOADS = ("deployment/cnichain-operator", "daemonset/cnichain-agent")
LEVEL = "pod-security.kubernetes.io/enforce"
MIRROR = "registry.example/mirror/cnichain"
"""A name of the image that no default has: what a user gives it who has built it."""
TAG = "mine"
CHARTS = ("configmap", "cnichain-charts", IN_OURS)
ANYWHERE: Object = {"nodeSelector": FAKE, "tolerations": [{"operator": "Exists"}]}
RELAY: Object = ANYWHERE | {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}}
"""Its own affinity is to a pod of Cilium's on the same node."""
SPEC: Object = {
    "cilium": {"version": "1.17.3", "values": VALUES | {"hubble": {"relay": RELAY, "ui": ANYWHERE}}},
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}},
    "nodes": {"selector": {LABEL: "true"}},
    "deletionPolicy": "Uninstall",
}
CILIUMS = ("daemonset/cilium", "deployment/cilium-operator", "deployment/hubble-relay", "deployment/hubble-ui")


@pytest.fixture
def cilium(node: RealNode, image_on_node: None) -> Iterator[StandInCilium]:
    """The node as one of EKS, with the image under the name of a mirror."""
    node.ctr("images", "tag", "--force", image_name(), f"{MIRROR}:{TAG}")
    with eks_node(node) as stand_ins:
        yield stand_ins


@pytest.fixture
def world(node: RealNode, tmp_path: Path, chart_dir: Path) -> Harness:
    """What tests do with the control plane."""
    return Harness(node.control_plane, tmp_path, chart_dir)


def slow(node: RealNode, *arguments: str) -> None:
    """A kubectl that waits for something."""
    node.control_plane.run_kubectl(*arguments, "--timeout=150s", timeout=160)


# The main job --------------------------------------------------------------------------------------------------------


def make_a_chain_and_undo_it(world: Harness, cilium: StandInCilium) -> None:
    """From the CNIChain to a node as it was; in the middle the operator's pod is deleted."""
    node = cilium.node
    kubectl = world.kubectl
    start, folder = world.audit_length(), node.layout.conf_dir
    before = primary_file(node)
    aws_node, labels = generation_of_aws_node(world), labels_and_taints(node, world)
    node.pods.run("before")

    world.apply_chain(SPEC)
    try:
        # Here it waits for Cilium's agents to be healthy: there is none yet.
        world.wait("the agents' stage is reached", partial(world.exists, "daemonset", "cilium", "-n=kube-system"), 90)
        assert world.conditions()["Ready"]["status"] != "True"
        replace_the_operator(world, node)

        def is_ready() -> bool:
            cilium.start_agent_pod()
            return bool(world.conditions()["Ready"]["status"] == "True")

        world.wait("Ready, with the agent's pod", is_ready, 120)
        world.kubectl("get", *CILIUMS, "--namespace=kube-system")
        assert node.wait_loaded(*CHAIN).source.encode() == (folder / CHAINED_FILE).read_bytes()
        node.pods.run("chained")
        assert cilium.told() == {"chained"}, "what went through the chain"
        assert primary_file(node) == before, f"{PRIMARY_FILE} was touched"
    finally:
        slow(node, "delete", "cnichain", "default")

    node.wait_loaded(*PRIMARY)
    assert {path.name for path in folder.iterdir()} == {PRIMARY_FILE}
    assert primary_file(node) == before, f"{PRIMARY_FILE} was touched"
    node.pods.run("after")
    assert cilium.told() == {"chained"}, "a pod went through a chain that is gone"
    assert generation_of_aws_node(world) == aws_node
    assert labels_and_taints(node, world) == labels
    assert world.get("cnichainnodes")["items"] == []
    left = kubectl("get", *CILIUMS, "configmap/cilium-config", "-n=kube-system", "--ignore-not-found", "--output=name")
    assert left == ""
    assert refused_requests(world, start) == []


def primary_file(node: RealNode) -> tuple[bytes, int, int]:
    """What aws-node's file holds, which file it is, and when it was written."""
    path = node.layout.conf_dir / PRIMARY_FILE
    return path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns


def generation_of_aws_node(world: Harness) -> Object:
    found: Object = world.get("daemonset", "aws-node", "--namespace=kube-system")["metadata"]
    return {key: found[key] for key in ("uid", "generation")}


def labels_and_taints(node: RealNode, world: Harness) -> Object:
    found = world.get("node", node.name)
    return {"labels": found["metadata"]["labels"], "taints": found["spec"].get("taints", [])}


def replace_the_operator(world: Harness, node: RealNode) -> None:
    """Delete the operator's pod; another one has the Lease then."""
    old = holder(world)
    slow(node, "delete", "pods", IN_OURS, f"--selector={OPERATOR}")
    world.wait("another operator has the Lease", lambda: holder(world) not in {"", old}, 90)


def holder(world: Harness) -> str:
    lease = world.get("lease", "cnichain-operator", IN_OURS)
    return str(lease["spec"].get("holderIdentity") or "")


def refused_requests(world: Harness, start: int) -> list[str]:
    """What operator and agent have asked for and may not, since line `start` of the audit log."""
    ours = f"system:serviceaccount:{OURS}:"
    return [
        f"{item['user']['username']} {item['verb']} {item['requestURI']}"
        for item in world.audit(start)
        if item["user"]["username"].startswith(ours) and item.get("responseStatus", {}).get("code") in {401, 403}
    ]


# What runs -----------------------------------------------------------------------------------------------------------


def check_confinement(node: RealNode, *, operator_shares: set[str]) -> None:
    """What the kernel holds the two containers to, whatever the manifests say."""
    operator, agent = confinement(node, OURS, OPERATOR), confinement(node, OURS, AGENT)
    assert (operator.users, operator.groups) == ({65532}, {65532})
    assert (agent.users, agent.groups) == ({0}, {0})
    for one in (operator, agent):
        assert (one.capabilities, one.no_new_privileges, one.seccomp) == (0, True, 2), one
    assert operator.shared == operator_shares
    assert agent.shared == {"net", "uts"}
    assert operator.writable == {"/cache"}
    # Containers' file systems are mounted below; containerd before 2.0 can make only the folder itself read-only.
    below = {path for path in agent.writable if path.startswith("/run/containerd/")}
    assert agent.writable - below == {"/host/etc/cni", "/var/lib/cnichain"}
    assert not below or not can_mount_recursively_read_only(node)


def can_mount_recursively_read_only(node: RealNode) -> bool:
    """Whether the node's runtime can, as kubelet says."""
    path = "{.status.runtimeHandlers[*].features.recursiveReadOnlyMounts}"
    return "true" in node.control_plane.run_kubectl("get", "node", node.name, f"--output=jsonpath={path}")


@contextmanager
def told(world: Harness, node: RealNode) -> Iterator[None]:
    """What pods and their keepers have said is in the output of a test that fails."""
    try:
        yield
    except BaseException:
        print(world.kubectl("describe", "pods", IN_OURS), world.kubectl("get", "events", IN_OURS))
        for pod in world.get("pods", IN_OURS, f"--field-selector=spec.nodeName={node.name}")["items"]:
            print(world.kubectl("logs", IN_OURS, pod["metadata"]["name"], "--tail=60"))
        raise


# The packages --------------------------------------------------------------------------------------------------------


def test_the_chart_below_pod_security(world: Harness, node: RealNode, cilium: StandInCilium) -> None:
    """With the operator on the pod network, in a namespace that is `restricted` first: it runs there, and the agent is
    refused, until the namespace has the label of docs/install.md."""
    kubectl = world.kubectl
    kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/namespace.yaml'}")
    kubectl("label", "--overwrite", "namespace", OURS, f"{LEVEL}=restricted")
    kubectl("create", *CHARTS, f"--from-file={world.chart_dir / 'cilium-1.17.3.tgz'}")
    run = partial(helm, world.work, kubeconfig=node.control_plane.kubeconfig)
    values = {
        **{"image.repository": MIRROR, "image.tag": TAG, "oneNode": "true"},
        **{"operator.hostNetwork": "false", "charts.configMap": "cnichain-charts"},
    }
    flags = [f"--set={key}={value}" for key, value in values.items()]
    # What tests before this one have left is taken over.
    installed = run("install", "cnichain", str(CHART), IN_OURS, "--take-ownership", "--force-conflicts", *flags)
    assert installed.returncode == 0, installed.stderr
    try:
        with told(world, node):
            refusal = world.wait("the agent is refused", partial(refusal_of_the_agent, world), 60)
            assert 'violates PodSecurity "restricted:latest"' in refusal
            assert "hostPath" in refusal
            world.wait("the operator's pod is made", lambda: pods_of(world, OPERATOR), 60)
            assert pods_of(world, AGENT) == []
            # At once: the DaemonSet's controller tries ever more seldom.
            kubectl("label", "--overwrite", "namespace", OURS, f"{LEVEL}=privileged")
            for workload in WORKLOADS:
                slow(node, "rollout", "status", workload, IN_OURS)
            make_a_chain_and_undo_it(world, cilium)
            check_confinement(node, operator_shares=set())
    finally:
        kubectl("delete", *CHARTS)
        removed = run("uninstall", "cnichain", IN_OURS, "--wait", "--timeout=60s")
    assert removed.returncode == 0, removed.stderr


def pods_of(world: Harness, selector: str) -> list[Object]:
    """The pods of a program of ours."""
    found: list[Object] = world.get("pods", IN_OURS, f"--selector={selector}")["items"]
    return found


def refusal_of_the_agent(world: Harness) -> str:
    """What the DaemonSet's controller says of the pods that it may not make."""
    selector = "--field-selector=involvedObject.kind=DaemonSet,reason=FailedCreate"
    return " ".join(item["message"] for item in world.get("events", IN_OURS, selector)["items"])


def test_the_kustomize_base_below_pod_security(world: Harness, node: RealNode, cilium: StandInCilium) -> None:
    """The overlay that docs/install.md and docs/airgap.md show, for one node; all is deleted by the same overlay."""
    kubectl = world.kubectl
    overlay = world.work / "overlay"
    write_overlay(overlay, world.chart_dir)
    kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
    # By another manager than a helm that was here before.
    kubectl("apply", "--server-side", "--force-conflicts", f"--kustomize={overlay}")
    try:
        with told(world, node):
            for workload in WORKLOADS:
                slow(node, "rollout", "status", workload, IN_OURS)
            assert world.get("namespace", OURS)["metadata"]["labels"][LEVEL] == "privileged"
            check_confinement(node, operator_shares={"net", "uts"})
            make_a_chain_and_undo_it(world, cilium)
    finally:
        slow(node, "delete", f"--kustomize={overlay}")


def write_overlay(folder: Path, chart_dir: Path) -> None:
    """One node, an image of another name, and the charts in a ConfigMap."""
    folder.mkdir()
    name = "cilium-1.17.3.tgz"
    (folder / name).write_bytes((chart_dir / name).read_bytes())
    charts = {"name": "charts", "mountPath": "/charts", "readOnly": True}
    container = {
        "name": "operator",
        "env": [{"name": "CNICHAIN_CHART_DIR", "value": "/charts"}],
        "volumeMounts": [charts],
    }
    volumes = [{"name": "charts", "configMap": {"name": "cnichain-charts"}}]
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "cnichain-operator", "namespace": OURS},
        "spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}},
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(ROOT / "deploy/one-node", folder.resolve())],
        "images": [{"name": image_name().rpartition(":")[0], "newName": MIRROR, "newTag": TAG}],
        "configMapGenerator": [{"name": "cnichain-charts", "namespace": OURS, "files": [name]}],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
