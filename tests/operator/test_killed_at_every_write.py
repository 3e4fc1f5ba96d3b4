"""Killed (SIGKILL) after every write of an install, an upgrade and an uninstall, the operator ends as one that is not.

What happens: three steps with an operator that nobody kills, then the same three with one that is killed at each write
that it has not been killed at before, and started again. A write is its method, its path and its body but for times and
digests in it (each life makes other certificates until they are in the cluster), so a write that is repeated after a
start gets through, and each new one is followed by a kill: status, inventory, plan and CNIChainNodes as well as every
object; dry runs and events are none. The kill comes in turn before and after the operator has the answer. The engine
sends up to eight requests at once: a kill at an apply cuts the others off wherever they are, and they come again. A
deletion that is through does not come again, nor what is told a node, so the proxy passes those on one by one.

The real helm renders; a script keeps what it wrote for the same arguments and values, since each life renders anew.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from cnichain.dev.nodefolder import NodeFolder
from faultproxy import Answered, FaultProxy, fault_proxy
from harness import Harness
from installers import comparable, objects

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


def spec(version: str) -> Object:
    return {
        "cilium": {"version": version},
        "deletionPolicy": "Uninstall",
        "hubble": {"relay": {"enabled": True}, "ui": {"enabled": False}},
    }


@dataclass
class Lives:
    """The lives of one operator. kills: "METHOD path" of each write that it was killed at. writes: of all of them."""

    process: subprocess.Popen[str]
    is_killed: bool
    kills: list[str] = field(default_factory=list)
    writes: set[str] = field(default_factory=set)
    trouble: str = ""
    seen: set[tuple[str, bytes]] = field(default_factory=set)
    _killed_at: float = 0.0

    def answered(self, answer: Answered) -> Callable[[], None] | None:
        """Called by the proxy for each answer of the API server."""
        path, _, query = answer.path.partition("?")
        if answer.method == "GET" or answer.status >= 300 or "dryRun" in query or "/events" in path:
            return None
        write = f"{answer.method} {path}"
        self.writes.add(write)
        key = (write, b"" if "/secrets/" in path else OF_ONE_LIFE.sub(b"#", answer.body))
        # What an operator that is dead already has sent comes again from the next one.
        if not self.is_killed or answer.began < self._killed_at or key in self.seen:
            return None
        self.seen.add(key)
        self.kills.append(write)
        if len(self.kills) % 2:
            self._kill()
            return None
        return self._kill

    def order(self, text: str) -> str:
        """Give the forker an order; its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def _kill(self) -> None:
        answer = self.order("kill")
        if answer != "killed":
            self.trouble = f"the operator had ended before kill {len(self.kills)} at {self.kills[-1]}: {answer}"
        self._killed_at = time.monotonic()
        self.order("start")


def never_comes_again(method: str, path: str) -> bool:
    """Whether a request, once it is through, leaves nothing for the next life to do again."""
    return method == "DELETE" or (method == "PATCH" and ("/cnichainnodes/" in path or "/nodes/" in path))


def helm_with_memory(world: Harness) -> Path:
    """A program like helm that runs the real one once for each input."""
    kept = world.work / "rendered"
    kept.mkdir(exist_ok=True)
    script = world.work / "helm-with-memory"
    lines = [
        "#!/bin/sh -e",
        "values=$(cat)",
        f"""kept="{kept}/$(printf '%s\\n' "$values" "$@" | sha256sum | cut -c1-64)\"""",
        'if [ ! -f "$kept" ]; then',
        f"""  printf '%s' "$values" | '{world.control_plane.toolbox.path("helm")}' "$@" > "$kept.$$\"""",
        '  mv "$kept.$$" "$kept"',
        "fi",
        'exec cat "$kept"',
    ]
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    script.chmod(0o700)
    return script


