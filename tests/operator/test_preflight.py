"""Preflight against a real API server: each trap is refused by its own name, and looking changes nothing."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cnichain.api.reasons import REASONS, Reason
from harness import ROOT, WRITES, Harness

pytestmark = pytest.mark.controlplane

KUBE_SYSTEM = "--namespace=kube-system"
CHECK_SECONDS = 60
NODE_KINDS = {"Fargate": "fargate", "hybrid": "hybrid", "Auto Mode": "auto"}

Change = Callable[[Harness], None]


def chain(version: str, **values: Any) -> dict[str, Any]:
    return {"cilium": {"version": version, "values": values}}


def create(world: Harness, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        world.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(body))


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def workload(kind: str, place: str, image: str, **labels: str) -> dict[str, Any]:
    space, _, name = place.partition("/")
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"nodeSelector": {"nobody": "here"}, "containers": [{"name": "main", "image": image}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


@contextmanager
def ipvs(world: Harness) -> Iterator[None]:
    """kube-proxy in the mode ipvs."""
    before = world.get("configmap", "kube-proxy-config", KUBE_SYSTEM)["data"]["config"]

    def put(text: str) -> None:
        patch = json.dumps({"data": {"config": text}})
        world.kubectl("patch", "configmap", "kube-proxy-config", KUBE_SYSTEM, "--type=merge", f"--patch={patch}")

    put(before.replace("iptables", "ipvs"))
    try:
        yield
    finally:
        put(before)


@contextmanager
def kind_of_others(world: Harness, kind: str, group: str) -> Iterator[None]:
    """The least of the CRD of a cluster-scoped kind that somebody else brings; it goes with its objects."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    plural = f"{kind.lower()}s"
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    create(world, crd)
    world.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}", "--timeout=30s")
    try:
        yield
    finally:
        world.kubectl("delete", "crd", f"{plural}.{group}", "--timeout=30s")


@contextmanager
def calico_with_ebpf(world: Harness) -> Iterator[None]:
    """An Installation of Calico with the eBPF dataplane, and the least of its CRD."""
    spec = {"calicoNetwork": {"linuxDataplane": "BPF"}}
    body = {"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "metadata": {"name": "default"}}
    with kind_of_others(world, "Installation", "operator.tigera.io"):
        create(world, body | {"spec": spec})
        yield


@contextmanager
def three_policy_engines(world: Harness) -> Iterator[None]:
    """Calico, and the VPC CNI's network policy agent with enforcement on, where Cilium is to enforce as well."""
    before = world.get("daemonset", "aws-node", KUBE_SYSTEM)
    agent = {
        "name": "aws-eks-nodeagent",
        "image": "example.invalid/agent:v1.2.7",
        "args": ["--enable-network-policy=true"],
    }
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [agent]}}}})
    create(world, namespace("calico-system"), workload("DaemonSet", "calico-system/calico-node", "calico/node:v3.30.0"))
    world.kubectl("patch", "daemonset", "aws-node", KUBE_SYSTEM, f"--patch={patch}")
    try:
        yield
    finally:
        world.kubectl("delete", "daemonset", "calico-node", "--namespace=calico-system", "--timeout=30s")
        containers = before["spec"]["template"]["spec"]["containers"]
        back = json.dumps([{"op": "replace", "path": "/spec/template/spec/containers", "value": containers}])
        world.kubectl("patch", "daemonset", "aws-node", KUBE_SYSTEM, "--type=json", f"--patch={back}")


@contextmanager
def two_tigera_operators(world: Harness) -> Iterator[None]:
    """The tigera-operator of an older guide, and one more."""
    places = ("tigera-operator/tigera-operator", "calico-apps/tigera-operator")
    label = {"k8s-app": "tigera-operator"}
    active = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"active-namespace": "tigera-operator"}}
    for place in places:
        create(world, namespace(place.partition("/")[0]))
        create(world, workload("Deployment", place, "quay.io/tigera/operator:v1.36.2", **label))
    create(world, namespace("calico-system"))
    create(world, active | {"metadata": {"name": "active-operator", "namespace": "calico-system"}})
    try:
        yield
    finally:
        for place in places:
            world.kubectl("delete", "deployment", "tigera-operator", f"--namespace={place.partition('/')[0]}")
        world.kubectl("delete", "configmap", "active-operator", "--namespace=calico-system")


