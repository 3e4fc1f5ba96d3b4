"""What a running operator and running agents show to Prometheus, and what the chain costs, on a real control plane.

The metrics API is the stand-in of tests/support/metricsapi.py behind the real aggregator; pods are kwok's, with times
that the test puts into their status, as a kubelet would.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cnichain.api.times import rfc3339
from cnichain.dev.linux import free_ports
from cnichain.dev.nodefolder import NodeFolder
from harness import WRITES, Harness, Object
from metricsapi import API_SERVICE, MetricsApi
from promtool import UnavailableError, promtool

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
USAGE = {
    "cilium-agent": ("100m", "200Mi"),
    "cilium-operator": ("20m", "60Mi"),
    "hubble-relay": ("5m", "30Mi"),
    "hubble-ui": ("1m", "40Mi"),
    "aws-node": ("10m", "50Mi"),
}
NODES = 3
Running = tuple[Harness, MetricsApi, int]


def deployment(name: str, replicas: int) -> Object:
    labels = {"app": name}
    pod = {"containers": [{"name": "main", "image": "main"}], "tolerations": [{"operator": "Exists"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def give_times(world: Harness, name: str, replicas: int, network: int, started: int) -> None:
    """Run pods, and put into their status that they took so many seconds, as a kubelet would."""
    world.kubectl("apply", "--filename=-", stdin=json.dumps(deployment(name, replicas)))
    world.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    for pod in world.get("pods", f"--selector=app={name}")["items"]:
        conditions = {one["type"]: one for one in pod["status"]["conditions"]}
        scheduled = datetime.fromisoformat(conditions["PodScheduled"]["lastTransitionTime"])
        ready = {"type": "PodReadyToStartContainers", "status": "True"}
        ready |= {"lastTransitionTime": rfc3339(scheduled + timedelta(seconds=network))}
        container = dict(pod["status"]["containerStatuses"][0])
        container["state"] = {"running": {"startedAt": rfc3339(scheduled + timedelta(seconds=started))}}
        status = {"conditions": [*conditions.values(), ready], "containerStatuses": [container]}
        patch = json.dumps({"status": status})
        world.kubectl(
            "patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", f"--patch={patch}"
        )


@pytest.fixture(scope="module")
def running(world: Harness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Four pods from before the chain, the operator, agents of which one shows metrics, and the metrics API."""
    world.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/rbac.yaml'}")
    give_times(world, "old", 4, network=1, started=2)
    time.sleep(1.1)  # times in status have whole seconds: the chain must be younger than these pods
    api = MetricsApi(
        lambda namespace: world.get("pods", f"--namespace={namespace}")["items"], tmp_path_factory.mktemp("metrics-api")
    )
    api.usage = dict(USAGE)
    (port,) = free_ports(1)
    folders = [NodeFolder(path) for path in sorted(world.control_plane.nodes_dir.iterdir())]
    with ExitStack() as stack:
        stack.enter_context(api.serving())
        stack.callback(world.kubectl, "delete", "apiservice", API_SERVICE, "--ignore-not-found")
        for manifest in api.manifests():
            world.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
        world.kubectl("wait", "--for=condition=Available", f"apiservice/{API_SERVICE}", "--timeout=60s")
        for number, folder in enumerate(folders):
            stack.enter_context(world.agent(folder, metrics_port=0 if number else port))
        # With the permissions of deploy/base: the metrics API asks the real RBAC.
        kubeconfig = str(world.kubeconfig_of("cnichain-operator"))
        often = world.operator(
            kubeconfig=kubeconfig, coverage_seconds="1", overhead_seconds="1", resync_seconds="1", metrics_port="0"
        )
        stack.enter_context(often)
        world.apply_chain({"cilium": {"version": "1.17.3"}})
        world.wait_ready()
        yield world, api, port


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        found: str = answer.read().decode()
    return found


def operators_page(world: Harness) -> str:
    port = re.findall(r"metrics are served on port (\d+)", world.logs[-1].read_text(encoding="utf-8"))[-1]
    return page(int(port))


