"""Pods that Cilium does not manage, on a real control plane: counted with their cause, and restarted within budgets.

The pods are kwok's, and their CiliumEndpoints are made by the stand-in for cilium-agent (cnichain/dev/endpoints.py): a
pod gets one if its node's conflist had cilium-cni in it when the pod began to run. Evictions, PodDisruptionBudgets and
controllers are the real ones.
"""

import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cnichain.dev.endpoints import WITHOUT
from harness import Harness, Object

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

SPEC: Object = {"cilium": {"version": "1.17.3"}}
RESTART: Object = SPEC | {"unmanagedPods": {"action": "Restart"}}
DESIRED = {"web": 2, "db": 2, "log": 3, "dns": 2, "guarded": 2, "hopeless": 1}
RESTARTED = ("web", "db", "log", "dns")
COUNT_SECONDS = 2
"""Between two counts of the operator here. The stand-in for cilium-agent looks at the pods once a second."""
OLD = sum(DESIRED.values()) + 1
"""All of these and the bare pod are there before the chain is."""


def workload(kind: str, name: str, namespace: str = "default", **pod: Object) -> Object:
    """A Deployment, StatefulSet or DaemonSet whose pods carry the label `app` with its name."""
    labels = {"app": name} | pod.get("labels", {})
    spec: Object = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": labels, "annotations": pod.get("annotations", {})},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "main"}]},
        },
    }
    spec |= {} if kind == "DaemonSet" else {"replicas": DESIRED[name]}
    spec |= {"serviceName": name} if kind == "StatefulSet" else {}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def bare(name: str, **spec: object) -> Object:
    """A pod that nobody would make anew."""
    pod = {"containers": [{"name": "main", "image": "main"}], "tolerations": [{"operator": "Exists"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": pod | spec}


WORKLOADS = [
    workload("Deployment", "web"),
    workload("StatefulSet", "db"),
    workload("DaemonSet", "log"),
    workload("Deployment", "dns", "kube-system", labels={"k8s-app": "kube-dns"}),
    workload("Deployment", "guarded"),
    workload("Deployment", "hopeless", annotations={WITHOUT: "true"}),
    bare("bare"),
    bare("host", hostNetwork=True),
    {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "guarded"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "guarded"}}},
    },
]


@pytest.fixture(scope="module")
def old_pods(world: Harness) -> Object:
    """Pods from before the chain, by the label `app`: uids."""
    world.kubectl("apply", "--server-side", "--filename=-", stdin="\n---\n".join(map(json.dumps, WORKLOADS)))
    for name, number in (DESIRED | {"bare": 1, "host": 1}).items():
        world.wait(f"{name} runs", lambda name=name, number=number: len(ready_pods(world, name)) == number, 60)  # type: ignore[misc]  # its type is the default's
    return {name: uids(world, name) for name in (*DESIRED, "bare")}


@pytest.fixture(scope="module")
def chained(world: Harness, old_pods: Object) -> Iterator[ExitStack]:
    """Agents, and the operator, which counts often: a pod is unmanaged after twice COUNT_SECONDS and two counts."""
    with ExitStack() as stack:
        stack.enter_context(world.agents())
        stack.enter_context(operator(world))
        world.apply_chain(SPEC)
        world.wait_ready()
        yield stack


@contextmanager
def operator(world: Harness) -> Iterator[None]:
    with world.operator(coverage_seconds=str(COUNT_SECONDS), metrics_port="0"):
        yield


