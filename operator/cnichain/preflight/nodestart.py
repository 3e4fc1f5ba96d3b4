"""Settings without which Cilium does not come up, or does not work, on some nodes. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from cnichain.api.names import STARTUP_TAINT
from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Finding, ok, warning
from cnichain.preflight.subject import Subject

BOTTLEROCKET = "Bottlerocket"
"""Beginning of `osImage` (`Bottlerocket OS 1.19.2 (aws-k8s-1.28)`)."""
BOTTLEROCKET_ISSUE = "https://github.com/cilium/cilium/issues/20677"
TOLERATIONS = ("tolerations", "envoy.tolerations")
"""Values for the pods that each node of the chain needs. cilium-operator gets its toleration in any case."""


def check_tolerations(subject: Subject) -> Finding:
    """Cilium's pods may start on nodes that carry the startup taint."""
    if not subject.spec.nodes.startup_taint:
        return ok("spec.nodes.startupTaint is false.")
    given = {path: subject.value(path) for path in TOLERATIONS}
    short = [path for path, value in given.items() if isinstance(value, list) and not tolerates(value, STARTUP_TAINT)]
    if not short:
        return ok("Cilium's pods tolerate the startup taint.")
    return warning(
        Reason.TOLERATION_MISSING,
        f"spec.cilium.values.{short[0]} does not tolerate {STARTUP_TAINT}: no Cilium starts on a node with that taint, "
        "and the taint stays until Cilium runs.",
        f"spec.cilium.values.{short[0]}",
    )


def tolerates(tolerations: Iterable[Any], taint: str) -> bool:
    """Whether one of a pod's tolerations covers a taint of this key with the value `true` and any effect."""
    return any(_covers(entry, taint) for entry in tolerations if isinstance(entry, Mapping))


def _covers(entry: Mapping[str, Any], taint: str) -> bool:
    key, exists = entry.get("key"), bool(entry.get("operator", "Equal") == "Exists")
    if not key:
        return exists
    return bool(key == taint and (exists or entry.get("value") == "true"))


def check_host_routing(subject: Subject) -> Finding:
    """On Bottlerocket the kernel routes, not Cilium."""
    nodes = [item for item in subject.nodes.systems if item.os_image.startswith(BOTTLEROCKET)]
    if not nodes:
        return ok("no node runs Bottlerocket.")
    if subject.value("bpf.hostLegacyRouting") is True:
        return ok("bpf.hostLegacyRouting is set.")
    return warning(
        Reason.HOST_ROUTING_UNSAFE,
        f"{nodes[0].example or 'a node'} runs Bottlerocket, and spec.cilium.values has no bpf.hostLegacyRouting: true.",
        BOTTLEROCKET_ISSUE,
    )
