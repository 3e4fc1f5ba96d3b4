"""What an install or a change leaves in the cluster, so that two ways to the same end can be compared."""

import json
from typing import Any

from harness import Harness
from installers import comparable, objects

Object = dict[str, Any]


def end_state(world: Harness) -> Object:
    """All that an install leaves in the cluster, without what differs between two installs of the same thing."""
    found: Object = {key: comparable(item) for key, item in objects(world, "-l", "cnichain.io/owner=default").items()}
    found.pop("ConfigMap cnichain-system/cnichain-plan-default", None)  # what the last change did, and when
    found.pop("ConfigMap cnichain-system/cnichain-history-default", None)
    history = ("configmap", "cnichain-history-default", "-n", "cnichain-system")
    known = world.get(*history)["data"] if world.exists(*history) else {}
    recorded = json.loads(known.get("good.json", "{}"))
    good = {key: value for key, value in recorded.items() if key not in {"time", "revision"}}
    found["history"] = {"firstMinor": known.get("firstMinor"), "good": good, "rejected": known.get("rejected.json")}
    entries = [json.loads(line) for line in inventory(world).splitlines()]
    found["inventory"] = {
        " ".join(item[key] for key in ("kind", "namespace", "name")): [item["stage"], item["mutated"], item["owned"]]
        + ([] if item["kind"] == "Secret" else [item["desired"]])
        for item in entries
    }
    found["nodes"] = {item["metadata"]["name"]: item["spec"] for item in world.get("cnichainnodes")["items"]}
    nodes = world.get("nodes")["items"]
    found["taints"] = {item["metadata"]["name"]: item["spec"].get("taints") for item in nodes}
    found["labels"] = {item["metadata"]["name"]: item["metadata"]["labels"] for item in nodes}
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
    """The operator's list of what it owns, one JSON object a line; empty without one."""
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


def differences(one: object, other: object, path: str = "") -> list[str]:
    """Where two states differ, one line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [line for key in keys for line in differences(one.get(key), other.get(key), f"{path}/{key}")]
    return [] if one == other else [f"{path}: {str(one)[:300]} / {str(other)[:300]}"]
