"""The real charts through the real helm: what comes out is what the chain needs, and the same each time."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.load import load_catalogue
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.certs import plan_certificates
from cnichain.render.charts import ChartStore
from cnichain.render.helm import template
from cnichain.render.leaves import wanted_leaves
from cnichain.render.manifests import Manifest, parse
from cnichain.render.pipeline import Rendered, render_cilium
from cnichain.render.pki import dns_names, ip_addresses, make_ca, make_leaf
from cnichain.render.stages import Stage, cilium_crds

VERSIONS = ["1.17.3", "1.17.18", "1.18.12", "1.19.6", "1.20.0"]
FIRST_AND_LAST = pytest.mark.parametrize("version", ["1.17.3", "1.20.0"])
ALL = pytest.mark.parametrize("version", VERSIONS)
METRICS = ["dns", "drop", "tcp", "flow", "port-distribution", "icmp", "http"]
COMPUTE = {"key": "eks.amazonaws.com/compute-type", "operator": "NotIn", "values": ["auto", "fargate", "hybrid"]}

Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def render(
    charts_dir: Path, helm: str, make_spec: Callable[..., CNIChainSpec], facts: ClusterFacts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Render:  # fmt: skip
    """render(version, facts=..., **spec): the whole pipeline; plain renders are kept for the session."""
    cache = tmp_path_factory.mktemp("charts")
    kept: dict[str, Rendered] = {}

    def run(version: str, *, fresh: bool = False, cluster: ClusterFacts = facts, **spec: Any) -> Rendered:
        plain = not spec and cluster is facts and not fresh
        if plain and version in kept:
            return kept[version]
        charts = ChartStore(cache, charts_dir, "http://127.0.0.1:9/")
        release = load_catalogue().cilium_release(version)
        rendered = asyncio.run(render_cilium(make_spec(version, **spec), release, cluster, charts=charts, helm=helm))
        if plain:
            kept[version] = rendered
        return rendered

    return run


def everything(rendered: Rendered) -> list[Manifest]:
    return [item for stage in Stage for item in rendered.stages[stage]]


def find(rendered: Rendered, kind: str, name: str) -> dict[str, Any]:
    (found,) = [item.body for item in everything(rendered) if (item.kind, item.name) == (kind, name)]
    return found


def pod(body: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = body["spec"]["template"]["spec"]
    return spec


def refused(render: Render, version: str, **spec: Any) -> ChainError:
    with pytest.raises(ChainError) as caught:
        render(version, **spec)
    return caught.value


@ALL
def test_two_renders_are_the_same_to_the_byte(render: Render, version: str) -> None:
    first, second = render(version), render(version, fresh=True)
    as_text = [json.dumps([item.body for item in everything(one)]) for one in (first, second)]
    assert as_text[0] == as_text[1]
    assert first == second
    assert first.chart_digest == f"sha256:{load_catalogue().cilium_release(version).chart_sha256}"
    assert first.chart_source == "official"


@ALL
def test_no_key_material_is_rendered(render: Render, version: str) -> None:
    text = json.dumps([item.body for item in everything(render(version))])
    assert "PRIVATE KEY" not in text
    assert base64.b64encode(b"-----BEGIN")[:12].decode() not in text
    assert [item.name for item in everything(render(version)) if item.kind == "Secret"] == []


@ALL
def test_with_writer_cnichain_cilium_writes_no_conflist_and_still_installs_its_plugin(
    render: Render, version: str
) -> None:
    rendered = render(version, conflist={"writer": "CNIChain"})
    config = find(rendered, "ConfigMap", "cilium-config")["data"]
    assert "write-cni-conf-when-ready" not in config
    assert config["cni-chaining-mode"] == "aws-cni"
    pod = find(rendered, "DaemonSet", "cilium")["spec"]["template"]["spec"]
    assert "install-cni-binaries" in {container["name"] for container in pod["initContainers"]}


@ALL
def test_the_agents_keep_the_primarys_conflist_and_rules(render: Render, version: str) -> None:
    rendered = render(version)
    config = find(rendered, "ConfigMap", "cilium-config")["data"]
    assert config["write-cni-conf-when-ready"] == "/host/etc/cni/net.d/05-cilium.conflist"
    assert config["cni-exclusive"] == "false"
    assert config["cni-chaining-mode"] == "aws-cni"
    assert config["custom-cni-conf"] == "false"
    assert "read-cni-conf" not in config
    assert "cni-uninstall" not in config
    assert config["routing-mode"] == "native"
    assert config["enable-ipv4-masquerade"] == "false"
    assert config["enable-ipv6-masquerade"] == "false"
    assert config["enable-local-node-route"] == "false"
    assert config["cni-log-file"] == "/var/run/cilium/cilium-cni.log"
    (agent,) = [
        item for item in pod(find(rendered, "DaemonSet", "cilium"))["containers"] if item["name"] == "cilium-agent"
    ]
    assert "postStart" not in agent["lifecycle"], "it would delete the VPC CNI's iptables rules"
    assert "AWS-SNAT-CHAIN" not in json.dumps(agent)


@ALL
def test_hubble_is_all_there(render: Render, version: str) -> None:
    rendered = render(version)
    config = find(rendered, "ConfigMap", "cilium-config")["data"]
    assert config["enable-hubble"] == "true"
    assert config["hubble-metrics"].split() == METRICS
    assert config["hubble-disable-tls"] == "false"
    names = {(item.kind, item.name) for item in rendered.stages[Stage.HUBBLE]}
    assert {("Deployment", "hubble-relay"), ("Deployment", "hubble-ui"), ("Service", "hubble-relay")} <= names
    assert {("Service", "hubble-ui"), ("Service", "hubble-peer"), ("Service", "hubble-metrics")} <= names


@FIRST_AND_LAST
def test_hubble_mounts_the_secrets_that_the_operator_makes(render: Render, version: str) -> None:
    rendered = render(version)
    made = {
        item.name: set(item.body["data"]) for item in plan_certificates({}, datetime.now(UTC), rendered.leaves).secrets
    }
    for kind, name, secret in (
        ("DaemonSet", "cilium", "hubble-server-certs"),
        ("Deployment", "hubble-relay", "hubble-relay-client-certs"),
    ):
        sources = [
            source["secret"]
            for volume in pod(find(rendered, kind, name))["volumes"]
            for source in (volume.get("projected") or {}).get("sources", [])
            if "secret" in source and source["secret"]["name"].startswith("hubble")
        ]
        assert [source["name"] for source in sources] == [secret]
        assert {item["key"] for item in sources[0]["items"]} <= made[secret]


TLS: dict[str, Any] = {
    "cluster": {"name": "prod-1"},
    "hubble": {
        "metrics": {"tls": {"enabled": True, "server": {"mtls": {"enabled": True}}}},
        "relay": {"tls": {"server": {"enabled": True, "mtls": True, "extraIpAddresses": ["10.0.0.1"]}}},
        "tls": {"server": {"extraDnsNames": ["hubble.example"]}},
    },
}
"""Values with TLS at every endpoint of Hubble."""


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_every_certificate_that_the_values_ask_for_is_made_and_mounted(render: Render, version: str) -> None:
    rendered = render(version, values=TLS)
    made = {item.name: item.body["data"] for item in plan_certificates({}, datetime.now(UTC), rendered.leaves).secrets}
    mounted = {
        (item.name, source["secret"]["name"]): {entry["key"] for entry in source["secret"]["items"]}
        for item in everything(rendered)
        if item.kind in ("DaemonSet", "Deployment")
        for volume in pod(item.body).get("volumes", [])
        for source in (volume.get("projected") or {}).get("sources", [])
        if "certs" in source.get("secret", {}).get("name", "")
    }
    assert set(mounted) == {
        ("cilium", "hubble-server-certs"),
        ("cilium", "hubble-metrics-server-certs"),
        ("hubble-relay", "hubble-relay-client-certs"),
        ("hubble-relay", "hubble-relay-server-certs"),
        ("hubble-ui", "hubble-ui-client-certs"),
    }
    for (workload, secret), keys in mounted.items():
        assert keys <= set(made[secret]), f"{workload} would not start"
    assert not [item for item in everything(rendered) if item.kind == "Secret" and "hubble" in item.name]
    names = {leaf.secret: (*leaf.dns_names, *leaf.ip_addresses) for leaf in rendered.leaves}
    assert names == {
        "hubble-server-certs": ("*.prod-1.hubble-grpc.cilium.io", "hubble.example"),
        "hubble-relay-client-certs": ("*.hubble-relay.cilium.io",),
        "hubble-relay-server-certs": ("*.hubble-relay.cilium.io", "10.0.0.1"),
        "hubble-ui-client-certs": ("*.hubble-ui.cilium.io",),
        "hubble-metrics-server-certs": ("prod-1.hubble-metrics.cilium.io",),
    }


@ALL
def test_the_names_are_those_that_the_chart_would_put_into_its_own(
    charts_dir: Path, helm: str, render: Render, version: str
) -> None:
    """Against the chart's own certificates, which it makes when nothing else is said."""
    leaves = {leaf.secret: leaf for leaf in wanted_leaves(TLS_ON)}
    text = asyncio.run(
        template(helm, charts_dir / f"cilium-{version}.tgz", TLS_ON, kube_version="v1.36.1", api_versions=("v1",))
    )
    own = {item.name: item.body for item in parse(text) if item.kind == "Secret" and "tls.crt" in item.body["data"]}
    assert set(own) == set(leaves)
    for name, body in own.items():
        certificate = x509.load_pem_x509_certificate(base64.b64decode(body["data"]["tls.crt"]))
        assert dns_names(certificate) == list(leaves[name].dns_names), name
        assert ip_addresses(certificate) == list(leaves[name].ip_addresses), name
        ours = make_leaf(leaves[name].dns_names, make_ca(datetime.now(UTC)), datetime.now(UTC)).certificate
        for found in (certificate, ours):
            usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            assert {item.dotted_string for item in usage} == {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}, name
        assert body["type"] == "kubernetes.io/tls"


