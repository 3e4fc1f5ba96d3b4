"""Fields of rendered kinds that the API server does not let anybody change. Pure.

Source: the validation of each kind in Kubernetes (ValidateDaemonSetUpdate, ValidateDeploymentUpdate,
ValidateRoleBindingUpdate, ValidateSecretUpdate, ValidateServiceUpdate).
"""

from collections.abc import Mapping
from typing import Any

PATHS: Mapping[str, tuple[str, ...]] = {
    "ClusterRoleBinding": ("roleRef",),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "RoleBinding": ("roleRef",),
    "Secret": ("type",),
    "StatefulSet": ("spec.selector", "spec.serviceName"),
}


def immutable_differences(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Dotted paths of the fields in which a live object differs from a manifest and can never become like it."""
    kind = str(wanted["kind"])
    found = [path for path in PATHS.get(kind, ()) if _at(wanted, path) not in (None, _at(live, path))]
    if kind == "Service" and ("None" in (_at(live, "spec.clusterIP"), _at(wanted, "spec.clusterIP"))):
        found += ["spec.clusterIP"] if _at(live, "spec.clusterIP") != _at(wanted, "spec.clusterIP") else []
    return found


def _at(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
