"""The main job, with the real charts: a CNIChain is applied, becomes Ready, is kept so, and nothing is written idly."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cnichain.dev.nodefolder import NodeFolder, make_node_folder
from harness import AT_ONCE, WRITES, Harness, harness

pytestmark = pytest.mark.controlplane

SPEC: dict[str, Any] = {
    "primary": {"plugin": "aws-vpc-cni", "minVersion": "1.16.2"},
    "cilium": {"version": "1.17.3"},
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}},
}


@pytest.fixture(scope="module")
def running(world: Harness) -> Iterator[list[NodeFolder]]:
    """Operator and agents for all tests of this module; the chain is applied and its first states are recorded."""
    with ExitStack() as stack:
        watch = [str(world.control_plane.kubectl), f"--kubeconfig={world.control_plane.kubeconfig}"]
        watch += ["get", "cnichain", "--watch", "--output-watch-events", "--output=json"]
        states = stack.enter_context((world.work / "states.json").open("wb"))
        watcher = stack.enter_context(subprocess.Popen(watch, stdout=states, stderr=subprocess.DEVNULL))
        stack.callback(watcher.terminate)
        folders = stack.enter_context(world.agents())
        world.apply_chain(SPEC)
        stack.enter_context(world.operator())
        world.wait_ready()
        yield folders


def test_it_becomes_ready_and_kubectl_wait_sees_it(world: Harness, running: list[NodeFolder]) -> None:
    world.kubectl("wait", "--for=condition=Ready", "cnichain/default", "--timeout=5s")
    status = world.get("cnichain", "default")["status"]
    assert status["nodes"]["summary"] == "3/3"
    assert status["versions"]["cilium"] == "1.17.3"
    assert status["versions"]["primary"].startswith("v1.18.5")
    assert status["versions"]["chartSource"] == "official"
    values = {kind: item["status"] for kind, item in world.conditions().items()}
    assert values == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "PreflightPassed": "True",
        "CiliumReady": "True",
        "ChainReady": "True",
        "HubbleReady": "True",
        "CalicoReady": "False",
        "PodsManaged": "Unknown",
        "Drifted": "False",
        "RollingOut": "False",
        "RolledBack": "False",
        "CatalogueValid": "True",
    }
    assert world.conditions()["PodsManaged"]["reason"] == "NotMeasured"
    world.wait("the stages are told of", lambda: "StageApplied" in world.reasons_of_events(), 20)
    row = world.kubectl("get", "cnichain", "--no-headers").split()
    assert row[:7] == ["default", "aws-vpc-cni", "1.17.3", "Ready", "3/3", "Unknown", "True"]


def test_the_first_status_has_ready_reconciling_and_the_generation(world: Harness, running: list[NodeFolder]) -> None:
    first = next(state for state in states(world) if state["status"].get("conditions"))
    types = {item["type"]: item["status"] for item in first["status"]["conditions"]}
    assert types == {"Ready": "Unknown", "Reconciling": "True", "Stalled": "False"}
    assert first["status"]["observedGeneration"] == first["metadata"]["generation"]


def test_the_stages_come_in_order(world: Harness, running: list[NodeFolder]) -> None:
    seen = list(dict.fromkeys(state["status"].get("stage", "") for state in states(world) if state.get("status")))
    assert seen == ["", "config", "operator", "agents", "hubble"], "stages in the order in which status showed them"
    made = {
        name: world.get(kind, name, "--namespace=kube-system")["metadata"]["creationTimestamp"]
        for kind, name in (("deployment", "cilium-operator"), ("daemonset", "cilium"), ("deployment", "hubble-relay"))
    }
    assert made["cilium-operator"] <= made["cilium"] <= made["hubble-relay"]


def test_every_node_has_the_chain(world: Harness, running: list[NodeFolder]) -> None:
    assert len(running) == 3
    for folder in running:
        chained = json.loads((folder.conf_dir / "05-cilium.conflist").read_bytes())
        assert [plugin["type"] for plugin in chained["plugins"]] == ["aws-cni", "egress-cni", "portmap", "cilium-cni"]
    row = world.kubectl("get", "cnichainnodes", "--no-headers").splitlines()[0].split()
    assert row[1:4] == ["InSync", "aws-cni,egress-cni,portmap,cilium-cni", "Installed"]


def test_an_adoption_writes_at_most_four_times_for_each_node(world: Harness, running: list[NodeFolder]) -> None:
    """Its label and its CNIChainNode, and what its agent reports: at most that it waits, and that it is well."""
    written: dict[str, list[str]] = {}
    for item in [*world.audited(), *world.audited(agent="cnichain-agent")]:
        target = item.get("objectRef") or {}
        if item["verb"] in WRITES and target.get("resource") in ("nodes", "cnichainnodes"):
            what = "/".join(filter(None, (target["resource"], target.get("subresource"))))
            written.setdefault(target["name"], []).append(what)
    assert set(written) == {folder.root.name for folder in running}
    assert all({"nodes", "cnichainnodes", "cnichainnodes/status"} == set(whats) for whats in written.values()), written
    assert max(map(len, written.values())) <= 4, f"for each node: {written}"


def test_spec_is_as_it_was_written(world: Harness, running: list[NodeFolder]) -> None:
    spec = world.get("cnichain", "default")["spec"]
    assert spec == {**SPEC, "rollout": AT_ONCE}


def test_nothing_but_the_finalizer_is_left_on_the_users_object(world: Harness, running: list[NodeFolder]) -> None:
    chain = world.get("cnichain", "default")
    assert chain["metadata"]["finalizers"] == ["cnichain.io/finalizer"]
    left = [name for name in chain["metadata"]["annotations"] if "kubectl" not in name]
    assert left == [], "annotations that the operator left on the user's object"
    assert "kopf" not in json.dumps(chain)


def test_the_primary_is_untouched(world: Harness, running: list[NodeFolder]) -> None:
    managers = {item["manager"] for item in world.get("ds", "aws-node", "-n", "kube-system", "--show-managed-fields")[
        "metadata"]["managedFields"]}  # fmt: skip
    assert not {name for name in managers if name == "cnichain" or name.startswith("cnichain-status")}
    for folder in running:
        assert "cilium" not in (folder.conf_dir / "10-aws.conflist").read_text(encoding="utf-8")


def test_an_unchanged_chain_is_read_and_not_written(world: Harness, running: list[NodeFolder]) -> None:
    """Two passes over an unchanged CNIChain, asserted from the API server's audit log."""
    settle(world)
    start = world.audit_length()
    for turn in range(2):
        before = world.audit_length()
        world.kubectl("annotate", "cnichain", "default", f"test/turn={turn}", "--overwrite")
        world.wait(
            "a pass after the annotation (it reads the history)",
            partial(passed, world, before),
            30,
        )
    settle(world)
    writes = [f"{item['verb']} {item['requestURI']}" for item in world.audited(start) if item["verb"] in WRITES]
    assert writes == [], "an unchanged CNIChain must cost reads only"


