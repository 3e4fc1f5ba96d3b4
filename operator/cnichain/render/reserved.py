"""Keys of the Cilium chart that the operator owns, each with the reason. Pure.

A user's values may hold any other key of the chart. A key is reserved where a wrong value takes the primary CNI or the
chain away from the nodes, contradicts a field of spec, or makes the chart write key material of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_MODE = "the chain is aws-cni's; another mode makes every agent delete the primary's iptables rules or its conflist"
_IPAM = "the primary CNI assigns the addresses"
_ROUTES = "the primary CNI routes and masquerades; a second one cuts connections"
_SPEC = "spec has a field for it"
_CERTS = "the operator makes, keeps and renews Hubble's certificates"
_FOLDER = "the agent on every node guards the chained conflist in the default folders"
_MESH = "its certificates would be made anew at every render"
_WIPES = "every start of an agent would cut the connections of the pods on its node"
_ELSEWHERE = "this release does not look after its workloads"

RESERVED: dict[str, str] = {
    # The conflist and the files of the primary CNI.
    "cni.chainingMode": _MODE,
    "cni.chainingTarget": _MODE,
    "cni.externalRouting": _MODE,
    "cni.exclusive": "true renames the primary's conflist away on every node",
    "cni.uninstall": "true deletes the chained conflist whenever an agent's pod stops",
    "cni.customConf": "spec.conflist.writer says who writes the chained conflist",
    "cni.install": "without it there is no cilium-cni on the nodes, and every pod start fails",
    "cni.configMap": "it replaces the chained conflist by a fixed text that misses the primary's changes",
    "cni.configMapKey": "it belongs to cni.configMap",
    "cni.readCniConf": "it replaces the chained conflist by a file that misses the primary's changes",
    "cni.confFileMountPath": "it belongs to cni.configMap",
    "cni.confPath": _FOLDER,
    "cni.binPath": _FOLDER,
    "cni.hostConfDirMountPath": _FOLDER,
    "cni.iptablesRemoveAWSRules": "true makes every agent delete the primary's SNAT rules",
    "nodeinit.enabled": "its script reconfigures the kubelet and restarts pods beside the rollout",
    # Addresses and routes.
    "ipam.mode": _IPAM,
    "eni.enabled": _IPAM,
    "azure.enabled": _IPAM,
    "alibabacloud.enabled": _IPAM,
    "gke.enabled": _IPAM,
    "aksbyocni.enabled": _IPAM,
    "routingMode": _ROUTES,
    "tunnelProtocol": _ROUTES,
    "autoDirectNodeRoutes": _ROUTES,
    "enableIPv4Masquerade": _ROUTES,
    "enableIPv6Masquerade": _ROUTES,
    # Hubble: spec and certificates.
    "hubble.enabled": "the chain is made for Hubble to see",
    "hubble.relay.enabled": f"{_SPEC}: spec.hubble.relay.enabled",
    "hubble.ui.enabled": f"{_SPEC}: spec.hubble.ui.enabled",
    "hubble.metrics.enabled": f"{_SPEC}: spec.hubble.metrics",
    "hubble.metrics.dynamic.enabled": f"{_SPEC}: spec.hubble.metrics; agents refuse to start with both",
    "hubble.export": f"{_SPEC}: spec.hubble.export; a second exporter would write into the same file",
    "hubble.dropEventEmitter.enabled": f"{_SPEC}: spec.hubble.dropEvents.enabled",
    "hubble.dropEventEmitter.interval": f"{_SPEC}: spec.hubble.dropEvents.interval",
    "hubble.metrics.tls": _CERTS,
    "hubble.tls": _CERTS,
    "hubble.relay.tls": _CERTS,
    "hubble.ui.tls": _CERTS,
    "tls.ca": "the operator holds the CA in the Secret cilium-ca; its key must not stand in a CNIChain",
    "tls.caBundle.enabled": "Hubble would trust a fixed bundle, and nothing any more once the CA is replaced",
    # Who enforces policy.
    "k8sNetworkPolicy.enabled": f"{_SPEC}: spec.policyEngine",
    "policyAuditMode": f"{_SPEC}: spec.policyAuditMode, so that status says that nothing is enforced",
    # What the operator does itself, or waits for.
    "operator.unmanagedPodWatcher.restart": f"{_SPEC}: spec.unmanagedPods.action",
    "operator.enabled": "without cilium-operator there are no CRDs, and no agent starts",
    "agent": "without agents there is no chain",
    "name": "the operator looks after the DaemonSet cilium",
    "sleepAfterInit": "the agents would sleep instead of starting",
    "cleanState": _WIPES,
    "cleanBpfState": _WIPES,
    "preflight.enabled": "it runs beside the agents and never ends; the operator checks before it changes anything",
    "namespaceOverride": "the operator looks after Cilium in kube-system",
    "upgradeCompatibility": "the operator decides which defaults an upgrade keeps",
    # Parts that bring certificates or workloads of their own.
    "clustermesh.useAPIServer": _MESH,
    "clustermesh.apiserver.tls": _MESH,
    "clustermesh.mcsapi.corednsAutoConfigure.enabled": "its Job is a hook of helm, and changes CoreDNS",
    "externalWorkloads.enabled": _MESH,
    "standaloneDnsProxy.enabled": _ELSEWHERE,
}

FREE = (
    "hubble.metrics.tls.enabled",
    "hubble.metrics.tls.server.extraDnsNames",
    "hubble.metrics.tls.server.extraIpAddresses",
    "hubble.metrics.tls.server.mtls",
    "hubble.relay.tls.server.enabled",
    "hubble.relay.tls.server.extraDnsNames",
    "hubble.relay.tls.server.extraIpAddresses",
    "hubble.relay.tls.server.mtls",
    "hubble.relay.tls.server.relayName",
    "hubble.tls.server.extraDnsNames",
    "hubble.tls.server.extraIpAddresses",
)
"""Below reserved keys, and the user's to set all the same: what is encrypted, and what more stands in a certificate."""

