"""Calico as the policy engine, on a real API server with the real manifests of both releases.

There is no data plane: `cnichain.dev.tigera` stands in for tigera-operator. The tests of this file run in order; they
take one cluster from Cilium alone to Calico, through an upgrade, and back.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, Harness, harness

pytestmark = pytest.mark.controlplane

CILIUM = {"cilium": {"version": "1.20.0"}}
CALICO_326 = CILIUM | {"policyEngine": "Calico", "calico": {"enabled": True, "version": "3.26.0"}}
CALICO_332 = CILIUM | {"policyEngine": "Calico", "calico": {"enabled": True, "version": "3.32.1"}}
INSTALLATIONS = "/apis/operator.tigera.io/v1/installations/default"
DEPLOYMENT = "/apis/apps/v1/namespaces/tigera-operator/deployments/tigera-operator"
CILIUM_CONFIG = "/api/v1/namespaces/kube-system/configmaps/cilium-config"
CILIUM_DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/cilium"
TIGERA_STATUS = "/apis/operator.tigera.io/v1/tigerastatuses/calico"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
HOLD = "test.cnichain.io/hold"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path, calico_dir: Path) -> Iterator[Harness]:
    """A cluster with agents, and one folder of charts and manifests."""
    folder = tmp_path_factory.mktemp("charts-and-manifests")
    for item in (*chart_dir.iterdir(), *calico_dir.iterdir()):
        (folder / item.name).symlink_to(item)
    with harness(tmp_path_factory.mktemp("calico"), folder) as running, running.agents():
        for file in ("rbac.yaml", "rbac-calico.yaml"):
            running.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base' / file}")
        yield running


@pytest.fixture(scope="module")
def operator(world: Harness) -> Iterator[Harness]:
    """The same with the operator, under its shipped roles and no others."""
    with world.operator(kubeconfig=str(world.kubeconfig_of("cnichain-operator"))):
        yield world


def audit(world: Harness, start: int = 0) -> list[tuple[str, str]]:
    """(verb, path) of everyone's accepted writes from line `start` of the audit log on, in order."""
    writes = {"create", "update", "patch", "delete"}
    return [
        (item["verb"], item["requestURI"].partition("?")[0])
        for item in world.audit(start)
        if item["verb"] in writes and item["responseStatus"]["code"] < 300
    ]


def enforces(world: Harness) -> str:
    """Whether Cilium's agents are told to enforce NetworkPolicy."""
    return str(world.get("configmap", "cilium-config", "-n", "kube-system")["data"]["enable-k8s-networkpolicy"])


def installation(world: Harness) -> dict[str, Any]:
    return world.get("installation", "default", "--show-managed-fields")


def test_without_calico_its_condition_is_disabled_and_ready_does_not_wait_for_it(operator: Harness) -> None:
    operator.apply_chain(CILIUM)
    operator.wait_ready()
    found = operator.conditions()["CalicoReady"]
    assert (found["status"], found["reason"]) == ("False", "Disabled")
    assert enforces(operator) == "true"
    assert operator.get("cnichain", "default")["status"]["effective"]["policyEngine"] == "Cilium"


def test_two_engines_are_refused(operator: Harness) -> None:
    start = operator.audit_length()
    operator.apply_chain(CILIUM | {"calico": {"enabled": True, "version": "3.26.0"}})
    operator.wait_reason("Stalled", "TwoPolicyEngines")
    assert operator.conditions()["CiliumReady"]["status"] == "True", "what runs is not touched by it"
    assert not [path for _, path in audit(operator, start) if "tigera" in path], "nothing of Calico may be applied"


def test_a_second_tigera_operator_is_refused(operator: Harness) -> None:
    operator.kubectl("create", "namespace", "elsewhere")
    operator.kubectl("create", "deployment", "tigera-operator", "-n", "elsewhere", "--image=x", "--replicas=0")
    operator.apply_chain(CALICO_326)
    message = operator.wait_reason("Stalled", "TwoTigeraOperators")["message"]
    assert "elsewhere/tigera-operator" in message
    assert operator.conditions()["CalicoReady"]["reason"] == "TwoTigeraOperators"
    operator.kubectl("delete", "namespace", "elsewhere", "--wait=false")
    operator.kubectl("delete", "deployment", "tigera-operator", "-n", "elsewhere", "--ignore-not-found")


