"""The commands of the command line on an installed chain, run as a user runs them, against a real API server."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cnichain.cli.chainview import ChainView
from cnichain.cli.change import Patch, paused
from cnichain.cli.common import ask
from cnichain.cli.main import root
from cnichain.cli.steer import change
from cnichain.dev.nodefolder import NodeFolder
from harness import WRITES, Harness, Object

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

SPEC: Object = {"cilium": {"version": "1.17.3"}}
WITHOUT_UI: Object = SPEC | {"hubble": {"ui": {"enabled": False}}}
CRASHING: Object = {
    "cilium": {"version": "1.17.3", "values": {"podAnnotations": {"dev.cnichain.io/stuck": "CrashLoopBackOff"}}},
    "rollout": {"canary": {"nodes": 1, "soak": "1s"}, "maxUnavailable": "1"},
}
"""kwok plays an agent that crashes for every pod with this annotation."""
SHADOW = '{"cniVersion": "0.4.0", "name": "other", "plugins": [{"type": "multus"}]}'
STAND_IN = """
import os, pathlib, socket, time
pathlib.Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))
server = socket.create_server(("127.0.0.1", 0))
print(f"Forwarding from 127.0.0.1:{server.getsockname()[1]} -> 8081", flush=True)
time.sleep(120)
"""
"""Plays kubectl port-forward, as the pods of kwok have no ports."""


def environment(world: Harness, **more: str) -> dict[str, str]:
    """The variables that a command sees: the cluster, and a PATH with kubectl."""
    path = f"{world.control_plane.kubectl.parent}:{os.environ['PATH']}"
    return {"KUBECONFIG": str(world.control_plane.kubeconfig), "PATH": path, "LANG": "C.UTF-8", **more}


def start(world: Harness, line: str, **more: str) -> subprocess.Popen[str]:
    """A command line of cnichain, started as a process of its own."""
    _, *arguments = shlex.split(line)
    return subprocess.Popen(
        [sys.executable, "-m", "cnichain.cli.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment(world, **more),
    )


def run(world: Harness, line: str, *, code: int) -> str:
    """What a command line prints, standard error last; it must end with that exit code, in lines of 80 columns.

    It runs in this process: thirty starts of Python would take most of the time of these tests.
    """
    _, *arguments = shlex.split(line)
    done = CliRunner().invoke(root, arguments, env=environment(world), prog_name="cnichain")
    told = f"{line}: exit code {done.exit_code}\n{done.output}"
    assert done.exception is None or isinstance(done.exception, SystemExit), told + repr(done.exception)
    assert done.exit_code == code, told
    if "-o " not in line:
        wide = [text for text in done.stdout.splitlines() if len(text) > 80]
        assert not wide, f"{line} prints more than 80 columns: {wide}"
    return done.stdout + done.stderr


def pod(name: str, **spec: object) -> str:
    """A pod that nobody would make anew."""
    body: Object = {"containers": [{"name": "main", "image": "main"}], "tolerations": [{"operator": "Exists"}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body | spec})


@pytest.fixture(scope="module")
def folders(world: Harness) -> Iterator[list[NodeFolder]]:
    """A chain with agents and an operator that holds the Lease; one pod is older than it."""
    world.kubectl("create", "--filename=-", stdin=pod("older"))
    world.kubectl("wait", "pod/older", "--for=condition=Ready", "--timeout=30s")
    with ExitStack() as stack:
        stack.enter_context(world.hollow_agents())
        world.apply_chain(SPEC)
        waiting = stack.enter_context(start(world, "cnichain status --wait --wait-duration 150s"))
        stack.enter_context(world.operator(leader_elect="true", coverage_seconds="1"))
        printed, said = waiting.communicate(timeout=160)
        assert waiting.returncode == 0, printed + said
        assert "√ CNIChain default: Ready" in printed
        assert "the operator has not seen generation 1 yet" in said, "progress is told on standard error"
        assert "WaitingForHealth: " in said
        yield [NodeFolder(path) for path in sorted(world.control_plane.nodes_dir.iterdir())]


@pytest.mark.parametrize("name", ["status --wait", "check", "pause"])
def test_without_a_chain_nothing_can_be_told(world: Harness, name: str) -> None:
    said = run(world, f"cnichain {name}", code=2)
    assert said.startswith("Error: there is no CNIChain default."), said


def test_status_is_one_screen(world: Harness, folders: list[NodeFolder]) -> None:
    world.wait_reason("PodsManaged", "UnmanagedPods")
    text = run(world, "cnichain status", code=0)
    assert "√ Cilium    1.17.3: Cilium is available." in text
    assert "Nodes        3/3 verified" in text
    assert "1 unmanaged (1 OlderThanChain)" in text
    assert "Last good    revision 1, Cilium 1.17.3, since 20" in text
    assert "Warnings\n‼ PodsManaged: UnmanagedPods" in text
    data = json.loads(run(world, "cnichain status -o json", code=0))
    assert (data["ready"], data["reason"], data["lastGood"]["revision"]) == (True, "Ready", 1)
    assert yaml.safe_load(run(world, "cnichain status -o yaml", code=0))["nodes"] == data["nodes"]


def test_nodes_and_tree_and_check_of_a_chain_that_is_well(world: Harness, folders: list[NodeFolder]) -> None:
    text = run(world, "cnichain nodes", code=0)
    assert text.count("InSync  05-cilium.conflist") == 3
    assert "Chain on 3 nodes: aws-cni → egress-cni → portmap → cilium-cni" in text
    name = folders[0].root.name
    assert json.loads(run(world, f"cnichain nodes {name} -o json", code=0))["nodes"][0]["name"] == name
    run(world, "cnichain nodes not-there", code=2)

    text = run(world, "cnichain tree", code=0)
    assert "│  ├─ √ DaemonSet kube-system/cilium  3/3 ready" in text
    assert "└─ √ CNIChainNodes: 3/3 verified (3 InSync)" in text
    listed = json.loads(run(world, "cnichain tree -o json", code=0))["objects"]
    assert len(listed) == world.get("cnichain", "default")["status"]["inventory"]["objects"]

    text = run(world, "cnichain check", code=0)
    assert "√ lease: held by cnichain-operator-" in text
    assert "√ on nodes: verified on 3 of 3 nodes." in text
    assert "√ CRDs: " in text
    assert text.splitlines()[-1].startswith("√ The chain is well: ")
    only = json.loads(run(world, "cnichain check --category certificates --category api -o json", code=0))
    assert {one["category"] for one in only["checks"]} == {"certificates", "api"}
    run(world, "cnichain check --category nonsense", code=2)


def test_trace_tells_whether_and_why(world: Harness, folders: list[NodeFolder]) -> None:
    world.kubectl("create", "--filename=-", stdin=f"{pod('newer')}\n---\n{pod('host', hostNetwork=True)}")
    world.wait("newer has an endpoint", lambda: world.exists("ciliumendpoint", "newer"), 30)
    assert "NOT managed by Cilium: OlderThanChain" in run(world, "cnichain trace pod/older", code=1)
    text = run(world, "cnichain trace pod/newer", code=0)
    assert "√ of this very pod (same uid)" in text
    assert "√ Managed by Cilium" in text
    assert "Out of scope: host network." in run(world, "cnichain trace default/host", code=0)
    data = json.loads(run(world, "cnichain trace pod/older -o json", code=1))
    assert (data["verdict"], data["cause"], data["endpoint"]) == ("Unmanaged", "OlderThanChain", None)
    assert "there is no pod kube-system/newer" in run(world, "cnichain trace pod/newer -n kube-system", code=2)


def test_they_only_read_and_never_a_secrets_value(world: Harness, folders: list[NodeFolder]) -> None:
    agents = tuple(f"cnichain-{name}" for name in ("status", "nodes", "tree", "trace", "check"))
    run(world, "cnichain tree", code=0)
    world.wait("the audit log has it", lambda: world.audited(0, "cnichain-tree"), 20)
    mine = [item for agent in agents for item in world.audited(0, agent)]
    assert [item["requestURI"] for item in mine if item["verb"] in WRITES] == []


def test_a_node_that_is_shadowed_fails_every_view(world: Harness, folders: list[NodeFolder]) -> None:
    shadow = folders[0].conf_dir / "00-multus.conf"
    shadow.write_text(SHADOW, encoding="utf-8")
    world.wait_reason("ChainReady", "NodesNotVerified")
    short = folders[0].root.name.partition(".")[0]
    text = run(world, "cnichain nodes", code=1)
    assert f"× {short}" in text
    assert "    ConflistShadowed: 00-multus.conf sorts before" in text
    assert run(world, "cnichain nodes --not-verified", code=1).count("InSync") == 0
    assert "× Chain     NodesNotVerified" in run(world, "cnichain status", code=1)
    assert "2/3 verified (2 InSync, 1 Shadowed)" in run(world, "cnichain tree", code=1)
    text = run(world, "cnichain check --category conflist", code=1)
    assert "× on nodes: ConflistShadowed\n    1 of 3 nodes: " in text
    assert "/reasons.html#conflistshadowed\n" in text
    shadow.unlink()
    world.wait_ready()
    conflist = folders[0].conf_dir / "05-cilium.conflist"
    conflist.unlink()
    world.wait("the agent has repaired it", conflist.exists, 30)
    world.wait(
        "the drift is told",
        lambda: json.loads(run(world, "cnichain nodes -o json", code=0))["nodes"][0]["repairs"]["drifts"] > 0,
        30,
    )


def test_pause_holds_a_change_resume_lets_it_go_and_rollback_takes_it_back(
    world: Harness, folders: list[NodeFolder]
) -> None:
    world.wait_through()
    assert "the spec is as the only good revision has it" in run(world, "cnichain rollback --yes", code=2)
    assert run(world, "cnichain pause", code=0).startswith("CNIChain default is paused.\n")
    assert run(world, "cnichain pause", code=0) == "CNIChain default is paused already.\n"
    assert world.get("cnichain", "default")["spec"]["rollout"]["paused"] is True
    patch = json.dumps({"spec": {"hubble": {"ui": {"enabled": False}}}})
    world.kubectl("patch", "cnichain", "default", "--type=merge", f"--patch={patch}")
    world.wait_reason("Ready", "Paused")
    text = run(world, "cnichain status --wait --wait-duration 2s", code=1)
    assert "‼ CNIChain default: held (Paused)" in text
    assert "Gave up: not Ready within 2s." in text
    assert world.exists("deployment", "hubble-ui", "--namespace=kube-system")
    run(world, "cnichain resume", code=0)
    run(world, "cnichain status --wait --wait-duration 90s", code=0)
    world.wait("hubble-ui is gone", lambda: not world.exists("deployment", "hubble-ui", "-n", "kube-system"), 60)
    assert "no hubble-ui" in run(world, "cnichain hubble ui", code=2)

    said = run(world, "cnichain rollback", code=2)
    assert "Back to revision 1, Cilium 1.17.3" in said
    assert "  ~ spec.hubble.ui.enabled\n      - False\n      + True" in said
    assert "give --yes" in said
    assert "revision 9 is not among" in run(world, "cnichain rollback --to 9 --yes", code=2)
    run(world, "cnichain rollback --to 1 --yes", code=0)
    assert "hubble" not in world.get("cnichain", "default")["spec"], "a default is not written out"
    run(world, "cnichain status --wait --wait-duration 90s", code=0)
    assert world.exists("deployment", "hubble-ui", "--namespace=kube-system")


def test_a_change_that_failed_is_told_tried_again_and_taken_out_of_the_spec(
    world: Harness, folders: list[NodeFolder]
) -> None:
    assert "nothing to try again" in run(world, "cnichain retry", code=0)
    world.apply_chain(CRASHING)
    text = run(world, "cnichain status --wait --wait-duration 120s", code=1)
    assert "Gave up: it is Stalled, which needs a person." in text
    assert "× RolledBack: RolledBack" in text
    assert "× last change: RolledBack" in run(world, "cnichain check --category changes", code=1)
    before = world.get("cnichain", "default")["status"]["rejected"]
    assert "Cilium 1.17.3 is tried once more" in run(world, "cnichain retry", code=0)
    assert "cnichain.io/retry" in world.get("cnichain", "default")["metadata"]["annotations"]

    def tried_again() -> bool:
        status = world.get("cnichain", "default")["status"]
        return bool(status.get("rejected")) and status["rejected"]["content"] != before["content"]

    world.wait("it has failed once more", tried_again, 120)
    run(world, "cnichain rollback --yes", code=0)
    run(world, "cnichain status --wait --wait-duration 120s", code=0)
    assert world.get("cnichain", "default")["spec"]["cilium"] == SPEC["cilium"]


def test_a_chain_that_git_manages_is_changed_only_by_force(world: Harness, folders: list[NodeFolder]) -> None:
    world.kubectl("annotate", "cnichain", "default", "argocd.argoproj.io/tracking-id=net:cnichain.io/CNIChain:/default")
    for line in ("cnichain pause", "cnichain rollback --yes"):
        said = run(world, line, code=2)
        assert "Argo CD manages CNIChain default" in said
        assert "--force" in said
    assert not world.get("cnichain", "default")["spec"]["rollout"].get("paused")
    assert "Warning: Argo CD manages" in run(world, "cnichain pause --force", code=0)
    run(world, "cnichain resume --force", code=0)
    world.kubectl("annotate", "cnichain", "default", "argocd.argoproj.io/tracking-id-")


def test_a_change_that_another_writer_was_faster_than_is_made_anew(world: Harness, folders: list[NodeFolder]) -> None:
    seen: list[str] = []

    def pause_after_another(view: ChainView) -> Patch:
        if not seen:
            world.kubectl("annotate", "cnichain", "default", "test/another=writer")
        seen.append(view.raw["metadata"]["resourceVersion"])
        return paused(view.raw, to=True)

    changed, _ = ask(
        "pause", "pause", lambda client: change(client, pause_after_another), world.control_plane.kubeconfig
    )
    chain = world.get("cnichain", "default")
    assert changed
    assert len(set(seen)) > 1, "the API server must refuse a patch that was made for another version"
    assert chain["spec"]["rollout"]["paused"] is True
    assert chain["metadata"]["annotations"]["test/another"] == "writer", "what the other wrote stays"
    run(world, "cnichain resume", code=0)


def test_hubble_is_forwarded_until_ctrl_c(world: Harness, folders: list[NodeFolder], tmp_path: Path) -> None:
    world.wait_through()
    assert "kubectl port-forward failed: " in run(world, "cnichain hubble relay --port 0", code=2), (
        "a pod of kwok has no ports: the real kubectl says so"
    )
    kubectl, pid = tmp_path / "kubectl", tmp_path / "pid"
    kubectl.write_text(f"#!{sys.executable}\n{STAND_IN}", encoding="utf-8")
    kubectl.chmod(0o755)
    more = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PID_FILE": str(pid)}
    for line, title in (
        ("cnichain hubble ui", "Hubble UI: http://127.0.0.1:"),
        ("cnichain hubble relay", "Hubble Relay"),
    ):
        with start(world, f"{line} --port 0", **more) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(title)
            process.send_signal(signal.SIGINT if title.startswith("Hubble UI") else signal.SIGTERM)
            _, said = process.communicate(timeout=20)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert not Path(f"/proc/{pid.read_text(encoding='utf-8')}").exists(), "kubectl must not be left behind"


def test_ctrl_c_while_waiting(world: Harness, folders: list[NodeFolder]) -> None:
    world.apply_chain(WITHOUT_UI | {"rollout": {"paused": True}})
    world.wait_reason("Ready", "Paused")
    with start(world, "cnichain status --wait") as process:
        assert process.stderr is not None
        assert "Paused: " in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=20)
    assert (process.returncode, printed, said.strip()) == (130, "", "Interrupted.")