_TREES = frozenset(
    {
        "hubble.export",
        "hubble.metrics.tls",
        "hubble.tls",
        "hubble.relay.tls",
        "hubble.ui.tls",
        "tls.ca",
        "clustermesh.apiserver.tls",
    }
)
"""Reserved keys that are mappings in the chart; all others are plain values."""
_MAPPINGS = _TREES | frozenset(
    ".".join(parts[:depth])
    for key in (*RESERVED, *FREE)
    for parts in [key.split(".")]
    for depth in range(1, len(parts))
)
"""What is known to be a mapping in the chart, as far as reserved keys stand in it, or below it."""

AGENT_SETTINGS: dict[str, str] = {
    "cni-chaining-mode": RESERVED["cni.chainingMode"],
    "cni-chaining-target": RESERVED["cni.chainingTarget"],
    "cni-external-routing": RESERVED["cni.externalRouting"],
    "cni-exclusive": RESERVED["cni.exclusive"],
    "cni-uninstall": RESERVED["cni.uninstall"],
    "custom-cni-conf": RESERVED["cni.customConf"],
    "read-cni-conf": RESERVED["cni.readCniConf"],
    "write-cni-conf-when-ready": RESERVED["cni.customConf"],
    "ipam": RESERVED["ipam.mode"],
    "routing-mode": RESERVED["routingMode"],
    "tunnel-protocol": RESERVED["tunnelProtocol"],
    "auto-direct-node-routes": RESERVED["autoDirectNodeRoutes"],
    "enable-ipv4-masquerade": RESERVED["enableIPv4Masquerade"],
    "enable-ipv6-masquerade": RESERVED["enableIPv6Masquerade"],
    "enable-policy": "policyEnforcementMode is its place in the chart",
    "enable-hubble": RESERVED["hubble.enabled"],
    "enable-k8s-networkpolicy": RESERVED["k8sNetworkPolicy.enabled"],
    "unmanaged-pod-watcher-interval": RESERVED["operator.unmanagedPodWatcher.restart"],
    "hubble-metrics": RESERVED["hubble.metrics.enabled"],
    "hubble-flowlogs-config-path": RESERVED["hubble.export"],
    "hubble-export-file-path": RESERVED["hubble.export"],
    "hubble-drop-events": RESERVED["hubble.dropEventEmitter.enabled"],
    "policy-audit-mode": RESERVED["policyAuditMode"],
}
"""The same as settings of cilium-agent, which the chart lets in through extraConfig, extraArgs and extraEnv."""


