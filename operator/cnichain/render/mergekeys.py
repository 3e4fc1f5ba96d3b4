"""List entries that share one merge key: server-side apply refuses them, helm does not notice. Pure.

The keys are those of the Kubernetes OpenAPI schema (x-kubernetes-list-map-keys, x-kubernetes-patch-merge-key).
"""

from collections.abc import Callable, Mapping
from typing import Any

Key = Callable[[Mapping[str, Any]], object]


def _by(field: str) -> Key:
    return lambda entry: entry.get(field)


def _port(field: str) -> Key:
    return lambda entry: (entry.get(field), entry.get("protocol") or "TCP")


_CONTAINER: dict[str, Key] = {
    "ports": _port("containerPort"),
    "env": _by("name"),
    "volumeMounts": _by("mountPath"),
    "volumeDevices": _by("devicePath"),
}
_POD: dict[str, Key] = {
    "containers": _by("name"),
    "initContainers": _by("name"),
    "ephemeralContainers": _by("name"),
    "volumes": _by("name"),
    "imagePullSecrets": _by("name"),
    "hostAliases": _by("ip"),
    "topologySpreadConstraints": lambda entry: (entry.get("topologyKey"), entry.get("whenUnsatisfiable")),
}
_SERVICE: dict[str, Key] = {"ports": _port("port")}
_SERVICE_ACCOUNT: dict[str, Key] = {"secrets": _by("name"), "imagePullSecrets": _by("name")}


def duplicate_merge_keys(body: Mapping[str, Any]) -> list[str]:
    """Every place of an object where two entries of a list share one key: `spec.ports port 80/TCP`.

    Kinds other than pods, their controllers, Services and ServiceAccounts have no such lists and give none.
    """
    kind, spec = body.get("kind"), _mapping(body.get("spec"))
    if kind == "Service":
        return _lists(spec, _SERVICE, "spec")
    if kind == "ServiceAccount":
        return _lists(body, _SERVICE_ACCOUNT, "")
    path = "spec"
    if kind == "CronJob":
        spec, path = _mapping(_mapping(spec.get("jobTemplate")).get("spec")), f"{path}.jobTemplate.spec"
    if kind != "Pod":
        spec, path = _mapping(_mapping(spec.get("template")).get("spec")), f"{path}.template.spec"
    found = _lists(spec, _POD, path)
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in _entries(spec.get(group)):
            found += _lists(container, _CONTAINER, f"{path}.{group}[{container.get('name')}]")
    return found


def _lists(parent: Mapping[str, Any], keys: Mapping[str, Key], path: str) -> list[str]:
    found = []
    for name, key in keys.items():
        seen = set()
        for entry in _entries(parent.get(name)):
            value = key(entry)
            if value in seen:
                shown = "/".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
                found.append(f"{path}.{name} {shown}".lstrip("."))
            seen.add(value)
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
