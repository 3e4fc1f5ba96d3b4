"""The agent of a node writes the status of its own CNIChainNode alone. Tokens are as a kubelet asks for them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cnichain.dev.nodefolder import NodeFolder
from cnichain.node.access import from_kubeconfig
from cnichain.node.api_client import ApiClient
from harness import ROOT, Harness, Object, harness

pytestmark = pytest.mark.controlplane

NAMESPACE = "--namespace=cnichain-system"
ACCOUNT = "cnichain-agent"
POLICY = ROOT / "deploy/base/agent-policy.yaml"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> Iterator[Harness]:
    """Two nodes, a pod of the agent's account on each, the shipped roles and the policy, once it is in force."""
    with harness(tmp_path_factory.mktemp("agent-policy"), chart_dir, nodes=2) as running:
        for file in ("rbac.yaml", "agent-policy.yaml"):
            running.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base' / file}")
        for node in nodes(running):
            running.kubectl("create", "--filename=-", stdin=json.dumps(agent_pod(node)))
        probe = {
            "apiVersion": "cnichain.io/v1alpha1",
            "kind": "CNIChainNode",
            "metadata": {"name": "probe"},
            "spec": {},
        }
        running.kubectl("create", "--filename=-", stdin=json.dumps(probe))
        first = token_of(running, nodes(running)[0])
        running.wait("the policy is in force", lambda: write(running, first, "probe").returncode != 0, 30)
        running.kubectl("delete", "cnichainnode", "probe")
        yield running


def nodes(world: Harness) -> list[str]:
    return sorted(path.name for path in world.control_plane.nodes_dir.iterdir())


def agent_pod(node: str) -> Object:
    """A pod of the agent's account on a node: what a token of that node is bound to."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"cnichain-agent-{node}", "namespace": "cnichain-system"},
        "spec": {
            "nodeName": node,
            "serviceAccountName": ACCOUNT,
            "containers": [{"name": "agent", "image": "agent"}],
            "tolerations": [{"operator": "Exists"}],
        },
    }


def token_of(world: Harness, node: str) -> Path:
    """A kubeconfig with a token as the kubelet of a node asks for it: bound to the agent's pod there."""
    bound = ("--bound-object-kind=Pod", f"--bound-object-name=cnichain-agent-{node}")
    return kubeconfig(world, node, world.kubectl("create", "token", ACCOUNT, NAMESPACE, *bound).strip())


def kubeconfig(world: Harness, name: str, token: str) -> Path:
    config = json.loads(world.control_plane.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = world.work / f"{name}.kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def write(world: Harness, credentials: Path, node: str, *, spec: bool = False) -> subprocess.CompletedProcess[str]:
    """A server-side apply, which is how an agent writes: of a status, or of a spec."""
    body: Object = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChainNode", "metadata": {"name": node}}
    body |= {"spec": {"desired": "Unchained"}} if spec else {"status": {"agentVersion": credentials.stem}}
    command = [
        *(str(world.control_plane.toolbox.path("kubectl")), f"--kubeconfig={credentials}"),
        *("apply", "--server-side", "--force-conflicts", "--validate=false", "--filename=-"),
        *(() if spec else ("--subresource=status",)),
    ]
    text = json.dumps(body)
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)


def version_of(world: Harness, node: str) -> str:
    return str((world.get("cnichainnode", node).get("status") or {}).get("agentVersion"))


