"""The control plane as a test or a demo uses it: the real apiserver, fake nodes that behave, real files."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import auditlog
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from cnichain.dev.nodefolder import NodeFolder

pytestmark = pytest.mark.controlplane

POD = {"image": "registry.example/app:1"}


def get(control_plane: ControlPlane, *what: str) -> Any:
    return json.loads(control_plane.run_kubectl("get", *what, "--output=json"))


def apply(control_plane: ControlPlane, *objects: dict[str, Any]) -> None:
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    control_plane.run_kubectl("apply", "--server-side", "--filename=-", stdin=document)


def pod(name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "annotations": fields.pop("annotations", {})}
    spec = {"containers": [{"name": "app", **POD}], **fields}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_server_reports_the_version_of_its_go_module(control_plane: ControlPlane) -> None:
    versions = json.loads(control_plane.run_kubectl("version", "--output=json"))
    server = versions["serverVersion"]
    assert (server["major"], server["minor"]) == ("1", "36")
    assert server["gitVersion"].startswith("v1.36.")


def test_nodes_look_like_those_of_eks(control_plane: ControlPlane) -> None:
    nodes = get(control_plane, "nodes")["items"]
    assert len(nodes) == 3
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert zones == {"us-west-2a", "us-west-2b", "us-west-2c"}
    for node in nodes:
        conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert "taints" not in node["spec"], "a Ready node is open for pods"
        info = node["status"]["nodeInfo"]
        assert info["kernelVersion"].startswith("6.1.")
        assert info["osImage"].startswith("Amazon Linux 2023")
        assert info["kubeletVersion"] == "v1.36.1"
        assert node["status"]["allocatable"]["pods"] == "58"
        assert node["spec"]["providerID"].startswith("aws:///us-west-2")
    leases = get(control_plane, "leases", "--namespace=kube-node-lease")["items"]
    assert {lease["metadata"]["name"] for lease in leases} == {node["metadata"]["name"] for node in nodes}


def test_aws_node_runs_on_every_node(control_plane: ControlPlane) -> None:
    daemon_set = get(control_plane, "daemonset/aws-node", "--namespace=kube-system")
    assert daemon_set["status"]["numberReady"] == 3
    container = daemon_set["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].endswith("amazon-k8s-cni:v1.18.5-eksbuild.1")
    assert {"name": "AWS_VPC_K8S_CNI_VETHPREFIX", "value": "eni"} in container["env"]


def test_each_node_has_a_folder_with_the_conflist_of_vpc_cni(control_plane: ControlPlane) -> None:
    names = {node["metadata"]["name"] for node in get(control_plane, "nodes")["items"]}
    assert {entry.name for entry in control_plane.nodes_dir.iterdir()} == names
    for name in names:
        folder = NodeFolder(control_plane.nodes_dir / name)
        conflist = json.loads((folder.conf_dir / "10-aws.conflist").read_text())
        assert [plugin["type"] for plugin in conflist["plugins"]] == ["aws-cni", "egress-cni", "portmap"]
        assert conflist["plugins"][1]["mtu"] == "9001"
        for plugin in conflist["plugins"]:
            assert os.access(folder.bin_dir / plugin["type"], os.X_OK), f"{plugin['type']} is not executable"
        assert folder.state_dir.is_dir()


def test_a_deployment_becomes_available(control_plane: ControlPlane) -> None:
    init = [{"name": "init", **POD}, {"name": "sidecar", **POD, "restartPolicy": "Always"}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {**pod("x")["spec"], "initContainers": init}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    apply(control_plane, deployment)
    control_plane.run_kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=70)
    pods = get(control_plane, "pods", "--selector=app=web")["items"]
    assert len({item["status"]["podIP"] for item in pods}) == 4, "each pod has an address of its own"
    states = {item["name"]: next(iter(item["state"])) for item in pods[0]["status"]["initContainerStatuses"]}
    assert states == {"init": "terminated", "sidecar": "running"}


def test_a_job_completes(control_plane: ControlPlane) -> None:
    control_plane.run_kubectl("create", "job", "once", "--image=registry.example/app:1")
    control_plane.run_kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=60s", timeout=70)


def test_a_stuck_pod_waits_for_its_reason_and_can_be_deleted(
    control_plane: ControlPlane, until: Callable[..., None]
) -> None:
    apply(control_plane, pod("stuck", annotations={"dev.cnichain.io/stuck": "ImagePullBackOff"}))

    def reason() -> str:
        statuses = get(control_plane, "pod/stuck")["status"].get("containerStatuses", [{}])
        return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))

    until(lambda: reason() == "ImagePullBackOff", "the pod's container waits with ImagePullBackOff")
    control_plane.run_kubectl("delete", "pod/stuck", "--timeout=20s")


def test_an_unready_pod_runs_and_is_never_ready(control_plane: ControlPlane, until: Callable[..., None]) -> None:
    apply(control_plane, pod("unready", annotations={"dev.cnichain.io/unready": "yes"}))
    until(lambda: get(control_plane, "pod/unready")["status"]["phase"] == "Running", "it runs")
    (container,) = get(control_plane, "pod/unready")["status"]["containerStatuses"]
    assert (container["ready"], next(iter(container["state"]))) == (False, "running")
    control_plane.run_kubectl("delete", "pod/unready", "--timeout=20s")


@pytest.mark.parametrize(("after", "is_ready_before"), [("0s", False), ("1s", True)])
def test_a_pod_crashes_again_and_again(
    control_plane: ControlPlane, until: Callable[..., None], after: str, is_ready_before: bool
) -> None:
    name = f"crashes-after-{after}"
    apply(control_plane, pod(name, annotations={"dev.cnichain.io/crash": after}))
    seen: list[dict[str, Any]] = []

    def restarts() -> int:
        seen.append(get(control_plane, f"pod/{name}")["status"])
        return int(seen[-1].get("containerStatuses", [{}])[0].get("restartCount", 0))

    until(lambda: restarts() >= 3, "it has crashed three times")
    (container,) = seen[-1]["containerStatuses"]
    assert (seen[-1]["phase"], container["ready"]) == ("Running", False)
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 1
    ready = {item["status"] for status in seen for item in status.get("conditions", []) if item["type"] == "Ready"}
    assert ready == ({"True", "False"} if is_ready_before else {"False"})
    control_plane.run_kubectl("delete", f"pod/{name}", "--timeout=20s")


def test_a_node_can_be_made_not_ready_and_back(control_plane: ControlPlane) -> None:
    name = get(control_plane, "nodes")["items"][0]["metadata"]["name"]
    control_plane.run_kubectl("annotate", "node", name, "dev.cnichain.io/not-ready=yes")
    control_plane.run_kubectl("wait", "--for=condition=Ready=false", f"node/{name}", "--timeout=20s")
    control_plane.run_kubectl("annotate", "node", name, "dev.cnichain.io/not-ready-")
    control_plane.run_kubectl("wait", "--for=condition=Ready=true", f"node/{name}", "--timeout=20s")


def test_the_audit_log_tells_a_write_from_a_read(control_plane: ControlPlane, until: Callable[..., None]) -> None:
    control_plane.run_kubectl("create", "configmap", "audited", "--namespace=default")

    def entries() -> list[dict[str, Any]]:
        found = auditlog.entries(control_plane.audit_log)
        return [one for one in found if one.get("objectRef", {}).get("name") == "audited"]

    until(lambda: bool(entries()), "the write is in the audit log")
    assert {entry["verb"] for entry in entries()} == {"create"}
    assert {entry["user"]["username"] for entry in entries()} == {"cnichain-dev"}
    assert all("requestObject" not in entry for entry in entries()), "level Metadata has no bodies"


def test_cilium_stand_ins_act_only_once_their_pods_run(control_plane: ControlPlane, until: Callable[..., None]) -> None:
    folders = [NodeFolder(path) for path in control_plane.nodes_dir.iterdir()]
    assert not any((folder.bin_dir / "cilium-cni").exists() for folder in folders)
    apply(control_plane, *_cilium())
    until(
        lambda: all(os.access(folder.bin_dir / "cilium-cni", os.X_OK) for folder in folders),
        "cilium-cni is on every node",
    )
    crds = ("ciliumnodes", "ciliumendpoints", "ciliumidentities", "ciliumnetworkpolicies")
    until(
        lambda: all(f"{crd}.cilium.io" in control_plane.run_kubectl("get", "crds", "--output=name") for crd in crds),
        "Cilium's CRDs are registered",
        seconds=60,
    )
    crd = get(control_plane, "crd/ciliumnodes.cilium.io")
    assert crd["metadata"]["labels"]["io.cilium.k8s.crd.schema.version"]


def test_the_apiserver_can_be_stopped_and_started_alone(control_plane: ControlPlane) -> None:
    control_plane.run_kubectl("create", "configmap", "kept", "--namespace=default")
    control_plane.stop_apiserver()
    with pytest.raises(DevError, match="refused"):
        control_plane.run_kubectl("get", "namespaces")
    control_plane.start_apiserver()
    assert get(control_plane, "configmap/kept", "--namespace=default"), "the data survived"
    with pytest.raises(DevError, match="is running"):
        control_plane.start_apiserver()


def _cilium() -> list[dict[str, Any]]:
    def workload(kind: str, name: str, label: str) -> dict[str, Any]:
        template = {"metadata": {"labels": {"k8s-app": label}}, "spec": pod("x", hostNetwork=True)["spec"]}
        return {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": {"k8s-app": label}}, "template": template},
        }

    return [
        workload("DaemonSet", "cilium", "cilium"),
        workload("Deployment", "cilium-operator", "cilium-operator"),
    ]


def test_a_run_without_nodes(tmp_path: Path, toolbox: Any) -> None:
    with ControlPlane.run(tmp_path / "empty", toolbox=toolbox) as control_plane:
        assert get(control_plane, "nodes")["items"] == []
        assert control_plane.ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