TLS_ON = {
    **TLS,
    "hubble": {
        **TLS["hubble"],
        "enabled": True,
        "ui": {"enabled": True},
        "relay": {**TLS["hubble"]["relay"], "enabled": True},
        "metrics": {**TLS["hubble"]["metrics"], "enabled": ["dns"]},
    },
}
"""The same for the bare chart, which switches nothing on by itself."""


def test_a_chart_that_would_serve_the_wrong_certificate_is_refused(render: Render) -> None:
    with pytest.raises(ChainError) as caught:
        render("1.17.3", values=TLS)
    assert caught.value.reason is Reason.RESERVED_VALUE
    assert "hubble.metrics.tls.enabled" in caught.value.message
    without = {**TLS, "hubble": {**TLS["hubble"], "metrics": {}}}
    assert len(render("1.17.3", values=without).leaves) == 4


@ALL
def test_every_daemon_set_stays_where_the_chain_is_for(render: Render, version: str) -> None:
    found = [item for item in everything(render(version)) if item.kind == "DaemonSet"]
    assert {item.name for item in found} == {"cilium", "cilium-envoy"}
    for item in found:
        spec = pod(item.body)
        required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for term in required["nodeSelectorTerms"]:
            assert COMPUTE in term["matchExpressions"], item
        assert spec["nodeSelector"]["kubernetes.io/os"] == "linux"
        assert "podAntiAffinity" in spec["affinity"], "the chart's own affinity was lost"