@contextmanager
def second_cilium(world: Harness) -> Iterator[None]:
    """A Cilium in a namespace of its own."""
    create(world, namespace("networking"), workload("DaemonSet", "networking/cilium", "quay.io/cilium/cilium:v1.16.4"))
    try:
        yield
    finally:
        world.kubectl("delete", "daemonset", "cilium", "--namespace=networking", "--timeout=30s")


@contextmanager
def nothing(world: Harness) -> Iterator[None]:
    """The cluster as it is: the trap is in the spec."""
    yield


TRAPS = {
    "IPVS with Cilium 1.19": (chain("1.19.6"), ipvs, Reason.KUBE_PROXY_IPVS, "ipvs"),
    "cluster id 200": (chain("1.17.3", cluster={"name": "a", "id": 200}), nothing, Reason.CLUSTER_ID_UNUSABLE, "128"),
    "generic-veth on the VPC CNI": (
        chain("1.17.3", cni={"chainingMode": "generic-veth"}),
        nothing,
        Reason.CHAINING_MODE_UNSAFE,
        "SNAT",
    ),
    "BPF and BPF": (chain("1.18.12"), calico_with_ebpf, Reason.CALICO_DATAPLANE_CONFLICT, "eBPF"),
    "three policy engines": (chain("1.20.0"), three_policy_engines, Reason.POLICY_ENGINES_TOO_MANY, "Calico"),
    "two tigera-operators": (
        chain("1.17.18"),
        two_tigera_operators,
        Reason.TWO_TIGERA_OPERATORS,
        "the one in tigera-operator",
    ),
    "a second Cilium": (chain("1.17.3"), second_cilium, Reason.SECOND_CILIUM, "networking/cilium"),
    "a value that the chart refuses": (
        chain("1.17.3", kubeProxyReplacement="strict"),
        nothing,
        Reason.CHART_INVALID_VALUES,
        "kubeProxyReplacement",
    ),
}


@pytest.fixture(scope="module")
def running(world: Harness) -> Iterator[Harness]:
    """The operator, for all tests of this module."""
    with world.operator():
        yield world


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_by_its_own_name(running: Harness, name: str) -> None:
    spec, trap, reason, said = TRAPS[name]
    start = running.audit_length()
    with trap(running):
        running.apply_chain(spec)
        ready = running.wait_reason("Ready", reason.value)
        assert said in ready["message"]
        conditions = running.conditions()
        assert conditions["Stalled"]["status"] == "True", "a person has to put it right"
        assert REASONS[reason].fix in conditions["Stalled"]["message"]
        if reason is not Reason.CHART_INVALID_VALUES:
            assert (conditions["PreflightPassed"]["status"], conditions["PreflightPassed"]["reason"]) == (
                "False",
                reason.value,
            )
            found = running.get("cnichain", "default")["status"]["preflight"]
            assert (found[0]["level"], found[0]["reason"]) == ("refused", reason.value)
        # Before the trap is gone: from then on the operator may go on.
        writes = [item["requestURI"] for item in running.audited(start) if item["verb"] in WRITES]
        others = [uri for uri in writes if "/cnichains" not in uri and "/events" not in uri]
        assert others == [], "nothing may be applied for a chain that is refused"
        running.delete_chain()


def test_all_refusals_are_told_at_once(running: Harness) -> None:
    with ipvs(running):
        running.apply_chain(chain("1.19.6", cluster={"name": "a", "id": 200}))
        ready = running.wait_reason("Ready", Reason.CLUSTER_ID_UNUSABLE.value)
        assert "Also refused: KubeProxyIPVS: " in ready["message"]
        running.delete_chain()


