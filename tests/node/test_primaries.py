"""The other primaries: the file that each one's installer writes, and the chain that is derived from it."""

import json
from typing import Any

import pytest
from tests.node.conftest import CHAINED, decided, with_tail, written

from cnichain.api.chainnode import CiliumEntry, NodeSpec, NodeState
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason
from cnichain.node.conflist import parse
from cnichain.node.decision import Known
from cnichain.node.folder import Kind
from cnichain.node.splice import cilium_entry, derive

GENERIC = cilium_entry(CiliumEntry(), "generic-veth")
ISTIO = {"type": "istio-cni", "log_level": "info"}
_PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def _list(version: str, name: str, *plugins: dict[str, Any]) -> bytes:
    return json.dumps({"cniVersion": version, "name": name, "plugins": list(plugins)}, indent=3).encode()


_CALICO = {
    "type": "calico",
    "log_level": "info",
    "datastore_type": "kubernetes",
    "nodename": "node-1",
    "mtu": 0,
    "ipam": {"type": "calico-ipam"},
    "policy": {"type": "k8s"},
    "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"},
}
_AZURE = {
    "type": "azure-vnet",
    "mode": "transparent",
    "ipsToRouteViaHost": ["169.254.20.10"],
    "ipam": {"type": "azure-vnet-ipam"},
}
_FLANNEL = {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}}

SAMPLES: dict[str, tuple[PrimaryPlugin, str, bytes]] = {
    "azure-cni": (PrimaryPlugin.AZURE_CNI, "10-azure.conflist", _list("0.3.0", "azure", _AZURE, _PORTMAP)),
    "flannel": (PrimaryPlugin.FLANNEL, "10-flannel.conflist", _list("0.3.1", "cbr0", _FLANNEL, _PORTMAP)),
    "calico": (PrimaryPlugin.CALICO, "10-calico.conflist", _list("1.0.0", "k8s-pod-network", _CALICO, _PORTMAP)),
    "generic-veth": (
        PrimaryPlugin.GENERIC_VETH,
        "50-site.conflist",
        _list("1.0.0", "site-network", {"type": "ptp", "ipam": {"type": "host-local"}}, _PORTMAP),
    ),
}
BINARIES = frozenset({"azure-vnet", "flannel", "calico", "ptp", "portmap", "cilium-cni", "istio-cni", "aws-cni"})


@pytest.mark.parametrize("name", SAMPLES)
def test_chains_after_each_primary_and_keeps_its_network(name: str) -> None:
    primary, file, content = SAMPLES[name]
    decision = decided({file: content}, NodeSpec(primary=primary), binaries=BINARIES)
    source, chained = parse(content), parse(written(decision))
    assert chained.network == source.network, "the runtime would keep its records under another name"
    assert chained.types == (*source.types, "cilium-cni")
    assert chained.plugins[-1].value["chaining-mode"] == "generic-veth", (
        "each ADD would fail: a network name of its own"
    )
    assert chained.text.startswith(content[: content.rindex(b"\n   ]")].decode().rstrip()), "the source was changed"
    again = decided({file: content, CHAINED: chained.text.encode()}, NodeSpec(primary=primary), binaries=BINARIES)
    assert (again.state, again.verified, again.action) == (NodeState.IN_SYNC, True, None), again.message


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mesh_plugin_stays_behind_each_primary(name: str) -> None:
    """Fault case 32."""
    primary, file, content = SAMPLES[name]
    old = with_tail(derive(parse(content), GENERIC), ISTIO)
    changed = content.replace(b'"portMappings": true', b'"portMappings": true, "x": true')
    decision = decided({file: changed, CHAINED: old}, NodeSpec(primary=primary), binaries=BINARIES)
    assert parse(written(decision)).types[-2:] == ("cilium-cni", "istio-cni")


@pytest.mark.parametrize("name", ["azure-cni", "flannel", "calico"])
def test_another_primarys_file_is_no_source(name: str) -> None:
    primary, _, _ = SAMPLES[name]
    files: dict[str, bytes | Kind] = {
        file: content for kind, (_, file, content) in SAMPLES.items() if kind not in (name, "generic-veth")
    }
    decision = decided(files, NodeSpec(primary=primary), binaries=BINARIES)
    assert (decision.action, decision.reason) == (None, Reason.PRIMARY_CONFLIST_MISSING)


def test_the_first_network_of_any_kind_is_no_loopback_and_no_multus() -> None:
    files: dict[str, bytes | Kind] = {
        "00-multus.conf": b'{"cniVersion":"0.3.1","name":"multus","type":"multus"}',
        "01-loopback.conf": b'{"cniVersion":"0.3.1","name":"lo","type":"loopback"}',
        "50-site.conflist": SAMPLES["generic-veth"][2],
    }
    decision = decided(files, NodeSpec(primary=PrimaryPlugin.GENERIC_VETH), binaries=BINARIES)
    assert decision.source is not None
    assert decision.source.file.name == "50-site.conflist"


def test_a_plugin_that_only_a_primary_writes_is_no_third_partys() -> None:
    """A calico entry behind cilium-cni is what is left of a chain of another primary."""
    primary, file, content = SAMPLES["flannel"]
    old = with_tail(derive(parse(content), GENERIC), {"type": "calico"})
    decision = decided(
        {file: content, CHAINED: old}, NodeSpec(primary=primary), known=Known(chained=True), binaries=BINARIES
    )
    assert "calico" not in parse(written(decision)).types