@FIRST_AND_LAST
def test_the_agents_wait_for_the_wave_of_their_node_and_another_selector_restarts_none(
    render: Render, version: str
) -> None:
    rendered = render(version, nodes={"selector": {"pool": "a"}})
    opened = {"key": "cnichain.io/chained", "operator": "In", "values": ["true"]}
    for name in ("cilium", "cilium-envoy"):
        required = pod(find(rendered, "DaemonSet", name))["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        for term in required["nodeSelectorTerms"]:
            assert opened in term["matchExpressions"]
        # The selector says which nodes get that label; in the pod template it would restart every agent.
        assert find(rendered, "DaemonSet", name) == find(render(version), "DaemonSet", name)


@ALL
def test_stages_and_their_order(render: Render, version: str) -> None:
    stages = render(version).stages
    assert [item.name for item in stages[Stage.OPERATOR] if item.kind == "Deployment"] == ["cilium-operator"]
    assert {item.kind for item in stages[Stage.AGENTS]} == {"DaemonSet"}
    assert {item.kind for item in stages[Stage.CONFIG]}.isdisjoint({"DaemonSet", "Deployment", "Job", "CronJob"})
    kinds = [item.kind for item in stages[Stage.CONFIG]]
    assert kinds[0] == "Namespace"
    assert kinds.index("ServiceAccount") < kinds.index("ClusterRoleBinding") < kinds.index("ConfigMap")
    for item in everything(render(version)):
        cluster_scoped = item.kind in {"Namespace", "ClusterRole", "ClusterRoleBinding"}
        assert (item.namespace is None) == cluster_scoped, item


@ALL
def test_a_patch_of_the_chart_alone_restarts_no_pod(render: Render, version: str) -> None:
    for item in everything(render(version)):
        template_of = item.body.get("spec", {}).get("template", {}) if item.kind in {"DaemonSet", "Deployment"} else {}
        assert "helm.sh/chart" not in json.dumps(template_of), item


@FIRST_AND_LAST
def test_a_change_of_the_configuration_reaches_running_agents(render: Render, version: str) -> None:
    plain, changed = render(version), render(version, hubble={"metrics": ["dns"]})
    assert find(changed, "ConfigMap", "cilium-config")["data"]["hubble-metrics"] == "dns"
    templates = [find(one, "DaemonSet", "cilium")["spec"]["template"] for one in (plain, changed)]
    assert templates[0] != templates[1], "no agent would restart with the new configuration"


def test_parts_of_hubble_can_be_switched_off(render: Render) -> None:
    off = {"relay": {"enabled": False}, "ui": {"enabled": False}, "metrics": []}
    rendered = render("1.20.0", hubble=off)
    assert {item.name for item in rendered.stages[Stage.HUBBLE]} == {"hubble-peer"}
    assert "hubble-metrics" not in find(rendered, "ConfigMap", "cilium-config")["data"]


@pytest.mark.parametrize(("nodes", "replicas"), [(0, 1), (1, 1), (5, 2)])
def test_cilium_operator_fits_the_nodes(render: Render, facts: ClusterFacts, nodes: int, replicas: int) -> None:
    rendered = render("1.20.0", cluster=replace(facts, nodes_in_scope=nodes))
    assert find(rendered, "Deployment", "cilium-operator")["spec"]["replicas"] == replicas


@FIRST_AND_LAST
def test_what_the_api_server_serves_reaches_the_chart(render: Render, facts: ClusterFacts, version: str) -> None:
    values = {"prometheus": {"enabled": True, "serviceMonitor": {"enabled": True}}}
    error = refused(render, version, values=values)
    assert error.reason is Reason.CHART_INVALID_VALUES
    assert "monitoring.coreos.com/v1" in error.message
    kinds = ("monitoring.coreos.com/v1", "monitoring.coreos.com/v1/ServiceMonitor")
    rendered = render(version, values=values, cluster=replace(facts, api_versions=kinds))
    assert [item.name for item in rendered.stages[Stage.CONFIG] if item.kind == "ServiceMonitor"] == ["cilium-agent"]


def test_the_version_of_kubernetes_reaches_the_chart(render: Render, facts: ClusterFacts) -> None:
    old = render("1.17.3", cluster=replace(facts, kubernetes_version="v1.29.4"))
    annotations = find(old, "DaemonSet", "cilium")["spec"]["template"]["metadata"]["annotations"]
    assert any("apparmor" in name for name in annotations), "Kubernetes 1.29 has no appArmorProfile field"


@FIRST_AND_LAST
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"hubble": {"relay": {"enabled": False}}}, "Hubble UI requires .Values.hubble.relay.enabled=true"),
        (
            {"values": {"cluster": {"id": 200, "name": "prod"}}},
            "AWS VPC CNI chaining mode, if the cluster ID is 128-255",
        ),
        ({"values": {"debug": 5}}, "at '/debug': got number, want object"),
        ({"values": {"operator": {"replicas": "two"}}}, "/operator/replicas"),
    ],
)
def test_the_charts_own_checks_reach_the_reader(render: Render, version: str, spec: dict[str, Any], said: str) -> None:
    error = refused(render, version, **spec)
    assert error.reason is Reason.CHART_INVALID_VALUES
    assert said in error.message
    assert "--debug" not in error.message


