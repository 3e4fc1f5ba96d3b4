"""Is there a Calico in the cluster that is not CNIChain's, and would get in the way of ours? Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason

OPERATOR_NAME = "tigera-operator"
OPERATOR_NAMESPACE = "tigera-operator"
ACTIVE_CONFIG_MAP = "active-operator"
ACTIVE_NAMESPACE = "calico-system"
ACTIVE_KEY = "active-namespace"
MANIFEST_NAMESPACE = "kube-system"
MANIFEST_DAEMON_SET = "calico-node"

Object = Mapping[str, Any]


def check_no_other_calico(active: Object | None, deployments: Iterable[Object], daemon_set: Object | None) -> None:
    """Raises ChainError: TwoTigeraOperators or CalicoByManifest, with the object's name.

    active: the ConfigMap calico-system/active-operator, by which tigera-operators agree on the one that acts (upstream
    pkg/active/active.go). deployments: all named tigera-operator, in any namespace. daemon_set:
    kube-system/calico-node.
    """
    namespace = ((active or {}).get("data") or {}).get(ACTIVE_KEY, OPERATOR_NAMESPACE)
    if namespace != OPERATOR_NAMESPACE:
        raise ChainError(
            Reason.TWO_TIGERA_OPERATORS,
            f"ConfigMap {ACTIVE_NAMESPACE}/{ACTIVE_CONFIG_MAP} names the namespace {namespace}: its tigera-operator "
            f"acts, and one in {OPERATOR_NAMESPACE} would wait for ever.",
        )
    others = sorted(
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in deployments
        if item["metadata"]["namespace"] != OPERATOR_NAMESPACE
    )
    if others:
        raise ChainError(Reason.TWO_TIGERA_OPERATORS, f"Deployment {', '.join(others[:3])} is another one.")
    if daemon_set is not None:
        raise ChainError(Reason.CALICO_BY_MANIFEST, f"DaemonSet {MANIFEST_NAMESPACE}/{MANIFEST_DAEMON_SET} is there.")
