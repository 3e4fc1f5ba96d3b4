"""One engine enforces NetworkPolicy; what would make it two, or none, is refused with its own reason."""

from typing import Any

import pytest

from cnichain.api.chain import parse_spec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.preflight.othercalico import check_no_other_calico
from cnichain.preflight.policy import check_calico_step, check_policy_engine

ON = {"enabled": True, "version": "3.26.0"}


def check(calico: dict[str, Any] | None = None, engine: str | None = None, **values: Any) -> None:
    spec: dict[str, Any] = {"cilium": {"version": "1.20.0", "values": values}}
    spec |= {"calico": calico} if calico else {}
    spec |= {"policyEngine": engine} if engine else {}
    check_policy_engine(parse_spec(spec))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"calico": ON}, Reason.TWO_POLICY_ENGINES),
        ({"calico": ON, "engine": "Cilium"}, Reason.TWO_POLICY_ENGINES),
        ({"engine": "Calico"}, Reason.POLICY_ENGINE_NOT_ENABLED),
        ({"calico": {"enabled": True}, "engine": "Calico"}, Reason.SPEC_INVALID),
        ({"calico": ON, "engine": "Calico", "policyEnforcementMode": "always"}, Reason.RESERVED_VALUE),
        (
            {"calico": ON, "engine": "Calico", "k8sClusterNetworkPolicy": {"enabled": True}},
            Reason.RESERVED_VALUE,
        ),
        ({"policyEnforcementMode": "Never"}, Reason.RESERVED_VALUE),
    ],
)
def test_a_contradiction_has_its_own_reason(arguments: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(ChainError) as caught:
        check(**arguments)
    assert caught.value.reason is reason
    assert caught.value.terminal


def test_one_engine_is_taken() -> None:
    check()
    check(policyEnforcementMode="always")
    check(calico=ON, engine="Calico", policyEnforcementMode="never")


def test_calico_goes_forward_over_minors_and_never_back() -> None:
    check_calico_step("", "3.26.0")
    check_calico_step("3.26.0", "3.32.1")
    check_calico_step("3.32.1", "3.32.0")
    with pytest.raises(ChainError) as caught:
        check_calico_step("3.32.1", "3.26.0")
    assert caught.value.reason is Reason.CALICO_DOWNGRADE


def deployment(namespace: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "tigera-operator"}}


@pytest.mark.parametrize(
    ("active", "deployments", "daemon_set", "reason"),
    [
        ({"data": {"active-namespace": "other"}}, [], None, Reason.TWO_TIGERA_OPERATORS),
        (None, [deployment("tigera-operator"), deployment("other")], None, Reason.TWO_TIGERA_OPERATORS),
        (None, [], {"metadata": {}}, Reason.CALICO_BY_MANIFEST),
    ],
)
def test_another_calico_is_refused(active: Any, deployments: Any, daemon_set: Any, reason: Reason) -> None:
    with pytest.raises(ChainError) as caught:
        check_no_other_calico(active, deployments, daemon_set)
    assert caught.value.reason is reason


def test_our_own_tigera_operator_is_no_other() -> None:
    check_no_other_calico({"data": {"active-namespace": "tigera-operator"}}, [deployment("tigera-operator")], None)
    check_no_other_calico(None, [], None)
