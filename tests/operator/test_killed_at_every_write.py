"""Killed (SIGKILL) after every write of an install, an upgrade and an uninstall, the operator ends as one that is not.

What happens: three steps with an operator that nobody kills, then the same three with one that is killed at each write
that it has not been killed at before, and started again. A write is its method, its path and its body but for times and
digests in it (each life makes other certificates until they are in the cluster), so a write that is repeated after a
start gets through, and each new one is followed by a kill: status, inventory, plan and CNIChainNodes as well as every
object; dry runs and events are none. The kill comes in turn before and after the operator has the answer. The engine
sends up to eight requests at once: a kill at an apply cuts the others off wherever they are, and they come again. A
deletion that is through does not come again, nor what is told a node, so the proxy passes those on one by one.
"""

import base64
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509

from cnichain.dev.nodefolder import NodeFolder
from endstate import differences, end_state, inventory, is_through
from faultproxy import Answered, fault_proxy
from harness import Harness
from installers import objects
from lives import Lives, lives, never

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(1500)]

Object = dict[str, Any]
FIRST, SECOND = "1.17.3", "1.17.18"
CHAINED = "05-cilium.conflist"
STARTUP_TAINT = "cnichain.io/chain-not-ready"
MOST_KILLS = 250
"""Of one step. More of them are an operator that does not get on."""
LOOK_SECONDS = 3.0
STEP_SECONDS = 480.0
OF_ONE_LIFE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|[0-9a-f]{16,}")
"""Times and digests."""
POD_SUFFIX = re.compile(r"(/pods/.+)-[a-z0-9]{5}$")


def spec(version: str) -> Object:
    return {
        "cilium": {"version": version},
        "deletionPolicy": "Uninstall",
        "hubble": {"relay": {"enabled": True}, "ui": {"enabled": False}},
    }


@dataclass
class EachOnce:
    """Every write that was not seen before is due."""

    seen: set[tuple[str, bytes]] = field(default_factory=set)

    def is_due(self, write: str, answer: Answered) -> bool:
        key = (write, b"" if "/secrets/" in write else OF_ONE_LIFE.sub(b"#", answer.body))
        if key in self.seen:
            return False
        self.seen.add(key)
        return True


def three_steps(world: Harness, one: Lives, reach: Callable[[str, Callable[[], object]], None]) -> Iterator[str]:
    """Install, upgrade, uninstall; yields the name of each step when it has come to its end."""
    node = world.get("nodes")["items"][0]["metadata"]["name"]
    world.kubectl("taint", "node", node, f"{STARTUP_TAINT}=:PreferNoSchedule")
    for name, version in (("install", FIRST), ("upgrade", SECOND)):
        world.apply_chain(spec(version))
        reach(name, lambda version=version: is_through(world, version))  # type: ignore[misc]  # its type is the default's
        yield name
    world.kubectl("delete", "cnichain", "default", "--wait=false")
    reach("uninstall", lambda: not world.exists("cnichain", "default"))
    yield "uninstall"


def test_it_ends_the_same(world: Harness) -> None:
    told: dict[str, Object] = {}
    with world.agents() as folders, fault_proxy(world.control_plane) as proxy:
        primaries = {folder.root.name: (folder.conf_dir / "10-aws.conflist").read_bytes() for folder in folders}
        with lives(world, proxy, never) as calm:

            def reach_calmly(what: str, check: Callable[[], object]) -> None:
                world.wait(what, check, STEP_SECONDS)

            for step in three_steps(world, calm, reach_calmly):
                told[step] = end_state(world) if step != "uninstall" else {}
            nothing_is_left(world, folders, primaries)
        each = EachOnce()
        with lives(world, proxy, each.is_due) as killed:
            kills: dict[str, int] = {}

            def reach(what: str, check: Callable[[], object]) -> None:
                before = len(killed.kills)
                each.seen.clear()
                next_look = 0.0

                def look() -> object:
                    nonlocal next_look
                    assert killed.trouble == ""
                    assert len(killed.kills) - before < MOST_KILLS, f"no end of it: {killed.kills[-20:]}"
                    if time.monotonic() < next_look:  # each look costs as much as half a life
                        return False
                    next_look = time.monotonic() + LOOK_SECONDS
                    return check()

                world.wait(what, look, STEP_SECONDS)
                kills[what] = len(killed.kills) - before

            for step in three_steps(world, killed, reach):
                if step == "uninstall":
                    nothing_is_left(world, folders, primaries)
                    continue
                found = end_state(world)
                assert differences(told[step], found) == [], f"{step}: not killed / killed {kills[step]} times"
                certificates_hold(world)
    calmly = without_suffixes(calm.writes)
    assert without_suffixes(killed.writes) - calmly == set(), "writes that an operator that is not killed does not send"
    assert calmly - without_suffixes(killed.kills) == set(), "writes after which the operator was never killed"


def without_suffixes(writes: Iterable[str]) -> set[str]:
    """The writes, with a pod of a DaemonSet named by its DaemonSet: the controller draws the rest of its name."""
    return {POD_SUFFIX.sub(r"\1-*", write) for write in writes}


def nothing_is_left(world: Harness, folders: list[NodeFolder], primaries: dict[str, bytes]) -> None:
    """All that was installed is gone, and the primary runs alone on each node."""
    left = [key for key in objects(world, "-l", "cnichain.io/owner=default") if not key.startswith("Namespace")]
    assert left == [], "objects of ours after the uninstall"
    assert inventory(world) == ""
    assert world.get("cnichainnodes")["items"] == []
    assert world.exists("daemonset", "aws-node", "-n", "kube-system")
    for folder in folders:
        assert sorted(path.name for path in folder.conf_dir.iterdir()) == ["10-aws.conflist"]
        assert (folder.conf_dir / "10-aws.conflist").read_bytes() == primaries[folder.root.name]
    assert [item for node in world.get("nodes")["items"] for item in node["spec"].get("taints", [])] == []


def certificates_hold(world: Harness) -> None:
    """Hubble's certificates are signed by the CA that is there, whichever life of the operator made either."""

    def pem(name: str, key: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(
            base64.b64decode(world.get("secret", name, "-n", "kube-system")["data"][key])
        )

    authority = pem("cilium-ca", "ca.crt")
    for name in ("hubble-server-certs", "hubble-relay-client-certs"):
        pem(name, "tls.crt").verify_directly_issued_by(authority)
        assert pem(name, "ca.crt") == authority, f"{name} names another CA"
