"""Is Calico there, and who should enforce NetworkPolicy at this moment? Pure readings of live objects."""

from collections.abc import Mapping
from typing import Any

from cnichain.api.chain import CNIChainSpec, PolicyEngine
from cnichain.plan.health import HEALTHY, Health

CILIUM_SETTING = "enable-k8s-networkpolicy"
"""Key of cilium-config by which Cilium's agents enforce NetworkPolicy or do not."""

Object = Mapping[str, Any]


def calico_health(installation: Object | None, tigera_status: Object | None, version: str) -> Health:
    """Whether Calico of a version is available, as tigera-operator says.

    installation, tigera_status: Installation `default` and TigeraStatus `calico`. tigera-operator reports what it
    merely waits for as Degraded, so Degraded is something to wait for, never a failure; its words are carried over.
    """
    if installation is None:
        return Health(healthy=False, message="Installation default does not exist yet")
    if is_going(installation):
        return Health(healthy=False, message="Installation default is being deleted")
    if tigera_status is None:
        return Health(healthy=False, message="tigera-operator has not reported on Calico yet")
    conditions = {item["type"]: item for item in tigera_status.get("status", {}).get("conditions") or []}
    available = conditions.get("Available", {})
    if available.get("status") != "True" or _is_true(conditions, "Degraded"):
        return Health(healthy=False, message=f"Calico is not available: {_words(conditions)}")
    generation = installation["metadata"].get("generation", 0)
    if available.get("observedGeneration", generation) < generation:
        return Health(healthy=False, message="tigera-operator has not seen the newest Installation yet")
    running = installation.get("status", {}).get("calicoVersion", "")
    if running and running != f"v{version}":
        return Health(healthy=False, message=f"Calico is still {running}")
    return HEALTHY


def cilium_enforces(
    spec: CNIChainSpec, installation: Object | None, health: Health, cilium_config: Object | None
) -> bool:
    """Whether Cilium's agents should enforce NetworkPolicy.

    With Calico as the engine they do until Calico is available: rather two engines for a while than none. Once they
    have been told to leave it (cilium_config, the live ConfigMap, says so), they are left alone for as long as Calico's
    Installation stands: a Calico that is short of a pod for a moment must not restart every agent twice.
    """
    if spec.policy_engine is PolicyEngine.CILIUM:
        return True
    if health.healthy:
        return False
    stands = installation is not None and not is_going(installation)
    told = ((cilium_config or {}).get("data") or {}).get(CILIUM_SETTING) == "false"
    return not (stands and told)


def is_going(item: Object) -> bool:
    """Whether an object is being deleted."""
    return bool(item["metadata"].get("deletionTimestamp"))


def _is_true(conditions: Mapping[str, Object], kind: str) -> bool:
    return bool(conditions.get(kind, {}).get("status") == "True")


def _words(conditions: Mapping[str, Object]) -> str:
    """What tigera-operator says, the most telling condition first."""
    for kind in ("Degraded", "Progressing", "Available"):
        found = conditions.get(kind, {})
        if kind == "Available" or _is_true(conditions, kind):
            said = ": ".join(text for text in (found.get("reason"), found.get("message")) if text)
            if said:
                return said[:500]
    return "tigera-operator has not said why"