def test_two_equal_environment_variables_are_refused_before_any_write(render: Render) -> None:
    error = refused(render, "1.17.3", values={"extraEnv": [{"name": "K8S_NODE_NAME", "value": "x"}]})
    assert error.reason is Reason.RENDER_INVALID
    assert "DaemonSet kube-system/cilium" in error.message
    assert "env K8S_NODE_NAME" in error.message


def test_a_setting_given_twice_is_refused(render: Render) -> None:
    error = refused(render, "1.20.0", values={"extraConfig": {"enable-local-node-route": "true"}})
    assert error.reason is Reason.RENDER_INVALID
    assert "ConfigMap cilium-config" in error.message
    assert "enable-local-node-route" in error.message


def test_reserved_keys_and_missing_features_are_refused_before_helm_runs(render: Render) -> None:
    assert refused(render, "1.20.0", values={"cni": {"exclusive": True}}).reason is Reason.RESERVED_VALUE
    plugin = {"plugin": "flannel"}
    assert refused(render, "1.20.0", primary=plugin).reason is Reason.FEATURE_NOT_AVAILABLE


@FIRST_AND_LAST
def test_names_with_letters_of_the_world_come_through(render: Render, version: str) -> None:
    text = "grüße 😀 \ufeff \x01 yes 1e3"
    rendered = render(version, values={"podAnnotations": {"example.com/note": text, "example.com/number": "1e3"}})
    annotations = find(rendered, "DaemonSet", "cilium")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["example.com/note"] == text
    assert annotations["example.com/number"] == "1e3"