def samples(text: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def overhead(world: Harness) -> Object:
    found: Object = world.get("cnichain", "default")["status"].get("overhead") or {}
    return found


def cnichain_overhead(world: Harness, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "cnichain.cli.main", "overhead", f"--kubeconfig={world.control_plane.kubeconfig}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_operator_shows_the_chain_and_its_own_work(running: Running) -> None:
    world, _, _ = running
    shown = samples(operators_page(world))
    assert shown["cnichain_leader"] == 1
    assert shown['cnichain_status_condition{status="True",type="Ready"}'] == 1
    assert shown['cnichain_status_condition{status="False",type="Ready"}'] == 0
    assert shown['cnichain_nodes_in_scope{chain="verified"}'] == NODES
    assert shown['cnichain_nodes_in_scope{chain="unverified"}'] == 0
    assert shown['cnichain_nodes{state="InSync"}'] == NODES
    assert shown['cnichain_nodes{state="NoReport"}'] == 0
    assert shown['cnichain_rollout_nodes{progress="done"}'] == NODES
    assert shown['cnichain_rollout_state{state="Done"}'] == 1
    assert shown['cnichain_plan_held{reason="Paused"}'] == 0
    (info,) = [name for name in shown if name.startswith("cnichain_info{")]
    assert 'cilium_version="1.17.3"' in info
    assert 'primary="aws-vpc-cni"' in info
    left = shown['cnichain_certificate_expiry_timestamp_seconds{certificate="leaf"}'] - datetime.now(UTC).timestamp()
    assert left > 30 * 86400
    assert shown['cnichain_reconcile_total{result="success"}'] >= 1
    assert shown['cnichain_reconcile_total{result="waiting"}'] >= 1
    assert 0 <= time.time() - shown["cnichain_reconcile_last_success_timestamp_seconds"] < 60
    assert shown['cnichain_api_requests_total{code="200",method="GET"}'] > 10
    assert shown['cnichain_api_requests_total{code="200",method="WATCH"}'] >= 3
    assert shown['cnichain_api_request_duration_seconds_count{method="PATCH"}'] > 10


def test_an_object_that_is_put_back_is_counted_by_its_kind(running: Running) -> None:
    world, _, _ = running
    world.kubectl("--namespace=kube-system", "delete", "configmap", "cilium-config")
    counted = 'cnichain_drift_corrected_total{kind="ConfigMap"}'
    world.wait("the correction is counted", lambda: samples(operators_page(world)).get(counted) == 1, 60)


def test_an_agent_shows_its_node(running: Running) -> None:
    world, _, port = running
    folder = NodeFolder(min(world.control_plane.nodes_dir.iterdir()))
    before = samples(page(port))
    assert before["cnichain_conflist_in_sync"] == 1
    assert before["cnichain_agent_reported"] == 1
    assert before["cnichain_conflist_drifts_total"] == 0
    (folder.conf_dir / "05-cilium.conflist").unlink()
    world.wait("the drift is counted", lambda: samples(page(port))["cnichain_conflist_drifts_total"] == 1, 30)
    world.wait("it is reported", lambda: samples(page(port))["cnichain_agent_reported"] == 1, 30)
    after = samples(page(port))
    assert after['cnichain_conflist_repairs_total{cause="DriftDest"}'] == 1
    assert (
        after["cnichain_conflist_last_verified_timestamp_seconds"]
        > before["cnichain_conflist_last_verified_timestamp_seconds"]
        or after["cnichain_conflist_in_sync"] == 1
    )


def test_promtool_finds_nothing_to_say_about_either_page(running: Running) -> None:
    world, _, port = running
    try:
        program = promtool()
    except UnavailableError as error:
        pytest.skip(str(error))  # test_alerts.py fails in CI where there is none
    for text in (operators_page(world), page(port)):
        done = subprocess.run(
            [str(program), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_status_says_what_the_chain_costs(running: Running) -> None:
    world, _, _ = running
    give_times(world, "new", 6, network=3, started=5)
    found: Object = world.wait(
        "pods from before and with the chain are compared",
        lambda: (
            (
                (overhead(world).get("podsAfter") or {}).get("networkMilliseconds") == 3000
                and overhead(world).get("podsBefore")
            )
            and overhead(world)
        ),
        90,
    )
    assert found["podsBefore"]["pods"] >= 4
    assert found["podsBefore"]["networkMilliseconds"] == 1000
    assert found["podsAfter"]["networkP90Seconds"] == 3
    parts = {part["name"]: part for part in found["parts"]}
    assert parts["cilium-agent"]["pods"] == NODES
    assert parts["cilium-agent"]["cpuMillicores"] == 100 * NODES
    assert parts["cilium-agent"]["mostMemoryMebibytes"] == 200
    assert parts["aws-node"]["cpuMillicores"] == 10 * NODES
    added = sum(part["cpuMillicores"] for name, part in parts.items() if name != "aws-node")
    assert found["cpuMillicores"] == added, "the primary was there before"
    assert found["perNode"]["nodes"] == NODES
    assert found["perNode"]["cpuMillicores"] >= 100


def test_figures_that_go_up_and_down_a_little_are_not_written(running: Running) -> None:
    world, api, _ = running

    def measured(more: int) -> None:
        before = api.asked
        world.wait(f"{more} more questions to the metrics API", lambda: api.asked >= before + more, 60)

    def told() -> bool:
        """Whether every pod on the pods' network is counted, and status tells so many of them as the operator shows."""
        there = [pod for pod in world.get("pods", "--all-namespaces")["items"] if not pod["spec"].get("hostNetwork")]
        pods, shown = world.get("cnichain", "default")["status"]["pods"], samples(operators_page(world))
        counted = [pods[state] for state in ("managed", "unmanaged")]
        return sum(counted) == len(there) and counted == [
            shown[f'cnichain_pods{{state="{state}"}}'] for state in ("managed", "unmanaged")
        ]

    world.wait("status has told how many pods there are now, which it does every ten counts", told, 60)
    # A measurement may have begun before all of these pods had their times; the next one sees them, and asks twice.
    # Once the one after that has begun, what it found is in status.
    measured(5)
    start, before = world.audit_length(), world.get("cnichain", "default")
    for cpu in ("120m", "85m", "110m"):
        api.usage["cilium-agent"] = (cpu, "210Mi")
        measured(4)
    after = world.get("cnichain", "default")
    written = [item["requestURI"] for item in world.audited(start) if item["verb"] in WRITES]
    assert written == [], f"status was {before['status']}\nand is {after['status']}"
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    api.usage["cilium-agent"] = ("400m", "210Mi")
    world.wait("four times as much is written", lambda: overhead(world)["cpuMillicores"] > 1000, 90)


def test_the_command_shows_parts_nodes_and_starts(running: Running) -> None:
    world, api, _ = running
    api.usage["cilium-agent"] = ("400m", "210Mi")
    code, said = cnichain_overhead(world)
    assert code == 0, said
    row = next(line.split() for line in said.splitlines() if line.startswith("cilium-agent"))
    assert row == ["cilium-agent", "3", "1200m", "630Mi", "400m", "210Mi"], "of this moment, not an average"
    assert re.search(r"^before the chain +\d+ +1\.00s +1s +2\.00s", said, re.MULTILINE), said
    assert "The chain adds +2.00 s to the network of a pod." in said
    assert max(map(len, said.splitlines())) <= 80
    code, said = cnichain_overhead(world, "--output=json")
    assert code == 0
    assert json.loads(said)["perNode"]["nodes"] == NODES


def test_the_commands_of_the_runbooks_run(running: Running, tmp_path: Path) -> None:
    """Those that only look, as they stand in docs/runbooks."""
    world, _, _ = running
    for name in ("operator", "agent"):  # their pods are kwok's, and do nothing
        world.kubectl("apply", "--server-side", f"--filename={ROOT / f'deploy/base/{name}.yaml'}")
    node = min(world.control_plane.nodes_dir.iterdir()).name
    (tmp_path / "kubectl").symlink_to(world.control_plane.kubectl)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(world.control_plane.kubeconfig)}
    tried = set()
    for page in sorted((ROOT / "docs/runbooks").glob("*.md")):
        for line in page.read_text(encoding="utf-8").splitlines():
            command = line.removeprefix("$ ").replace("NODE", node)
            looks = re.match(r"kubectl( -n [a-z-]+)? get |cnichain (unmanaged|catalogue)", command)
            # A cluster without the Prometheus operator has no PodMonitors; whoever runs alone holds no Lease.
            if line == command or not looks or "podmonitor" in command or "get lease" in command or command in tried:
                continue
            tried.add(command)
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            # 1: `cnichain unmanaged` has found some, or grep nothing.
            assert done.returncode in {0, 1}, f"{page.name}: {command}\n{done.stderr}"
            assert "error" not in done.stderr.lower(), f"{page.name}: {command}\n{done.stderr}"
    assert len(tried) > 25


def test_without_the_metrics_api_the_rest_is_shown(running: Running) -> None:
    world, _, _ = running
    known = overhead(world)
    world.kubectl("delete", "apiservice", API_SERVICE)
    world.wait_log("usage is not measured", 60)
    # Old pods go: what they took stays in status.
    world.kubectl("delete", "deployment", "old", "--cascade=foreground", "--timeout=60s")
    code, said = cnichain_overhead(world)
    assert code == 0
    assert "CPU and memory: not measured, the metrics API (metrics.k8s.io) is not served" in " ".join(said.split())
    assert "The chain adds +2.00 s to the network of a pod." in said, said
    assert overhead(world)["cpuMillicores"] == known["cpuMillicores"]
    assert overhead(world)["podsBefore"] == known["podsBefore"]
    assert world.conditions()["Ready"]["status"] == "True"


def test_nothing_of_a_chain_that_is_gone_is_shown(running: Running) -> None:
    world, _, _ = running
    world.delete_chain()
    world.wait(
        "no figure of it is left",
        lambda: not [name for name in samples(operators_page(world)) if name.startswith("cnichain_status_condition")],
        30,
    )
    code, said = cnichain_overhead(world)
    assert code == 2
    assert "there is no CNIChain default" in said
