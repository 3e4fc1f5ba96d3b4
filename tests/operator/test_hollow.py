"""Hollow nodes: the real agents of all nodes in one process, each with its own folder and its own CNIChainNode."""

import json
import signal
from pathlib import Path

import pytest

from cnichain.dev.nodefolder import NodeFolder, make_node_folder, write_placeholder
from fleet import node_files
from harness import Harness, Object

pytestmark = pytest.mark.controlplane

CHAINED = "05-cilium.conflist"


def give_spec(world: Harness, *names: str, **spec: object) -> None:
    """Make CNIChainNodes, or change their spec, as the operator does."""
    bodies = [
        {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChainNode", "metadata": {"name": name}, "spec": spec}
        for name in names
    ]
    world.kubectl(
        "apply",
        "--server-side",
        "--filename=-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}),
    )


def state(world: Harness, name: str) -> Object:
    found: Object = world.get("cnichainnode", name).get("status") or {}
    return found


def wait_in_sync(world: Harness, *names: str) -> None:
    for name in names:
        world.wait(f"{name} is InSync", lambda name=name: state(world, name).get("state") == "InSync", 30)  # type: ignore[misc]


def test_each_node_is_guarded_for_itself(world: Harness) -> None:
    folders = [NodeFolder(path) for path in sorted(world.control_plane.nodes_dir.iterdir())]
    first, second, third = (folder.root.name for folder in folders)
    for folder in folders:
        write_placeholder(folder.bin_dir / "cilium-cni")
    with world.hollow_agents() as log:
        give_spec(world, first, second, writer="CNIChain")
        wait_in_sync(world, first, second)
        told = [item["objectRef"]["name"] for item in world.audited(agent="cnichain-agent") if item["verb"] == "patch"]
        assert sorted(told) == sorted([first, second]), "nothing is told before the guard has looked at the spec"
        files = node_files(world)
        assert CHAINED in files[first]
        assert CHAINED not in files[third], "it was not told to"
        damaged = folders[0].conf_dir / CHAINED
        damaged.write_text("{}")
        world.wait("it is repaired", lambda: damaged.read_bytes() == files[first][CHAINED], 30)
        world.wait("it is told", lambda: state(world, first)["repairs"]["drifts"] == 1, 30)
        assert state(world, second)["repairs"]["drifts"] == 0
        assert state(world, second)["agentVersion"] != ""

        world.kubectl("delete", "cnichainnode", second)
        folders[1].conf_dir.joinpath(CHAINED).unlink()
        world.wait("the last spec stays in force", lambda: CHAINED in node_files(world)[second], 30)

        late = make_node_folder(world.control_plane.nodes_dir, "late", egress_mtu="9001")
        write_placeholder(late.bin_dir / "cilium-cni")
        give_spec(world, late.root.name, writer="CNIChain")
        wait_in_sync(world, late.root.name)
        watches = {
            item["requestURI"]
            for item in world.audited(agent="cnichain-agent")
            if item["verb"] == "watch" and "cnichainnodes" in item["requestURI"]
        }
        assert not any("fieldSelector" in uri for uri in watches), "one watch of all in place of one each"
        agents = world.processes[-1]
        agents.send_signal(signal.SIGTERM)
        assert agents.wait(timeout=20) == 0
    assert is_guarding(log, folders[0].root.name)


def is_guarding(log: Path, name: str) -> bool:
    """Whether the log names the node in a line."""
    return any(json.loads(line).get("thread") == name for line in log.read_text(encoding="utf-8").splitlines())
