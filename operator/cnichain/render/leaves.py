"""Which certificates the values ask for, and the Secrets that the chart is told to mount for them. Pure.

Names, and what stands in a certificate, are what the chart's own templates ask for (templates/hubble/tls-helm, the
same from 1.17 to 1.20).
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.render.manifests import Manifest

SERVER_SECRET = "hubble-server-certs"  # noqa: S105 - the name of a Secret
RELAY_CLIENT_SECRET = "hubble-relay-client-certs"  # noqa: S105 - the name of a Secret
RELAY_SERVER_SECRET = "hubble-relay-server-certs"  # noqa: S105 - the name of a Secret
UI_CLIENT_SECRET = "hubble-ui-client-certs"  # noqa: S105 - the name of a Secret
METRICS_SECRET = "hubble-metrics-server-certs"  # noqa: S105 - the name of a Secret
DEFAULT_CLUSTER_NAME = "default"
"""The chart's own default of `cluster.name`."""


@dataclass(frozen=True)
class Leaf:
    """One certificate: the Secret that holds it, and the names in it, the common name first.

    switch: the value that asks for it, when there is one.
    """

    secret: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...] = ()
    switch: str = ""


def cluster_name(values: Mapping[str, Any]) -> str:
    """`cluster.name`, which Hubble's certificates carry."""
    return str(_at(values, "cluster", "name") or DEFAULT_CLUSTER_NAME)


def wanted_leaves(values: Mapping[str, Any]) -> tuple[Leaf, ...]:
    """The leaves that the whole set of values asks for: Hubble's two always, the others where they are switched on.

    Raises ChainError(SpecInvalid) for an extra name or address that cannot stand in a certificate.
    """
    cluster = cluster_name(values).replace(".", "-")
    found = [
        _leaf(values, SERVER_SECRET, f"*.{cluster}.hubble-grpc.cilium.io", "hubble.tls.server"),
        Leaf(RELAY_CLIENT_SECRET, ("*.hubble-relay.cilium.io",)),
    ]
    if _relay_talks_tls(values):
        place, switch = "hubble.relay.tls.server", "hubble.relay.tls.server.enabled"
        found.append(_leaf(values, RELAY_SERVER_SECRET, "*.hubble-relay.cilium.io", place, switch))
        if _at(values, "hubble", "ui", "enabled"):
            found.append(Leaf(UI_CLIENT_SECRET, ("*.hubble-ui.cilium.io",), switch=switch))
    if _at(values, "hubble", "metrics", "tls", "enabled"):
        place, switch = "hubble.metrics.tls.server", "hubble.metrics.tls.enabled"
        found.append(_leaf(values, METRICS_SECRET, f"{cluster}.hubble-metrics.cilium.io", place, switch))
    return tuple(found)


def existing_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that make the chart mount the Secrets of the leaves that are switched on, instead of making its own."""
    hubble: dict[str, Any] = {}
    if _relay_talks_tls(values):
        hubble["relay"] = {"tls": {"server": {"existingSecret": RELAY_SERVER_SECRET}}}
        hubble["ui"] = {"tls": {"client": {"existingSecret": UI_CLIENT_SECRET}}}
    if _at(values, "hubble", "metrics", "tls", "enabled"):
        hubble["metrics"] = {"tls": {"server": {"existingSecret": METRICS_SECRET}}}
    return {"hubble": hubble} if hubble else {}


def check_mounted(leaves: Iterable[Leaf], values: Mapping[str, Any], manifests: Iterable[Manifest]) -> None:
    """Each leaf that is switched on must be mounted by the chart's workloads.

    Raises ChainError(ReservedValue) that names the value. The chart of 1.17.3 asks `hubble.tls.server.existingSecret`
    for the Secret of the metrics endpoint, which would then serve the certificate of Hubble's own server.
    """
    mounted = {name for item in manifests for name in _mounted_secrets(item)}
    # A UI that runs apart from the chart's relay brings a volume of its own.
    apart = {UI_CLIENT_SECRET} if _at(values, "hubble", "ui", "standalone", "enabled") else set()
    for leaf in leaves:
        if leaf.switch and leaf.secret not in mounted | apart:
            raise ChainError(
                Reason.RESERVED_VALUE,
                f"spec.cilium.values sets {leaf.switch}, but the chart of this version of Cilium mounts another Secret "
                f"than {leaf.secret} there, so that a wrong certificate would be served. Leave it off, or take a newer "
                "version of Cilium.",
            )


def _relay_talks_tls(values: Mapping[str, Any]) -> bool:
    return bool(
        _at(values, "hubble", "relay", "enabled") and _at(values, "hubble", "relay", "tls", "server", "enabled")
    )


def _leaf(values: Mapping[str, Any], secret: str, name: str, place: str, switch: str = "") -> Leaf:
    dns = [_dns_name(one, f"{place}.extraDnsNames") for one in _list(values, f"{place}.extraDnsNames")]
    addresses = [_address(one, f"{place}.extraIpAddresses") for one in _list(values, f"{place}.extraIpAddresses")]
    return Leaf(secret, tuple(dict.fromkeys((name, *dns))), tuple(dict.fromkeys(addresses)), switch)


def _list(values: Mapping[str, Any], path: str) -> list[Any]:
    found = _at(values, *path.split("."))
    if found is None:
        return []
    if not isinstance(found, list):
        raise ChainError(Reason.SPEC_INVALID, f"spec.cilium.values.{path} is not a list.")
    return found


def _dns_name(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value.isascii() or not value or any(one.isspace() for one in value):
        raise ChainError(Reason.SPEC_INVALID, f"spec.cilium.values.{path}: {value!r} is not a DNS name.")
    return value


def _address(value: Any, path: str) -> str:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError as error:
        raise ChainError(Reason.SPEC_INVALID, f"spec.cilium.values.{path}: {value!r} is not an IP address.") from error


def _mounted_secrets(item: Manifest) -> Iterator[str]:
    """Names of the Secrets in the volumes of a workload's pods."""
    for volume in _at(item.body, "spec", "template", "spec", "volumes") or ():
        for source in (volume, *(_at(volume, "projected", "sources") or ())):
            secret = source.get("secret") or {}
            yield from (str(secret[key]) for key in ("name", "secretName") if key in secret)


def _at(node: Any, *path: str) -> Any:
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node