def check(kubeconfig: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`cnichain check --pre` as a user runs it."""
    command = [sys.executable, "-m", "cnichain.cli.main", "check", "--pre", f"--kubeconfig={kubeconfig}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)


def chain_file(folder: Path, spec: dict[str, Any]) -> str:
    path = folder / "chain.yaml"
    body = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChain", "metadata": {"name": "default"}, "spec": spec}
    path.write_text(f"---\nkind: Other\n---\n{json.dumps(body)}\n", encoding="utf-8")
    return f"--filename={path}"


def test_the_check_says_so_before_anything_is_applied_and_only_reads(world: Harness, tmp_path: Path) -> None:
    start = world.audit_length()
    with ipvs(world):
        spec = chain("1.19.6", cni={"exclusive": True})
        refused = check(world.control_plane.kubeconfig, chain_file(tmp_path, spec), "--output=json")
    fine = check(world.control_plane.kubeconfig)
    assert refused.returncode == 1, refused.stderr
    report = json.loads(refused.stdout)
    found = {item["check"]: item for item in report["checks"] if item["level"] == "refused"}
    assert {code: item["reason"] for code, item in found.items()} == {
        "kube-proxy": "KubeProxyIPVS",
        "spec-values": "ReservedValue",
    }
    assert report["passed"] is False
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert "Nothing stands in the way" in fine.stdout
    assert "3 of 3 nodes are in scope" in fine.stdout
    assert max(map(len, fine.stdout.splitlines())) <= 80
    assert "\x1b" not in fine.stdout, "no colours into a pipe"
    made = world.audited(start, agent="cnichain-check")
    assert {item["verb"] for item in made} <= {"get", "list"}, "preflight only reads"
    assert not [item["requestURI"] for item in made if "/secrets" in item["requestURI"]], "it reads no Secret"
    assert any("/webhookconfigurations" in item["requestURI"] or "webhook" in item["requestURI"] for item in made)


def test_who_may_not_look_is_told_so_and_nothing_is_refused_for_it(world: Harness) -> None:
    world.kubectl("create", "serviceaccount", "nobody", "--namespace=default")
    token = world.kubectl("create", "token", "nobody", "--namespace=default").strip()
    config = json.loads(world.control_plane.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    kubeconfig = world.work / "nobody.kubeconfig"
    kubeconfig.write_text(json.dumps(config), encoding="utf-8")
    done = check(kubeconfig, "--output=json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert report["counts"]["refused"] == 0
    unknown = {item["check"]: item["message"] for item in report["checks"] if item["level"] == "unknown"}
    assert "is forbidden" in unknown["webhooks"]
    assert {"scope", "kernel", "primary", "kube-proxy", "addresses", "argocd-exclusions"} <= set(unknown)


@pytest.mark.parametrize(
    ("text", "said"),
    [("kind: Other\n", "0 documents"), ("kind: [", "cannot be read"), ("kind: CNIChain\nspec: {}\n", "spec.cilium")],
)
def test_a_check_that_cannot_be_run_has_an_exit_status_of_its_own(
    world: Harness, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    done = check(world.control_plane.kubeconfig, f"--filename={path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def karpenter(world: Harness, *pools: dict[str, Any]) -> Iterator[None]:
    """NodePools of Karpenter, and the least of their CRD."""
    with kind_of_others(world, "NodePool", "karpenter.sh"):
        create(world, *pools)
        yield


def node_pool(name: str, group: str = "karpenter.k8s.aws", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"nodeClassRef": {"group": group, "kind": "NodeClass", "name": "default"}, **spec}}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"template": template},
    }


def test_node_pools_that_start_nodes_without_the_startup_taint_are_named(running: Harness) -> None:
    taint = {"key": "cnichain.io/chain-not-ready", "effect": "NoSchedule"}
    pools = [
        node_pool("closed", startupTaints=[{"key": "other", "effect": "NoSchedule"}, taint]),
        node_pool("bare", startupTaints=[{"key": "other", "effect": "NoSchedule"}]),
        node_pool("lasting", taints=[taint]),
        node_pool("of-auto-mode", group="eks.amazonaws.com"),
        node_pool("windows", requirements=[{"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]}]),
    ]
    with karpenter(running, *pools):
        done = check(running.control_plane.kubeconfig, "--output=json")
        found = {item["check"]: item for item in json.loads(done.stdout)["checks"]}["node-pools"]
        assert (found["level"], found["reason"]) == ("warning", "StartupTaintMissing")
        assert "NodePool bare without" in found["message"]
        assert "NodePool lasting with" in found["message"]
        assert not [name for name in ("closed", "of-auto-mode", "windows") if name in found["message"]]
        running.apply_chain(chain("1.19.6", cluster={"name": "a", "id": 201}))  # refused, so nothing is installed
        running.wait_reason("Ready", Reason.CLUSTER_ID_UNUSABLE.value)
        told = {item["check"]: item for item in running.get("cnichain", "default")["status"]["preflight"]}
        assert told["node-pools"]["reason"] == "StartupTaintMissing", "the operator says so in status as well"
        running.delete_chain()
    gone = json.loads(check(running.control_plane.kubeconfig, "--output=json").stdout)["checks"]
    assert {item["check"]: item["level"] for item in gone}["node-pools"] == "ok"


def test_nodes_of_other_kinds_are_out_of_scope_and_a_chain_that_runs_is_kept(running: Harness) -> None:
    """The last test of the module, since it installs."""
    model = running.get("nodes")["items"][0]
    for kind, compute in NODE_KINDS.items():
        add_node(running, model, kind, **{"eks.amazonaws.com/compute-type": compute})
    add_node(running, model, "Windows", **{"kubernetes.io/os": "windows"})
    spec = chain("1.20.0")
    with running.agents():
        running.apply_chain(spec)
        running.wait_ready()
        status = running.get("cnichain", "default")["status"]
        assert status["nodes"]["summary"] == "3/3"
        assert status["nodes"]["outOfScopeByKind"] == dict.fromkeys((*NODE_KINDS, "Windows"), 1)
        passed = running.conditions()["PreflightPassed"]
        assert passed["status"] == "True"
        assert "KubernetesUntested: " in passed["message"], "warnings stand in the message"
        assert "KubernetesUntested" in {item["reason"] for item in status["preflight"]}
        start = running.audit_length()
        running.kubectl("annotate", "cnichain", "default", "test/again=yes", "--overwrite")
        running.wait("a pass", lambda: asked(running, start, "configmaps/cnichain-history-"), 60)
        assert not asked(running, start, "webhookconfigurations"), "what was gathered counts for minutes"
        pods = running.get("pods", KUBE_SYSTEM, "--selector=k8s-app=cilium")["items"]
        names = {item["metadata"]["name"] for item in running.get("cnichainnodes")["items"]}
        assert {pod["spec"].get("nodeName") for pod in pods} == names, "Cilium runs on the nodes in scope alone"
        assert len(names) == 3

        with ipvs(running):
            running.apply_chain(spec | {"rollout": {"progressDeadline": "9m"}})
            running.wait_reason("PreflightPassed", Reason.KUBE_PROXY_IPVS.value)
            assert running.conditions()["CiliumReady"]["status"] == "True", "what runs is not touched by it"
            running.kubectl("delete", "deployment", "hubble-ui", KUBE_SYSTEM, "--timeout=30s")
            running.wait("hubble-ui is back", lambda: running.exists("deployment", "hubble-ui", KUBE_SYSTEM), 60)
        running.wait_ready()
        running.delete_chain()


def asked(world: Harness, start: int, what: str) -> bool:
    """Whether the operator has asked for something since line `start` of the audit log."""
    return any(what in item["requestURI"] for item in world.audited(start))


def add_node(world: Harness, model: dict[str, Any], kind: str, **labels: str) -> None:
    name = f"a-{kind.lower().replace(' ', '-')}-node"
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": model["metadata"]["labels"] | {"kubernetes.io/hostname": name} | labels,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"allocatable": model["status"]["allocatable"], "capacity": model["status"]["capacity"]},
    }
    world.kubectl("create", "--filename=-", stdin=json.dumps(body))


def test_every_reason_of_a_check_is_explained() -> None:
    page = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    for _, _, reason, _ in TRAPS.values():
        assert f"## {reason.value}\n" in page
