"""Is an applied object healthy? Pure readings of live objects, by the rules that kstatus uses for its built-in kinds.

Source of the rules: kstatus (cli-utils, pkg/kstatus/status/core.go) and `kubectl rollout status`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Health:
    """healthy: the object does its job. message: what is missing, empty when nothing is."""

    healthy: bool
    message: str = ""


HEALTHY = Health(healthy=True)


def health_of(live: Mapping[str, Any] | None, what: str) -> Health:
    """Health of one live object; `what` names it in messages. Kinds without a rollout are healthy by being there."""
    if live is None:
        return Health(healthy=False, message=f"{what} does not exist yet")
    if live["metadata"].get("deletionTimestamp"):
        return Health(healthy=False, message=f"{what} is being deleted")
    match live.get("kind"):
        case "DaemonSet":
            return _daemon_set(live, what)
        case "Deployment":
            return _deployment(live, what)
        case "CustomResourceDefinition":
            return _crd(live, what)
        case "Namespace":
            active = live.get("status", {}).get("phase") == "Active"
            return HEALTHY if active else Health(healthy=False, message=f"{what} is not Active")
        case _:
            return HEALTHY


def _unseen(live: Mapping[str, Any], what: str) -> str:
    """Said of a workload whose status is still about the spec before; "" when it is not."""
    if (live.get("status") or {}).get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return f"{what}: its controller has not seen the new spec yet"
    return ""


def _daemon_set(live: Mapping[str, Any], what: str) -> Health:
    status = live.get("status", {})
    if unseen := _unseen(live, what):
        return Health(healthy=False, message=unseen)
    wanted = status.get("desiredNumberScheduled", 0)
    updated = status.get("updatedNumberScheduled", 0)
    if updated < wanted:
        return Health(healthy=False, message=f"{what}: {updated} of {wanted} pods updated")
    available = status.get("numberAvailable", 0)
    if available < wanted:
        return Health(healthy=False, message=f"{what}: {available} of {wanted} pods available")
    return HEALTHY


def daemon_set_rolled_out(live: Mapping[str, Any] | None, *, away: int) -> str:
    """What a DaemonSet still waits for, in words, "" when nothing. away: nodes that are not Ready, whose pods cannot be
    waited for."""
    if live is None:
        return "it is being applied"
    name, status = live["metadata"]["name"], live.get("status") or {}
    if unseen := _unseen(live, f"DaemonSet {name}"):
        return unseen
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    if min(ready, status.get("updatedNumberScheduled", 0)) >= wanted - away:
        return ""
    return f"DaemonSet {name}: {ready} of {wanted} nodes have the new images"


def _deployment(live: Mapping[str, Any], what: str) -> Health:
    status = live.get("status", {})
    if unseen := _unseen(live, what):
        return Health(healthy=False, message=unseen)
    wanted = live.get("spec", {}).get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    if updated < wanted:
        return Health(healthy=False, message=f"{what}: {updated} of {wanted} replicas updated")
    if status.get("replicas", 0) > updated:
        return Health(healthy=False, message=f"{what}: {status['replicas'] - updated} old replicas are still there")
    available = status.get("availableReplicas", 0)
    if available < wanted:
        return Health(healthy=False, message=f"{what}: {available} of {wanted} replicas available")
    return HEALTHY


def _crd(live: Mapping[str, Any], what: str) -> Health:
    conditions = {item["type"]: item["status"] for item in live.get("status", {}).get("conditions") or []}
    if conditions.get("Established") == "True":
        return HEALTHY
    return Health(healthy=False, message=f"{what} is not established yet")
