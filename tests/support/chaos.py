"""What must hold after each fault: the same children as before, and an operator that has nothing to write."""

import json
import time
import urllib.request
from typing import Any

from endstate import differences, inventory
from harness import WRITES, Harness
from installers import comparable, objects

Object = dict[str, Any]
SPEC: Object = {"cilium": {"version": "1.17.3"}, "hubble": {"relay": {"enabled": True}, "ui": {"enabled": False}}}
OPERATOR, PROXY = "cnichain-operator", "Python/"
"""What the user agent of an operator begins with, and that of the proxy, which stands for the operator behind it."""
OWN = ("/status", "/events", "/leases")
"""What an operator may write when nothing of the chain is to be changed: how it stands."""


def children(world: Harness) -> Object:
    """Everything that the CNIChain owns, by name: who made it (uid) and what is in it, field managers among it."""
    found = objects(world, "-l", "cnichain.io/owner=default")
    told: Object = {key: [item["metadata"]["uid"], comparable(item)] for key, item in found.items()}
    for key in ("plan", "history"):  # say when the last change was
        told.pop(f"ConfigMap cnichain-system/cnichain-{key}-default", None)
    told["nodes"] = {item["metadata"]["name"]: item["spec"] for item in world.get("cnichainnodes")["items"]}
    told["inventory"] = sorted(json.loads(line)["name"] for line in inventory(world).splitlines())
    return told


def changed(before: Object, after: Object) -> list[str]:
    """Children that are not what they were, one line each."""
    return differences(before, after)


def written(world: Harness, start: int) -> list[str]:
    """What operators have written of the chain since line `start` of the audit log, whoever of them it was."""
    made = [item for agent in (OPERATOR, PROXY) for item in world.audited(start, agent)]
    return [
        f"{item['verb']} {item['requestURI']}"
        for item in made
        if item["verb"] in WRITES
        and "dryRun" not in item["requestURI"]
        and not any(o in item["requestURI"] for o in OWN)
    ]


def turn(world: Harness) -> None:
    """Make the operator that leads pass again."""
    world.kubectl("annotate", "cnichain", "default", f"test/turn={time.monotonic()}", "--overwrite")


def assert_nothing_is_lost(world: Harness, before: Object) -> None:
    """The chain is Ready by itself, its children are those of before, and one more pass writes nothing."""

    def is_well() -> bool:
        conditions = world.conditions()
        return (conditions["Ready"]["status"], conditions["Reconciling"]["status"]) == ("True", "False")

    world.wait("Ready again, and nothing in the way", is_well)
    assert changed(before, children(world)) == []
    start = world.audit_length()

    def passes() -> int:
        made = [item for agent in (OPERATOR, PROXY) for item in world.audited(start, agent)]
        return sum(item["requestURI"].partition("?")[0].endswith("/cnichains/default") for item in made)

    turn(world)
    world.wait("one more pass", lambda: passes() > 0, 60)
    world.wait_quiet(passes)
    assert is_well()
    assert written(world, start) == [], "an operator that is at rest writes nothing"


def metric(port: int | str, name: str) -> float:
    """The sum of a metric's values as the operator serves it; `name{label="x"` picks some of them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    picked = [line for line in lines if line.startswith(name) and not line.startswith("#")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in picked)