def test_private_keys_are_nowhere_but_in_their_secrets(world: Harness, running: list[NodeFolder]) -> None:
    names = ["cilium-ca", "hubble-server-certs", "hubble-relay-client-certs"]
    secrets = [world.get("secret", name, "--namespace=kube-system")["data"] for name in names]
    keys = [value for data in secrets for name, value in data.items() if name.endswith(".key")]
    assert len(keys) == 3
    logs = "".join(path.read_text(encoding="utf-8") for path in world.logs)
    told = json.dumps([world.get("cnichain"), world.get("events", "-A"), world.get("configmaps", "-A")]) + logs
    for key in keys:
        pem = base64.b64decode(key).decode()
        assert key not in told, "a private key, as it stands in its Secret, is in a log, event, status or ConfigMap"
        assert pem.splitlines()[1] not in told, "a line of a private key is in a log, event, status or ConfigMap"
    assert "PRIVATE KEY" not in told


def test_a_deleted_child_comes_back(world: Harness, running: list[NodeFolder]) -> None:
    for kind, name in (("deployment", "hubble-relay"), ("configmap", "cilium-config"), ("daemonset", "cilium")):
        old = world.get(kind, name, "-n", "kube-system")["metadata"]["uid"]
        world.kubectl("delete", kind, name, "-n", "kube-system", "--timeout=30s")
        world.wait(
            f"a new {kind} {name}",
            partial(is_new, world, kind, name, old),
            30,
        )
    world.wait_ready()
    assert "DriftCorrected" in world.reasons_of_events()


def test_a_changed_field_is_put_back_and_a_foreign_one_is_left(world: Harness, running: list[NodeFolder]) -> None:
    patch = json.dumps({"data": {"enable-hubble": "false", "a-foreign-key": "stays"}})
    world.kubectl("patch", "configmap", "cilium-config", "-n", "kube-system", "--type=merge", f"--patch={patch}")
    world.wait(
        "enable-hubble is true again",
        lambda: world.get("configmap", "cilium-config", "-n", "kube-system")["data"]["enable-hubble"] == "true",
        30,
    )
    data = world.get("configmap", "cilium-config", "-n", "kube-system")["data"]
    assert data["a-foreign-key"] == "stays", "only our own fields may be corrected"
    # The condition of the test before, with its own names, may still be there.
    world.wait("who changed it is named", lambda: "kubectl-patch" in world.conditions()["Drifted"]["message"], 30)
    assert world.conditions()["Drifted"]["reason"] == "DriftCorrected"