def test_calico_takes_over_only_when_it_is_available(operator: Harness) -> None:
    start = operator.audit_length()
    operator.apply_chain(CALICO_326)
    operator.wait("Calico is ready", lambda: operator.conditions()["CalicoReady"]["status"] == "True")
    operator.wait_ready()
    assert enforces(operator) == "false"
    status = operator.get("cnichain", "default")["status"]
    assert (status["versions"]["calico"], status["effective"]["policyEngine"]) == ("3.26.0", "Calico")
    done = audit(operator, start)
    crds = [number for number, (verb, path) in enumerate(done) if verb == "patch" and path.startswith(CRDS)]
    installed = done.index(("patch", INSTALLATIONS))
    available = max(number for number, write in enumerate(done) if write == ("patch", f"{TIGERA_STATUS}/status"))
    handed_over = [number for number, write in enumerate(done) if write == ("patch", CILIUM_CONFIG)]
    assert len(crds) >= 22, "the CRDs go to the cluster by server-side apply"
    assert max(crds) < done.index(("patch", DEPLOYMENT)) < installed, (
        "CRDs, then tigera-operator, then the Installation"
    )
    assert available < min(handed_over), "Cilium was told to leave NetworkPolicy before Calico was available"


def test_the_installation_is_ours_where_we_wrote_it_and_tigeras_elsewhere(operator: Harness) -> None:
    found = installation(operator)
    mine = [item for item in found["metadata"]["managedFields"] if item["manager"] == "cnichain"]
    assert len(mine) == 1
    assert mine[0]["fieldsV1"]["f:spec"] == {
        "f:calicoNetwork": {"f:ipPools": {}, "f:linuxDataplane": {}},
        "f:cni": {"f:type": {}},
    }
    spec = found["spec"]
    assert (spec["cni"]["type"], spec["calicoNetwork"]["ipPools"]) == ("AmazonVPC", [])
    assert spec["calicoNetwork"]["linuxDataplane"] == "Iptables"
    assert "containerIPForwarding" not in spec["calicoNetwork"], "tigera-operator refuses it with the VPC CNI"
    assert spec["calicoNetwork"]["bgp"] == "Disabled", "what tigera-operator writes by itself must stay"
    operator.kubectl("patch", "installation", "default", "--type=merge",
                     '--patch={"spec":{"calicoNetwork":{"linuxDataplane":"BPF"}}}')  # fmt: skip
    operator.wait(
        "the data plane is Iptables again",
        lambda: installation(operator)["spec"]["calicoNetwork"]["linuxDataplane"] == "Iptables",
    )
    operator.wait_ready()


def test_a_short_outage_of_calico_does_not_restart_ciliums_agents(operator: Harness) -> None:
    start = operator.audit_length()
    stick(operator, "CrashLoopBackOff")
    operator.wait(
        "Calico's words are carried over",
        lambda: "ResourceNotReady: Waiting for calico-node" in operator.conditions()["CalicoReady"]["message"],
    )
    assert operator.conditions()["Ready"]["status"] == "False"
    assert operator.conditions()["Stalled"]["status"] == "False", "tigera-operator calls Degraded what it waits for"
    stick(operator, None)
    operator.wait_ready()
    assert ("patch", CILIUM_CONFIG) not in audit(operator, start)


def stick(world: Harness, reason: str | None) -> None:
    """Let new pods of calico-node wait for a reason, or no longer."""
    template = {"metadata": {"annotations": {"dev.cnichain.io/stuck": reason}}}
    patch = json.dumps({"spec": {"template": template}})
    world.kubectl("patch", "daemonset", "calico-node", "-n", "calico-system", "--type=merge", f"--patch={patch}")