@FIRST_AND_LAST
def test_hooks_of_the_chart_are_dropped(charts_dir: Path, helm: str, version: str) -> None:
    values = {
        "hubble": {"tls": {"auto": {"method": "cronJob"}}},
        "clustermesh": {"useAPIServer": True, "enableMCSAPISupport": True, "mcsapi": {"enabled": True}},
    }
    chart = charts_dir / f"cilium-{version}.tgz"
    text = asyncio.run(template(helm, chart, values, kube_version="v1.36.1", api_versions=[]))
    hooks = len(re.findall(r"^\s+\"?helm\.sh/hook\"?:", text, re.MULTILINE))
    documents = len(re.findall(r"^kind:", text, re.MULTILINE))
    if version == "1.17.3":
        assert hooks > 0, "the chart has no hooks to drop any more"
    items = parse(text)
    assert len(items) == documents - hooks
    assert "helm.sh/hook" not in json.dumps([item.body for item in items])


def test_the_gate_of_the_operator_stage_waits_for_crds() -> None:
    names = cilium_crds(load_catalogue().cilium_release("1.17.3"))
    assert "ciliumnodes.cilium.io" in names
    assert all(name.endswith(".cilium.io") for name in names)


@ALL
def test_cilium_leaves_networkpolicy_to_calico_and_every_agent_learns_of_it(
    render: Render, facts: ClusterFacts, version: str
) -> None:
    calico = {"policyEngine": "Calico", "calico": {"enabled": True, "version": "3.26.0"}}
    before = render(version)
    after = render(version, cluster=replace(facts, cilium_enforces=False), **calico)
    for rendered, enforces in ((before, "true"), (after, "false")):
        data = find(rendered, "ConfigMap", "cilium-config")["data"]
        assert data["enable-k8s-networkpolicy"] == enforces
        assert data["enable-policy"] == "default", "a CiliumNetworkPolicy stays in force"
    pods = [find(rendered, "DaemonSet", "cilium")["spec"]["template"] for rendered in (before, after)]
    assert pods[0] != pods[1], "agents read their configuration at start only, so they must be restarted"