def test_a_part_that_is_switched_off_is_pruned(world: Harness, running: list[NodeFolder]) -> None:
    world.apply_chain(SPEC | {"hubble": {"relay": {"enabled": True}, "ui": {"enabled": False}}})
    world.wait("hubble-ui is gone", lambda: not world.exists("deployment", "hubble-ui", "-n", "kube-system"), 60)
    world.wait_ready()
    assert world.exists("deployment", "hubble-relay", "-n", "kube-system")
    assert not world.exists("serviceaccount", "hubble-ui", "-n", "kube-system")
    world.apply_chain(SPEC)
    world.wait("hubble-ui is back", lambda: world.exists("deployment", "hubble-ui", "-n", "kube-system"), 60)
    world.wait_ready()


def test_a_node_that_joins_is_counted_and_one_that_leaves_is_forgotten(
    world: Harness, running: list[NodeFolder]
) -> None:
    name = world.get("nodes")["items"][0]["metadata"]["name"]
    node = world.get("node", name)
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "joins-late",
            "labels": node["metadata"]["labels"] | {"kubernetes.io/hostname": "joins-late"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"allocatable": node["status"]["allocatable"], "capacity": node["status"]["capacity"]},
    }
    world.kubectl("create", "--filename=-", stdin=json.dumps(body))
    condition = world.wait(
        "3/4 nodes verified",
        lambda: "3/4" in world.conditions()["ChainReady"]["message"] and world.conditions()["ChainReady"],
        60,
    )
    assert "joins-late: no report from its agent yet" in condition["message"]
    assert world.conditions()["Ready"]["status"] == "False"
    world.kubectl("delete", "node", "joins-late", "--timeout=30s")
    world.wait_ready()
    world.wait("its CNIChainNode is gone", lambda: not world.exists("cnichainnode", "joins-late"), 60)


def test_a_new_node_opens_for_pods_only_when_its_chain_is_verified(world: Harness, running: list[NodeFolder]) -> None:
    """The startup taint goes once the chain is verified on the node, and no other taint goes with it."""
    name = "starts-tainted"
    model = world.get("node", running[0].root.name)
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": model["metadata"]["labels"] | {"kubernetes.io/hostname": name},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {
            "taints": [
                {"key": "cnichain.io/chain-not-ready", "effect": "NoSchedule"},
                {"key": "someone.else/taint", "effect": "NoSchedule"},
            ]
        },
        "status": {"allocatable": model["status"]["allocatable"], "capacity": model["status"]["capacity"]},
    }

    def taints() -> set[str]:
        return {taint["key"] for taint in world.get("node", name)["spec"].get("taints", [])}

    folder = make_node_folder(world.control_plane.nodes_dir, name, egress_mtu="9001")
    world.kubectl("create", "--filename=-", stdin=json.dumps(body))
    try:
        world.wait("Cilium is on the node", lambda: name in nodes_of_cilium(world), 60)
        world.wait("it is counted and not verified", lambda: summary(world) == "3/4", 60)
        assert "cnichain.io/chain-not-ready" in taints(), "the taint must stay while the chain is not verified"
        with world.agent(folder):
            world.wait("the startup taint is gone", lambda: "cnichain.io/chain-not-ready" not in taints(), 60)
            world.wait("status says so a moment later", lambda: summary(world) == "4/4", 30)
            assert "someone.else/taint" in taints(), "other taints are not ours to remove"
            assert (folder.conf_dir / "05-cilium.conflist").exists()
    finally:
        world.kubectl("delete", "node", name, "--timeout=30s")
    world.wait_ready()


def test_a_node_that_leaves_the_scope_goes_back_to_the_primary_first(world: Harness, running: list[NodeFolder]) -> None:
    leaving, *staying = running
    for folder in staying:
        world.kubectl("label", "node", folder.root.name, "chain=yes")
    world.apply_chain(SPEC | {"nodes": {"selector": {"chain": "yes"}}})
    world.wait("the chained conflist is gone", lambda: not (leaving.conf_dir / "05-cilium.conflist").exists(), 60)
    world.wait(
        "two nodes in scope", lambda: world.get("cnichain", "default")["status"]["nodes"]["summary"] == "2/2", 60
    )
    world.wait_ready()
    assert (leaving.conf_dir / "10-aws.conflist").exists()
    world.wait("Cilium has left the node", lambda: leaving.root.name not in nodes_of_cilium(world), 60)
    world.apply_chain(SPEC)
    world.wait("the chained conflist is back", (leaving.conf_dir / "05-cilium.conflist").exists, 60)
    world.wait("three nodes in scope", lambda: summary(world) == "3/3", 60)
    world.wait_ready()


