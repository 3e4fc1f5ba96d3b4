"""Who enforces NetworkPolicy: from any state that the cluster can be in, at least one engine does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.chain import parse_spec
from cnichain.api.objects import ObjectKey
from cnichain.plan.calico import calico_health, cilium_enforces
from cnichain.plan.health import HEALTHY, Health
from cnichain.plan.inventory import Entry, leftovers
from cnichain.render.calico import INSTALLATION

CALICO = parse_spec(
    {"cilium": {"version": "1.20.0"}, "policyEngine": "Calico", "calico": {"enabled": True, "version": "3.26.0"}}
)
CILIUM = parse_spec({"cilium": {"version": "1.20.0"}})
AVAILABLE = {"type": "Available", "status": "True", "observedGeneration": 2}
WAITING = {"type": "Degraded", "status": "True", "reason": "ResourceNotReady", "message": "Waiting for pods"}


def install(generation: int = 2, version: str = "v3.26.0", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"generation": generation, **metadata}, "status": {"calicoVersion": version}}


def status(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("installation", "tigera", "words"),
    [
        (None, None, "does not exist yet"),
        (install(), None, "has not reported"),
        (install(deletionTimestamp="now"), status(AVAILABLE), "being deleted"),
        (install(), status(WAITING), "ResourceNotReady: Waiting for pods"),
        (install(), status(AVAILABLE, WAITING), "Waiting for pods"),
        (install(generation=3), status(AVAILABLE), "has not seen the newest"),
        (install(version="v3.25.0"), status(AVAILABLE), "still v3.25.0"),
    ],
)
def test_what_calico_waits_for_is_told(installation: Any, tigera: Any, words: str) -> None:
    health = calico_health(installation, tigera, "3.26.0")
    assert not health.healthy
    assert words in health.message


def test_calico_is_available_when_tigera_operator_says_so_of_the_wanted_version() -> None:
    assert calico_health(install(), status(AVAILABLE), "3.26.0") == HEALTHY


@given(
    healthy=st.booleans(),
    there=st.sampled_from([None, install(), install(deletionTimestamp="now")]),
    told=st.sampled_from(["true", "false", None]),
)
def test_cilium_never_leaves_networkpolicy_to_a_calico_that_is_not_there(
    healthy: bool, there: dict[str, Any] | None, told: str | None
) -> None:
    health = HEALTHY if healthy else Health(healthy=False, message="waiting")
    config = None if told is None else {"data": {"enable-k8s-networkpolicy": told}}
    assert cilium_enforces(CILIUM, there, health, config), "with Cilium as the engine it always enforces"
    enforces = cilium_enforces(CALICO, there, health, config)
    stands = there is not None and "deletionTimestamp" not in there["metadata"]
    if not healthy and not stands:
        assert enforces, "nobody would enforce"
    if healthy:
        assert not enforces, "two engines would enforce"
    if not healthy and told != "false":
        assert enforces, "Cilium was to leave NetworkPolicy before Calico was available"


def key(kind: str, name: str = "tigera-operator", namespace: str = "tigera-operator") -> ObjectKey:
    return ObjectKey("v1", kind, namespace, name)


def test_nothing_of_calico_is_pruned_before_its_installation_is_gone() -> None:
    operator = {item: Entry("calico-operator", "d", "u", "o") for item in (key("Deployment"), key("ServiceAccount"))}
    other = {key("ConfigMap", "x", "kube-system"): Entry("config", "d", "u", "o")}
    inventory = {INSTALLATION: Entry("calico", "d", "u", "o")} | operator | other
    assert leftovers(inventory, []) == list(other), "tigera-operator alone can take the finalizers off"
    del inventory[INSTALLATION]
    assert leftovers(inventory, [])[0] == key("Deployment")
    assert set(leftovers(inventory, [])) == set(operator) | set(other)
