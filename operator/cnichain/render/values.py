"""Values of the Cilium chart from spec: curated for the chain, the user's merged on top. Pure.

Never on top of what was there before: the whole set is made anew from spec each time, at the places that the wanted
minor reads (`moved.py` for the user's values).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainnode import Writer
from cnichain.api.errors import ChainError
from cnichain.api.primaries import PROFILES
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import CiliumRelease, parse_version
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.flowlogs import audit_mode_values, drop_event_values, export_values
from cnichain.render.leaves import RELAY_CLIENT_SECRET, SERVER_SECRET, cluster_name, existing_secrets
from cnichain.render.manifests import canonical_digest
from cnichain.render.moved import Minor, placed
from cnichain.render.reserved import RESERVED, reserved_in, violations

__all__ = ["RESERVED", "build_values", "cluster_name", "deep_merge", "reserved_in", "value_notes", "values_digest"]

LOST_CHARACTERS = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
"""helm's `toYaml` answers nothing at all for a mapping that holds one of these (or a space in its place), so that
annotations, tolerations or variables would be missing without any error."""


def build_values(
    spec: CNIChainSpec, release: CiliumRelease, facts: ClusterFacts, *, first_minor: str = ""
) -> dict[str, Any]:
    """The values that the chart is rendered with.

    first_minor: the minor (`1.17`) that was installed first in this cluster, whose defaults the chart keeps; empty when
    nothing is installed yet.

    Raises ChainError: ReservedValue that names every key of spec.cilium.values that is not the user's to set, and why;
    SpecInvalid when a text in them has a character that helm would lose; ValueRemoved or ValueAmbiguous for a key that
    the wanted minor reads no more, or elsewhere.
    """
    wrong = violations(spec.cilium.values)
    if wrong:
        shown = "; ".join(f"{path} ({why})" for path, why in wrong.items())
        raise ChainError(Reason.RESERVED_VALUE, f"spec.cilium.values sets what the operator owns: {shown}.")
    lost = sorted(_with_lost_characters(spec.cilium.values, "spec.cilium.values"))
    if lost:
        raise ChainError(
            Reason.SPEC_INVALID, f"helm cannot carry the control character in {', '.join(lost[:5])}; take it out."
        )
    curated = _curated(spec, release, facts)
    if first_minor:
        # Defaults that newer charts changed stay as they were at the first installation (chart: _helpers.tpl).
        curated["upgradeCompatibility"] = first_minor
    merged = deep_merge(curated, placed(spec.cilium.values, _minor(release)).values)
    return deep_merge(merged, existing_secrets(merged))


def value_notes(spec: CNIChainSpec, release: CiliumRelease) -> tuple[str, ...]:
    """What of spec.cilium.values was moved, or has no effect in the wanted minor; a sentence each.

    Raises ChainError(ValueRemoved or ValueAmbiguous), as build_values does.
    """
    return placed(spec.cilium.values, _minor(release)).notes


def _minor(release: CiliumRelease) -> Minor:
    return (parse_version(release.version) or (0, 0, 0))[:2]


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mapping by mapping; everything else, lists too, is replaced as a whole.

    An explicit null stays: helm reads it as "take the chart's own default away".
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping):
            merged[key] = deep_merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def values_digest(values: Mapping[str, Any]) -> str:
    """`sha256:` digest of values, the same for the same content in any order."""
    return canonical_digest(values)


def _with_lost_characters(value: Any, path: str) -> Iterator[str]:
    """Where in values a key or a text has a character that helm would lose."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{path}.{str(key).encode('unicode_escape').decode()}"
            if LOST_CHARACTERS.search(str(key)):
                yield below
            yield from _with_lost_characters(inner, below)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _with_lost_characters(inner, f"{path}[{number}]")
    elif isinstance(value, str) and LOST_CHARACTERS.search(value):
        yield path


def _curated(spec: CNIChainSpec, release: CiliumRelease, facts: ClusterFacts) -> dict[str, Any]:
    """What the chain needs, after upstream's guide for AWS VPC CNI chaining."""
    minor = _minor(release)
    cni: dict[str, Any] = {
        "chainingMode": PROFILES[spec.primary.plugin].chaining_mode,
        "exclusive": False,
        "uninstall": False,
    }
    if spec.conflist.writer is Writer.CNICHAIN:
        # Cilium then writes no conflist (and gates nothing on one): the agent is the only writer.
        cni["customConf"] = True
    if _uses_wireguard(spec.cilium.values):
        # The pods' routes must leave room for WireGuard's header (upstream issue 28413).
        cni["enableRouteMTUForCNIChaining"] = True
    curated: dict[str, Any] = {
        "cni": cni,
        # NetworkPolicy alone: a CiliumNetworkPolicy that is there keeps being enforced, whoever the engine is.
        "k8sNetworkPolicy": {"enabled": facts.cilium_enforces},
        "routingMode": "native",
        "enableIPv4Masquerade": False,
        "enableIPv6Masquerade": False,
        # Without these a change of the configuration reaches no running pod.
        "rollOutCiliumPods": True,
        "envoy": {"rollOutPods": True},
        "operator": {
            # Two replicas on one node never become ready: they need a host port each.
            "replicas": min(2, max(1, facts.nodes_in_scope)),
            "rollOutPods": True,
            "unmanagedPodWatcher": {"restart": False},
            **NODE_MARKS,
        },
        "hubble": _hubble(spec, minor),
        **audit_mode_values(spec),
    }
    if minor >= (1, 18):
        cni["iptablesRemoveAWSRules"] = False
        # Agents then say by a metric that they run with an older configuration than the one that is applied.
        curated["configDriftDetection"] = {"enabled": True}
    return curated


NODE_MARKS = {
    # Nodes may start with Cilium's own taint; someone has to take it off.
    "removeNodeTaints": True,
    # cilium-operator would close every node at once while its agent starts, also where the primary serves pods well,
    # and leave the taint behind when the agent goes (upstream issue 31943). Our own taint keeps new nodes closed.
    "setNodeTaints": False,
    # Whether a node's network is there is the primary's to say: it is there before Cilium, and without it.
    "setNodeNetworkStatus": False,
}
"""What cilium-operator writes on nodes: said outright, since the chart's defaults work against a rollout in stages."""


def _uses_wireguard(values: Mapping[str, Any]) -> bool:
    encryption = values.get("encryption")
    wanted = encryption if isinstance(encryption, Mapping) else {}
    return bool(wanted.get("enabled")) and wanted.get("type") == "wireguard"


def _hubble(spec: CNIChainSpec, minor: Minor) -> dict[str, Any]:
    return {
        "enabled": True,
        "metrics": {"enabled": [metric.value for metric in spec.hubble.metrics]},
        "export": export_values(spec.hubble.export, minor),
        "dropEventEmitter": drop_event_values(spec),
        "tls": {"enabled": True, "auto": {"enabled": False}, "server": {"existingSecret": SERVER_SECRET}},
        "relay": {
            "enabled": spec.hubble.relay.enabled,
            "rollOutPods": True,
            "tls": {"client": {"existingSecret": RELAY_CLIENT_SECRET}, "server": {"enabled": False}},
        },
        "ui": {"enabled": spec.hubble.ui.enabled, "rollOutPods": True},
    }