def test_an_upgrade_goes_over_several_minors_at_once(operator: Harness) -> None:
    operator.apply_chain(CALICO_332)
    operator.wait(
        "Calico 3.32.1", lambda: operator.get("cnichain", "default")["status"]["versions"]["calico"] == "3.32.1"
    )
    operator.wait_ready()
    container = operator.get("deployment", "tigera-operator", "-n", "tigera-operator")["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container["image"].endswith(":v1.42.3")
    assert container["args"] == ["-manage-crds=false"], "the CRDs have one owner, and it is CNIChain"
    assert operator.exists("crd", "tiers.crd.projectcalico.org")
    assert enforces(operator) == "false"
    assert "3.32.1" in operator.kubectl("get", "cnichain", "default", "--output=wide")


def test_no_hook_was_applied(operator: Harness) -> None:
    inventory = operator.get("configmap", "cnichain-inventory-default", "-n", "cnichain-system")["data"][
        "objects.jsonl"
    ]
    keys = [json.loads(line) for line in inventory.splitlines()]
    assert {item["kind"] for item in keys if item["stage"].startswith("calico")} == {
        "Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "RoleBinding",
        "Deployment", "Installation",
    }  # fmt: skip
    assert not [item for item in keys if item["kind"] == "Job"], "tigera-operator's uninstall hook is a Job"


def test_going_back_a_minor_is_refused(operator: Harness) -> None:
    operator.apply_chain(CALICO_326)
    operator.wait_reason("Stalled", "CalicoDowngrade")
    operator.apply_chain(CALICO_332)
    operator.wait_ready()


def test_calico_is_not_removed_under_what_needs_it(operator: Harness) -> None:
    body = {"apiVersion": "operator.tigera.io/v1", "kind": "Goldmane", "metadata": {"name": "default"}}
    operator.kubectl("create", "--filename=-", stdin=json.dumps(body))
    operator.apply_chain(CILIUM)
    message = operator.wait_reason("Stalled", "CalicoInUse")["message"]
    assert "Goldmane default" in message
    assert not installation(operator)["metadata"].get("deletionTimestamp")
    assert enforces(operator) == "true", "Cilium enforces again before Calico goes"
    operator.apply_chain(CALICO_332)
    operator.kubectl("delete", "goldmane", "default", "--timeout=30s")
    operator.wait("Calico is the engine again", lambda: enforces(operator) == "false")
    operator.wait_ready()


def test_removal_in_order_also_by_an_operator_that_was_killed(world: Harness, operator: Harness) -> None:
    start = world.audit_length()
    held = [HOLD, *installation(world)["metadata"]["finalizers"]]
    world.kubectl("patch", "installation", "default", "--type=merge",
                  f"--patch={json.dumps({'metadata': {'finalizers': held}})}")  # fmt: skip
    world.apply_chain(CILIUM)
    world.wait("the Installation is being deleted", lambda: installation(world)["metadata"].get("deletionTimestamp"))
    newest = world.processes[-1]
    newest.kill()
    newest.wait(timeout=20)
    assert world.exists("deployment", "tigera-operator", "-n", "tigera-operator")
    with world.operator(kubeconfig=str(world.kubeconfig_of("cnichain-operator"))):
        world.wait_reason("CalicoReady", "CalicoRemoving")
        assert world.exists("deployment", "tigera-operator", "-n", "tigera-operator"), (
            "tigera-operator may not go while its Installation has finalizers"
        )
        world.wait(
            "tigera-operator's finalizers are off", lambda: installation(world)["metadata"]["finalizers"] == [HOLD]
        )
        world.kubectl("patch", "installation", "default", "--type=merge", '--patch={"metadata":{"finalizers":null}}')
        world.wait("the removal is done", lambda: world.conditions()["CalicoReady"]["reason"] == "Disabled")
        world.wait("its end is told of", lambda: "CalicoRemoved" in world.reasons_of_events(), 20)
        world.wait_ready()
    done = audit(world, start)
    order = [("patch", CILIUM_CONFIG), ("delete", INSTALLATIONS), ("delete", DEPLOYMENT),
             ("delete", "/apis/rbac.authorization.k8s.io/v1/clusterroles/tigera-operator")]  # fmt: skip
    assert [done.index(write) for write in order] == sorted(done.index(write) for write in order), done
    assert not world.exists("installation", "default")
    assert world.exists("crd", "installations.operator.tigera.io"), "CRDs hold what users made and are kept"
    assert world.exists("namespace", "tigera-operator")
    assert enforces(world) == "true"
    assert world.get("cnichain", "default")["status"]["versions"].get("calico", "") == ""


def test_uninstalling_the_chain_takes_calico_off_first_and_in_order(world: Harness) -> None:
    with world.operator(kubeconfig=str(world.kubeconfig_of("cnichain-operator"))):
        world.apply_chain(CALICO_332 | {"deletionPolicy": "Uninstall"})
        world.wait("Calico is ready", lambda: world.conditions()["CalicoReady"]["status"] == "True")
        world.wait_ready()
        body = {"apiVersion": "operator.tigera.io/v1", "kind": "Goldmane", "metadata": {"name": "default"}}
        world.kubectl("create", "--filename=-", stdin=json.dumps(body))
        start = world.audit_length()
        world.kubectl("delete", "cnichain", "default", "--wait=false")
        world.wait_reason("Ready", "CalicoInUse")
        assert not installation(world)["metadata"].get("deletionTimestamp")
        world.kubectl("delete", "goldmane", "default", "--timeout=30s")
        world.wait("the chain is gone", lambda: not world.exists("cnichain", "default"))
    done = audit(world, start)
    order = [("delete", INSTALLATIONS), ("delete", DEPLOYMENT), ("delete", CILIUM_DAEMON_SET)]
    assert [done.index(write) for write in order] == sorted(done.index(write) for write in order), done
    assert not world.exists("installation", "default")
    assert not world.exists("deployment", "tigera-operator", "-n", "tigera-operator")
    assert world.exists("crd", "installations.operator.tigera.io"), "CRDs hold what users made and are kept"


def test_the_shipped_roles_were_enough(world: Harness) -> None:
    denied = {
        f"{item['verb']} {item['requestURI']}" for item in world.audited() if item["responseStatus"]["code"] == 403
    }
    assert denied == set(), "requests that the shipped roles do not allow"