def test_a_minor_is_not_skipped(world: Harness, running: list[NodeFolder]) -> None:
    world.apply_chain(SPEC | {"cilium": {"version": "1.20.0"}})
    condition = world.wait_reason("Stalled", "UpgradeSkipsMinor")
    assert "1.18" in condition["message"], "the message must name the minor to go to"
    assert world.conditions()["CiliumReady"]["status"] == "True", "what runs is not touched by it"
    world.apply_chain(SPEC)
    world.wait_ready()


def test_suspend_changes_nothing(world: Harness, running: list[NodeFolder]) -> None:
    world.apply_chain(SPEC | {"suspend": True})
    world.wait_reason("Ready", "Suspended")
    world.wait(
        "the agents are frozen",
        lambda: all(item["status"]["state"] == "Frozen" for item in world.get("cnichainnodes")["items"]),
        30,
    )
    world.kubectl("delete", "deployment", "hubble-ui", "-n", "kube-system", "--timeout=30s")
    before = world.audit_length()
    world.kubectl("annotate", "cnichain", "default", "test/suspended=yes", "--overwrite")
    world.wait(
        "a pass while suspended",
        partial(passed, world, before),
        30,
    )
    assert not world.exists("deployment", "hubble-ui", "-n", "kube-system"), "a suspended operator must change nothing"
    world.apply_chain(SPEC)
    world.wait("hubble-ui is back", lambda: world.exists("deployment", "hubble-ui", "-n", "kube-system"), 60)
    world.wait_ready()


def test_deleting_it_retains_everything(world: Harness, running: list[NodeFolder]) -> None:
    world.delete_chain()
    assert world.exists("daemonset", "cilium", "-n", "kube-system")
    assert world.exists("deployment", "hubble-relay", "-n", "kube-system")
    assert (running[0].conf_dir / "05-cilium.conflist").exists()
    world.wait("the event says so", lambda: "Retained" in world.reasons_of_events(), 20)
    before = world.audit_length()
    world.apply_chain(SPEC)
    world.wait_ready()
    made = [item["requestURI"] for item in world.audited(before) if item["verb"] == "create" and "events" not in
            item["requestURI"]]  # fmt: skip
    assert made == [], "a chain that is taken back into care finds its objects"


def summary(world: Harness) -> str:
    """Verified nodes of nodes in scope, as kubectl's table shows them."""
    return str(world.get("cnichain", "default")["status"]["nodes"]["summary"])


def nodes_of_cilium(world: Harness) -> set[str]:
    """Names of the nodes that have a Cilium pod."""
    pods = world.get("pods", "--namespace=kube-system", "--selector=k8s-app=cilium")["items"]
    return {pod["spec"].get("nodeName", "") for pod in pods if not pod["metadata"].get("deletionTimestamp")}


def passed(world: Harness, before: int) -> bool:
    """Whether a pass has begun since line `before` of the audit log: each one reads the history."""
    return any("configmaps/cnichain-history-" in item["requestURI"] for item in world.audited(before))


def is_new(world: Harness, kind: str, name: str, old: str) -> bool:
    """Whether an object is there with another uid than `old`."""
    place = (kind, name, "-n", "kube-system")
    return world.exists(*place) and world.get(*place)["metadata"]["uid"] != old


def settle(world: Harness) -> None:
    """Wait until the operator's last pass is over."""
    world.wait_quiet(lambda: len([item for item in world.audited() if item["verb"] != "watch"]))


def states(world: Harness) -> list[dict[str, Any]]:
    """Every state of the CNIChain that the watch has seen, oldest first."""
    decoder, text, found = json.JSONDecoder(), (world.work / "states.json").read_text(encoding="utf-8").lstrip(), []
    while text:
        event, end = decoder.raw_decode(text)
        found.append(event["object"])
        text = text[end:].lstrip()
    return found


def test_newest_chart_as_well(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> None:
    with harness(tmp_path_factory.mktemp("newest"), chart_dir) as world, world.agents(), world.operator():
        world.apply_chain(SPEC | {"cilium": {"version": "1.20.0"}})
        world.wait_ready()
        assert world.get("cnichain", "default")["status"]["versions"]["cilium"] == "1.20.0"
        assert world.conditions()["Drifted"]["reason"] == "NoDrift", "nothing of the chart is mistaken for a mutation"
        assert world.get("cnichain", "default")["status"]["nodes"]["summary"] == "3/3"