def violations(values: Mapping[str, Any]) -> dict[str, str]:
    """Everything in a user's values that is not the user's to set: dotted path to the reason, sorted by path."""
    found: dict[str, str] = {}
    for path in _leaves(values):
        if any(path == free or path.startswith(f"{free}.") for free in FREE):
            continue
        for key, why in RESERVED.items():
            if path == key or path.startswith(f"{key}."):
                found[path] = why
            elif key.startswith(f"{path}."):
                found[path] = f"it replaces {key}: {why}"
    found |= dict(_refused_values(values))
    for path, setting in _agent_settings(values):
        # The agent reads its settings without regard to case.
        if setting.lower() in AGENT_SETTINGS:
            found[path] = AGENT_SETTINGS[setting.lower()]
    return dict(sorted(found.items()))


def reserved_in(values: Mapping[str, Any]) -> list[str]:
    """Dotted paths in a user's values that are not the user's to set, sorted."""
    return list(violations(values))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted path of every value that sets something: of every one that is not a mapping, and of empty mappings.

    An empty mapping in place of a mapping sets nothing. In place of anything else it is a value, and a false one:
    `agent: {}` takes the agents away.
    """
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and (value or path in _MAPPINGS):
            yield from _leaves(value, f"{path}.")
        else:
            yield path


def _refused_values(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that are the user's to set, with a value that cannot work: (path, reason)."""
    if values.get("k8sServiceHost") == "auto":
        yield "k8sServiceHost", "`auto` needs a helm that reads the cluster; name the host"
    # The chart's own default of encryption.type is ipsec.
    encryption = values.get("encryption")
    if isinstance(encryption, Mapping):
        kind = encryption.get("type", "ipsec")
        if encryption.get("enabled") and kind == "ipsec":
            yield "encryption.type", "IPsec does not work behind aws-cni (upstream issue 15596); use wireguard"
        if encryption.get("enabled") and kind == "ztunnel":
            yield "encryption.type", _ELSEWHERE
        yield from _strict_mode(encryption.get("strictMode"))
    if _switched_on(values, "authentication", "mutual", "spire", "enabled") and (
        _at(values, "authentication", "mutual", "spire", "install", "enabled") is not False
    ):
        yield "authentication.mutual.spire.install.enabled", f"{_ELSEWHERE}; bring a SPIRE server of your own"


def _strict_mode(strict: Any) -> Iterator[tuple[str, str]]:
    """Strict mode of encryption at both of its places: 1.19 moved it below `egress` and added `ingress`."""
    why = "strict mode does not work behind aws-cni (upstream issue 15596)"
    for place in ((), ("egress",), ("ingress",)):
        if _switched_on(strict, *place, "enabled"):
            yield ".".join(("encryption.strictMode", *place, "enabled")), why


def _at(node: Any, *path: str) -> Any:
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _switched_on(node: Any, *path: str) -> bool:
    return bool(_at(node, *path))


def _agent_settings(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings of cilium-agent that values carry past the chart: (where, name of the setting)."""
    extra = values.get("extraConfig")
    for name in extra if isinstance(extra, Mapping) else ():
        yield f"extraConfig.{name}", str(name)
    for argument in _list(values.get("extraArgs")):
        name = str(argument).lstrip("-").split("=", 1)[0]
        yield f"extraArgs --{name}", name
    for entry in _list(values.get("extraEnv")):
        name = str(entry.get("name", "")) if isinstance(entry, Mapping) else ""
        if name.startswith("CILIUM_"):
            yield f"extraEnv {name}", name.removeprefix("CILIUM_").lower().replace("_", "-")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