def test_operator_and_agents_do_their_work_under_the_policy(world: Harness) -> None:
    folders = {path.name: NodeFolder(path) for path in world.control_plane.nodes_dir.iterdir()}

    def states() -> dict[str, str]:
        items = world.get("cnichainnodes")["items"]
        return {item["metadata"]["name"]: item.get("status", {}).get("state", "") for item in items}

    with ExitStack() as stack:
        for node, folder in folders.items():
            stack.enter_context(world.agent(folder, token_of(world, node)))
        stack.enter_context(world.operator(kubeconfig=str(world.kubeconfig_of("cnichain-operator"))))
        world.apply_chain({"cilium": {"version": "1.18.12"}})
        # The operator has made the objects and given them a spec; each agent has answered in its own.
        world.wait("both agents have reported", lambda: set(states()) == set(folders) and all(states().values()), 60)
        world.wait("the operator has written its status", lambda: "Reconciling" in world.conditions(), 60)
    logs = "".join(path.read_text(encoding="utf-8") for path in world.work.glob("*.log"))
    assert "Forbidden" not in logs
    assert "cnichain-agent-own-node" not in logs, "the policy stood in somebody's way"


def test_an_agent_is_refused_the_status_of_another_node(world: Harness) -> None:
    mine, other = nodes(world)
    credentials = token_of(world, mine)
    before = version_of(world, other)
    done = write(world, credentials, other)
    assert done.returncode != 0, f"the agent of {mine} wrote the status of {other}"
    assert f"the agent of node {mine} may not write the status of CNIChainNode {other}" in done.stderr
    assert "Forbidden" in done.stderr
    assert version_of(world, other) == before
    assert write(world, credentials, mine).returncode == 0, "its own is its to write"
    assert version_of(world, mine) == mine


def test_a_token_that_names_no_node_proves_nothing(world: Harness) -> None:
    node = nodes(world)[0]
    unbound = kubeconfig(world, "unbound", world.kubectl("create", "token", ACCOUNT, NAMESPACE).strip())
    done = write(world, unbound, node)
    assert "the token of this agent names no node" in done.stderr, f"exit {done.returncode}: {done.stderr}"
    assert version_of(world, node) != "unbound"


def test_an_agent_that_was_given_more_rights_still_writes_nothing_but_a_status(world: Harness) -> None:
    node = nodes(world)[0]
    world.kubectl("create", "clusterrole", "too-much", "--verb=patch,delete", "--resource=cnichainnodes.cnichain.io")
    subject = f"--serviceaccount=cnichain-system:{ACCOUNT}"
    world.kubectl("create", "clusterrolebinding", "too-much", "--clusterrole=too-much", subject)
    credentials = token_of(world, node)

    def refused() -> str:
        said = write(world, credentials, node, spec=True).stderr
        return said if "cannot patch" not in said else ""  # RBAC has not heard of the new role yet

    assert "writes nothing of a CNIChainNode but its status" in world.wait("the new right counts", refused, 20)
    assert world.get("cnichainnode", node)["spec"].get("desired") != "Unchained"


def test_what_an_agent_says_steers_no_terminal(world: Harness) -> None:
    """Its own status is an agent's to write, whatever it puts there."""
    node = nodes(world)[0]
    said = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe"
    ready = {"type": "Ready", "status": "False", "reason": "Frozen", "message": said, "lastTransitionTime": "x"}
    status = {"state": "Frozen", "reason": "Frozen", "message": said, "chain": said, "conditions": [ready]}
    client = ApiClient(from_kubeconfig(token_of(world, node), None), node)
    client.apply_status(status, world.get("cnichainnode", node)["metadata"]["uid"])
    client.close()
    for command, expected in ((["nodes"], "\\x1b]0;owned"), (["tree"], node.split(".")[0]), (["status"], "Cilium")):
        done = subprocess.run(
            [sys.executable, "-m", "cnichain.cli.main", *command, f"--kubeconfig={world.control_plane.kubeconfig}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert expected in done.stdout, f"{command}: {done.stdout}{done.stderr}"
        steering = [char for char in said if not char.isprintable()]
        assert not set(steering) & set(done.stdout + done.stderr), f"{command}: {done.stdout!r}"


def test_nobody_else_is_asked(world: Harness) -> None:
    """The programs of `cnichain dev`, an administrator, another service account: RBAC alone decides."""
    node = nodes(world)[0]
    assert write(world, world.control_plane.kubeconfig, node).returncode == 0
    assert version_of(world, node) == world.control_plane.kubeconfig.stem