@contextmanager
def lives(world: Harness, proxy: FaultProxy, *, is_killed: bool) -> Iterator[Lives]:
    """An operator behind the proxy, started."""
    config = json.loads(world.control_plane.kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"] = {"server": proxy.url}
    config["users"][0]["user"] = {}
    path = world.work / "proxy.kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    arguments = [
        f"--kubeconfig={path}",
        f"--helm={helm_with_memory(world)}",
        f"--chart-dir={world.chart_dir}",
        f"--cache-dir={world.work / 'cache'}",
        "--leader-elect=false",  # each life would wait for the end of the lease of the one before
    ]
    log = world.work / f"forked-operator-{is_killed}.log"
    world.logs.append(log)
    forker = [sys.executable, str(Path(__file__).with_name("forker.py")), *arguments]
    with (
        log.open("ab") as output,
        subprocess.Popen(
            forker,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env=os.environ | {"TMPDIR": str(world.work)},  # a killed operator leaves folders there
        ) as process,
    ):
        one = Lives(process, is_killed)
        try:
            one.order("start")
            proxy.one_by_one = never_comes_again
            proxy.answered = one.answered
            yield one
        finally:
            proxy.answered = lambda _answer: None
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=20)


def end_state(world: Harness) -> Object:
    """All that an install leaves in the cluster, without what differs between two installs of the same thing."""
    found: Object = {key: comparable(item) for key, item in objects(world, "-l", "cnichain.io/owner=default").items()}
    found.pop("ConfigMap cnichain-system/cnichain-plan-default", None)  # what the last change did, and when
    entries = [json.loads(line) for line in inventory(world).splitlines()]
    found["inventory"] = {
        " ".join(item[key] for key in ("kind", "namespace", "name")): [item["stage"], item["mutated"], item["owned"]]
        + ([] if item["kind"] == "Secret" else [item["desired"]])
        for item in entries
    }
    found["nodes"] = {item["metadata"]["name"]: item["spec"] for item in world.get("cnichainnodes")["items"]}
    found["taints"] = {item["metadata"]["name"]: item["spec"].get("taints") for item in world.get("nodes")["items"]}
    chain = world.get("cnichain", "default")
    status = chain["status"]
    found["finalizers"] = chain["metadata"]["finalizers"]
    found["conditions"] = {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}
    found["revisions"] = [
        (item["number"], item["cilium"], item["manifestsDigest"], item["outcome"]) for item in status["revisions"]
    ]
    found["status"] = {key: status.get(key) for key in ("versions", "stage", "waiting", "effective")}
    found["nodes in status"] = status["nodes"]
    found["plan"] = status["plan"]["state"]
    return found


def inventory(world: Harness) -> str:
    place = ("configmap", "cnichain-inventory-default", "-n", "cnichain-system")
    return str(world.get(*place)["data"]["objects.jsonl"]) if world.exists(*place) else ""


def is_through(world: Harness, version: str) -> bool:
    """Whether the rollout of a version has come to its end."""
    status = world.get("cnichain", "default").get("status") or {}
    return (
        (status.get("versions") or {}).get("cilium") == version
        and status["conditions"] != []
        and world.conditions()["Ready"]["status"] == "True"
        and status["plan"]["state"] == "Applied"
        and all(json.loads(line)["owned"] for line in inventory(world).splitlines())
    )


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


def differences(one: object, other: object, path: str = "") -> list[str]:
    """Where two states differ, one line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [line for key in keys for line in differences(one.get(key), other.get(key), f"{path}/{key}")]
    return [] if one == other else [f"{path}: {str(one)[:300]} / {str(other)[:300]}"]


def test_it_ends_the_same(world: Harness) -> None:
    told: dict[str, Object] = {}
    with world.agents() as folders, fault_proxy(world.control_plane) as proxy:
        primaries = {folder.root.name: (folder.conf_dir / "10-aws.conflist").read_bytes() for folder in folders}
        with lives(world, proxy, is_killed=False) as calm:

            def reach_calmly(what: str, check: Callable[[], object]) -> None:
                world.wait(what, check, STEP_SECONDS)

            for step in three_steps(world, calm, reach_calmly):
                told[step] = end_state(world) if step != "uninstall" else {}
            nothing_is_left(world, folders, primaries)
        with lives(world, proxy, is_killed=True) as killed:
            kills: dict[str, int] = {}

            def reach(what: str, check: Callable[[], object]) -> None:
                before = len(killed.kills)
                killed.seen.clear()
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
    assert killed.writes - calm.writes == set(), "writes that an operator that is not killed does not send"
    assert calm.writes - set(killed.kills) == set(), "writes after which the operator was never killed"


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