def pods_of(world: Harness, name: str) -> list[Object]:
    found: list[Object] = world.get("pods", "--all-namespaces", f"--selector=app={name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def ready_pods(world: Harness, name: str) -> list[Object]:
    return [pod for pod in pods_of(world, name) if is_ready(pod)]


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def uids(world: Harness, name: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods_of(world, name)}


def counted(world: Harness) -> Object:
    """`status.pods`; empty while nothing is counted."""
    found: Object = world.get("cnichain", "default")["status"].get("pods") or {}
    return found


def restarts(world: Harness) -> Object:
    found: Object = counted(world).get("restarts") or {}
    return found


def evictions(world: Harness, start: int = 0) -> list[tuple[str, int]]:
    """The operator's evictions since line `start` of the audit log: pod, and the API server's answer."""
    found = [item for item in world.audited(start) if item["requestURI"].endswith("/eviction")]
    return [(item["objectRef"]["name"], item["responseStatus"]["code"]) for item in found]


def unmanaged(world: Harness, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `cnichain unmanaged`."""
    command = [sys.executable, "-m", "cnichain.cli.main", "unmanaged", f"--kubeconfig={world.control_plane.kubeconfig}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def metrics(world: Harness) -> dict[str, float]:
    """The operator's metrics, as Prometheus reads them."""
    port = re.findall(r"metrics are served on port (\d+)", world.logs[-1].read_text(encoding="utf-8"))[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_without_a_chain_nothing_can_be_told(world: Harness) -> None:
    code, said = unmanaged(world)
    assert code == 2
    assert "there is no CNIChain default" in said


def test_pods_from_before_the_chain_are_reported(world: Harness, chained: ExitStack, old_pods: Object) -> None:
    condition = world.wait_reason("PodsManaged", "UnmanagedPods")
    world.wait("all are counted", lambda: counted(world).get("byCause") == {"OlderThanChain": OLD}, 30)
    world.wait("hubble-relay and hubble-ui came after the chain", lambda: counted(world)["managed"] == 2, 30)
    pods = counted(world)
    assert pods["unmanaged"] == OLD
    assert sum(pods["byNode"].values()) == OLD
    assert pods["byNamespace"] == {"default": OLD - 2, "kube-system": 2}
    assert pods["outOfScopeByKind"]["host network"] >= 1
    assert "restarts" not in pods
    condition = world.conditions()["PodsManaged"]
    assert f"{OLD} pods are not managed by Cilium. {OLD} OlderThanChain" in condition["message"]
    assert "default/bare" in condition["message"]
    assert world.conditions()["Ready"]["status"] == "True", "a pod that is older than the chain holds nothing up"
    assert world.kubectl("get", "cnichain", "--no-headers").split()[5] == str(OLD)
    assert "UnmanagedPods" in world.reasons_of_events()
    shown = metrics(world)
    assert shown['cnichain_pods{state="managed"}'] == 2
    assert shown['cnichain_pods{state="unmanaged"}'] == OLD
    assert shown['cnichain_unmanaged_pods{cause="OlderThanChain"}'] == OLD
    assert shown['cnichain_unmanaged_pods{cause="AgentDown"}'] == 0
    assert evictions(world) == []


def test_the_command_lists_them(world: Harness, chained: ExitStack, old_pods: Object) -> None:
    code, said = unmanaged(world, "--min-age=2", "--output=json")
    assert code == 1
    found = json.loads(said)
    assert {pod["uid"] for pod in found["pods"]} == set().union(*old_pods.values())
    (web, *_) = [pod for pod in found["pods"] if pod["name"].startswith("web-")]
    assert web["owner"] == {"kind": "Deployment", "name": "web"}
    code, said = unmanaged(world, "--min-age=2")
    assert code == 1
    assert all(len(line) <= 80 for line in said.splitlines()), said
    assert re.search(r"default +bare +OlderThanChain +\d+[sm] +-", said)
    assert unmanaged(world, "--min-age=2", "--namespace=nowhere")[0] == 0


def test_a_pod_that_comes_later_is_managed(world: Harness, chained: ExitStack) -> None:
    world.kubectl("create", "--filename=-", stdin=json.dumps(bare("later")))
    world.wait("it runs", lambda: ready_pods(world, "later"), 30)
    world.wait("it is managed", lambda: json.loads(unmanaged(world, "--output=json")[1])["managed"] == 3, 30)
    assert counted(world)["unmanaged"] == OLD


def test_while_a_plan_is_held_nothing_is_restarted(world: Harness, chained: ExitStack) -> None:
    world.apply_chain(RESTART | {"rollout": {"paused": True}, "hubble": {"ui": {"enabled": False}}})
    world.wait_reason("Ready", "Paused")
    world.wait("the restarts wait", lambda: "Paused" in restarts(world).get("held", ""), 30)
    assert evictions(world) == []


def test_restart_goes_by_budgets_and_gives_up_what_it_does_not_help(
    world: Harness, chained: ExitStack, old_pods: Object
) -> None:
    with watched(world, "pods") as pods, watched(world, "ciliumendpoints") as endpoints:
        world.apply_chain(RESTART)
        for name in RESTARTED:
            world.wait(
                f"{name} is restarted",
                lambda name=name: (  # type: ignore[misc]  # its type is the default's
                    len(ready_pods(world, name)) == DESIRED[name] and not uids(world, name) & old_pods[name]
                ),
                120,
            )
        world.wait("the hopeless one is given up", lambda: restarts(world).get("stopped"), 120)
        left = {"guarded": 2, "hopeless": 1, "bare": 1}
        world.wait("the rest is managed", lambda: counted(world)["unmanaged"] == sum(left.values()), 60)
    for name, number in lowest(pods).items():
        assert number >= DESIRED[name] - 1, f"{name}: more than one pod was down at once"

    assert restarts(world)["stopped"] == ["Deployment default/hopeless"]
    assert [one for one in restarts(world)["waiting"] if "disruption budget" in one and "guarded" in one]
    assert [one for one in restarts(world)["waiting"] if one.startswith("Pods without an owner in default: only")]
    assert uids(world, "guarded") == old_pods["guarded"], "its PodDisruptionBudget allows no eviction"
    assert uids(world, "bare") == old_pods["bare"]
    made = evictions(world)
    done = Counter(pod.split("-")[0] for pod, code in made if code == 201)
    again = replaced_twice(pods, endpoints, old_pods)
    assert done == Counter({"dns": 2, "web": 2, "db": 2, "log": 3, "hopeless": 3}) + again
    assert {code for pod, code in made if pod.startswith("guarded")} == {429}
    assert [pod.split("-")[0] for pod, _ in made[:2]] == ["dns", "dns"], "the DNS goes first"
    assert restarts(world)["restarted"] == sum(done.values())
    assert {"PodRestarted", "EvictionRefused", "RestartsStopped"} <= world.reasons_of_events()
    told = [one for one in world.get("events", "-n", "default")["items"] if one["reason"] == "PodRestarted"]
    assert ("Deployment", "web") in {(one["involvedObject"]["kind"], one["involvedObject"]["name"]) for one in told}
    shown = metrics(world)
    assert shown['cnichain_pod_restarts_total{result="evicted"}'] == sum(done.values())
    assert shown['cnichain_pod_restarts_total{result="still_unmanaged"}'] == 3
    assert shown['cnichain_pod_restarts_total{result="refused"}'] >= 1
    assert world.conditions()["Ready"]["status"] == "True"


def test_what_was_given_up_stays_so_when_the_operator_is_killed(world: Harness, chained: ExitStack) -> None:
    world.kill_operator()
    start = world.audit_length()
    chained.enter_context(operator(world))
    world.wait("the new one tries the guarded one", lambda: evictions(world, start), 60)
    assert {pod.split("-")[0] for pod, _ in evictions(world, start)} == {"guarded"}
    assert restarts(world)["stopped"] == ["Deployment default/hopeless"]


def test_a_budget_that_allows_it_again_lets_the_rest_go(world: Harness, chained: ExitStack, old_pods: Object) -> None:
    world.kubectl("patch", "poddisruptionbudget", "guarded", "--type=merge", '--patch={"spec":{"minAvailable":1}}')
    world.wait("guarded is restarted", lambda: not uids(world, "guarded") & old_pods["guarded"], 120)
    world.wait("two are left", lambda: counted(world)["unmanaged"] == 2, 60)


def test_without_endpoints_in_the_api_nothing_is_counted(world: Harness, chained: ExitStack) -> None:
    world.apply_chain({"cilium": {"version": "1.17.3", "values": {"disableEndpointCRD": True}}})
    world.wait_reason("PodsManaged", "EndpointsNotPublished")
    assert world.kubectl("get", "cnichain", "--no-headers").split()[5] == "Unknown"
    assert counted(world) == {}
    assert unmanaged(world)[0] == 2


@contextmanager
def watched(world: Harness, resource: str) -> Iterator[Path]:
    """Follow every event of a resource; yields the file that they are in."""
    log = world.work / f"{resource}.json"
    command = [str(world.control_plane.kubectl), f"--kubeconfig={world.control_plane.kubeconfig}", "get", resource]
    command += ["--all-namespaces", "--watch", "--output-watch-events", "--output=json", "--show-managed-fields"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL) as watcher:
        world.wait("the watch has begun", lambda: log.stat().st_size > 0, 20)
        try:
            yield log
        finally:
            watcher.terminate()


def events(log: Path) -> Iterator[tuple[str, Object]]:
    """Type and object of each event of a watch."""
    decoder, text, at = json.JSONDecoder(), log.read_text(encoding="utf-8").rstrip(), 0
    while at < len(text):
        event, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        yield event["type"], event["object"]


def lowest(log: Path) -> dict[str, int]:
    """The lowest number of ready pods of each workload, at any moment."""
    ready: dict[str, set[str]] = {name: set() for name in RESTARTED}
    full: set[str] = set()
    least = dict(DESIRED)
    for kind, pod in events(log):
        name, uid = pod["metadata"].get("labels", {}).get("app", ""), pod["metadata"].get("uid", "")
        if name not in ready:
            continue
        serves = kind != "DELETED" and "deletionTimestamp" not in pod["metadata"] and is_ready(pod)
        (ready[name].add if serves else ready[name].discard)(uid)
        if len(ready[name]) == DESIRED[name]:
            full.add(name)
        if name in full:
            least[name] = min(least[name], len(ready[name]))
    assert full == set(RESTARTED), "the watch did not see all of them"
    return {name: least[name] for name in RESTARTED}


def replaced_twice(pods: Path, endpoints: Path, old_pods: Object) -> Counter[str]:
    """By workload, pods from after the chain that were evicted, since the stand-in was late with their endpoints.

    Fails when one of them had its endpoint already.
    """
    since: dict[str, datetime] = {}
    for _, endpoint in events(endpoints):
        for owner in endpoint["metadata"].get("ownerReferences", []):
            written = [entry["time"] for entry in endpoint["metadata"]["managedFields"]]
            since.setdefault(owner["uid"], datetime.fromisoformat(min(written)))
    evicted: dict[str, tuple[str, datetime]] = {}
    for _, pod in events(pods):
        name, metadata = pod["metadata"].get("labels", {}).get("app", ""), pod["metadata"]
        if name in RESTARTED and "deletionTimestamp" in metadata and metadata["uid"] not in old_pods[name]:
            grace = timedelta(seconds=metadata["deletionGracePeriodSeconds"])
            evicted.setdefault(metadata["uid"], (name, datetime.fromisoformat(metadata["deletionTimestamp"]) - grace))
    known = timedelta(seconds=2 * COUNT_SECONDS)  # what the last count could not know yet, and full seconds
    managed = {name for uid, (name, at) in evicted.items() if uid in since and since[uid] + known < at}
    assert not managed, f"pods of {managed} were evicted although Cilium managed them"
    return Counter(name for name, _ in evicted.values())
