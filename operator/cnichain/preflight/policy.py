"""Exactly one engine enforces NetworkPolicy: does spec say which, and without a contradiction? Pure."""

from collections.abc import Mapping
from typing import Any

from cnichain.api.chain import CNIChainSpec, PolicyEngine
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import parse_version


def check_policy_engine(spec: CNIChainSpec) -> None:
    """Raises ChainError: TwoPolicyEngines, PolicyEngineNotEnabled, SpecInvalid (Calico without a version), or
    ReservedValue where a value of Cilium's chart contradicts spec.policyEngine.

    Calico enforces wherever it runs: neither the Installation nor Felix has a setting against it (Felix reads every
    NetworkPolicy itself). So Calico beside Cilium as the engine is refused, rather than left half on.
    """
    calico = spec.policy_engine is PolicyEngine.CALICO
    if spec.calico.enabled and not calico:
        raise ChainError(
            Reason.TWO_POLICY_ENGINES,
            "spec.calico.enabled is true and spec.policyEngine is Cilium: Calico enforces wherever it runs.",
        )
    if calico and not spec.calico.enabled:
        raise ChainError(
            Reason.POLICY_ENGINE_NOT_ENABLED, "spec.policyEngine is Calico, but spec.calico.enabled is not true."
        )
    if calico and spec.calico.version is None:
        raise ChainError(Reason.SPEC_INVALID, "spec.calico.version: calico.enabled needs a version.")
    wrong = _contradictions(spec.cilium.values, calico=calico)
    if wrong:
        shown = "; ".join(f"{path} ({why})" for path, why in wrong.items())
        raise ChainError(Reason.RESERVED_VALUE, f"spec.cilium.values contradicts spec.policyEngine: {shown}.")


def check_calico_step(installed: str, wanted: str) -> None:
    """Raise ChainError(CalicoDowngrade) when a minor would be gone back; installed is empty when there is none yet.

    Going forward over several minors at once is Calico's own procedure: its guide for 3.32 upgrades "from Calico v3.15
    or later".
    """
    old, new = parse_version(installed), parse_version(wanted)
    if old is not None and new is not None and new[:2] < old[:2]:
        raise ChainError(Reason.CALICO_DOWNGRADE, f"spec.calico.version: from {installed} back to {wanted}.")


def _contradictions(values: Mapping[str, Any], *, calico: bool) -> dict[str, str]:
    found = {}
    mode = str(values.get("policyEnforcementMode", "default")).lower()
    if calico and mode == "always":
        found["policyEnforcementMode"] = "always: without a Cilium policy every pod is cut off, whatever Calico allows"
    if not calico and mode == "never":
        found["policyEnforcementMode"] = "never: then nothing enforces"
    cluster = values.get("k8sClusterNetworkPolicy")
    if calico and isinstance(cluster, Mapping) and cluster.get("enabled"):
        found["k8sClusterNetworkPolicy.enabled"] = "Calico enforces ClusterNetworkPolicy as well"
    return found
