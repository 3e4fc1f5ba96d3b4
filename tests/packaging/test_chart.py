"""The Helm chart, rendered by the real helm: the objects of deploy/base, and what each value makes of them."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnichain.cli.operator import operator as operator_command
from cnichain.node.main import _parser as agent_parser
from operatorchart.chart import chart_files
from operatorchart.edits import StaleEditError
from operatorchart.templates import templates
from packages import CHART, ROOT, Key, Object, helm, kustomized, rendered, template

DEPLOYMENT: Key = ("Deployment", "cnichain-system", "cnichain-operator")
DAEMONSET: Key = ("DaemonSet", "cnichain-system", "cnichain-agent")
NAMESPACE: Key = ("Namespace", "", "cnichain-system")
TIGERA: Key = ("Namespace", "", "tigera-operator")
MONITORED = {name: {"enabled": True} for name in ("podMonitors", "prometheusRule", "dashboards")}

POLICY_KINDS = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def as_in_base(objects: dict[Key, Object]) -> dict[Key, Object]:
    """Without the one thing that the chart has beyond deploy/base: what keeps a namespace over `helm uninstall`."""
    assert objects[TIGERA]["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    return objects


def pod(objects: dict[Key, Object], key: Key) -> Object:
    found: Object = objects[key]["spec"]["template"]["spec"]
    return found


def container(objects: dict[Key, Object], key: Key) -> Object:
    (found,) = pod(objects, key)["containers"]
    assert isinstance(found, dict)
    return found


def test_the_defaults_render_deploy_base(tmp_path: Path) -> None:
    base = kustomized(ROOT / "deploy/base")
    made = as_in_base(rendered(tmp_path, {}))
    assert set(base) - set(made) == {NAMESPACE}, "helm makes the namespace, with --create-namespace"
    assert set(made) <= set(base)
    for key, item in made.items():
        assert item == base[key], f"{key}: chart and deploy/base differ"


def test_with_its_namespace_and_monitoring_it_renders_the_overlay(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    base, monitoring = (os.path.relpath(ROOT / "deploy" / name, overlay) for name in ("base", "monitoring"))
    mine = {"resources": [base], "components": [monitoring]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    values = {"namespace": {"create": True}, "monitoring": MONITORED}
    made, wanted = as_in_base(rendered(tmp_path, values)), kustomized(overlay)
    assert set(made) == set(wanted)
    for key, item in made.items():
        assert item == wanted[key], f"{key}: chart and overlay differ"


def test_one_node_is_the_overlay_for_one_node(tmp_path: Path) -> None:
    wanted = kustomized(ROOT / "deploy/one-node")
    del wanted[NAMESPACE]
    assert as_in_base(rendered(tmp_path, {"oneNode": True})) == wanted


OTHER: Object = {
    "image.repository": "registry.example/cnichain",
    "image.tag": "1.2.3",
    "image.digest": f"sha256:{'a' * 64}",
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "namespace.create": True,
    "oneNode": True,
    "kubernetesApi.host": "api.example",
    "kubernetesApi.port": 6443,
    "charts.configMap": "cnichain-charts",
    "charts.dir": "/baked",
    "charts.repository": "https://charts.example",
    "calico.enabled": False,
    "calico.createNamespace": False,
    "metrics.enabled": False,
    "leaderElection.enabled": False,
    "operator.replicas": 3,
    "operator.logLevel": "debug",
    "operator.hostNetwork": False,
    "operator.podDisruptionBudget.enabled": False,
    "agent.logLevel": "debug",
    "agent.maxUnavailable": 1,
    "monitoring.podMonitors.enabled": True,
    "monitoring.podMonitors.labels": {"release": "prometheus"},
    "monitoring.prometheusRule.enabled": True,
    "monitoring.prometheusRule.labels": {"release": "prometheus"},
    "monitoring.dashboards.enabled": True,
    "monitoring.dashboards.labels": {"folder": "network"},
    **{
        f"{name}.{key}": value
        for name in ("operator", "agent")
        for key, value in {
            "priorityClassName": "",
            "resources": {"limits": {"memory": "1Gi"}},
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "podLabels": {"team": "network"},
            "podAnnotations": {"example.com/scrape": "true"},
            "extraArgs": ["--log-level=warning"],
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        }.items()
    },
}
"""A value for each path that is not the default."""
NEEDS: dict[str, Object] = {
    "kubernetesApi.port": {"kubernetesApi": {"host": "api.example"}},
    "leaderElection.enabled": {"operator": {"replicas": 1}},
    **{f"monitoring.{name}.labels": {"monitoring": {name: {"enabled": True}}} for name in MONITORED},
}
"""Without which a value is about nothing."""


def merged(values: Object, path: str, value: Any) -> Object:
    """Values with one more."""
    first, _, rest = path.partition(".")
    return values | {first: merged(values.get(first, {}), rest, value) if rest else value}


def paths(schema: Object, above: str = "") -> set[str]:
    """Every value that the schema has."""
    found: set[str] = set()
    for name, item in schema["properties"].items():
        if "properties" in item:
            found |= paths(item, f"{above}{name}.")
        elif name != "global":
            found.add(f"{above}{name}")
    return found


def test_each_value_is_covered_below() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert paths(schema) == set(OTHER)


@pytest.fixture(scope="module")
def defaults(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, Object]:
    """The objects with no values."""
    return rendered(tmp_path_factory.mktemp("helm"), {})


@pytest.mark.parametrize("path", OTHER)
def test_a_value_changes_what_it_says_and_stays_runnable(
    path: str, defaults: dict[Key, Object], tmp_path: Path
) -> None:
    """Nothing is lost on the way: the new value is in the objects, and the programs take their arguments."""
    plain = NEEDS.get(path, {})
    before = rendered(tmp_path, plain) if plain else defaults
    after = rendered(tmp_path, merged(plain, path, OTHER[path]))
    assert before != after, f"{path} changes nothing"
    if isinstance(OTHER[path], str) and OTHER[path]:
        assert OTHER[path] in yaml.safe_dump(list(after.values()), width=10_000)
    for name, item in (("operator", container(after, DEPLOYMENT)), ("agent", container(after, DAEMONSET))):
        arguments = [str(one) for one in item["args"]]
        if name == "operator":
            assert arguments.pop(0) == "operator"
            operator_command.make_context("operator", arguments)
        else:
            agent_parser().parse_args(arguments)


def test_lists_and_maps_arrive_where_they_belong(tmp_path: Path) -> None:
    values: Object = {}
    for path, value in OTHER.items():
        if path.startswith(("operator.", "agent.", "image", "kubernetesApi.")) and path != "image.tag":
            values = merged(values, path, value)
    made = rendered(tmp_path, values)
    for key, name in ((DEPLOYMENT, "cnichain-operator"), (DAEMONSET, "cnichain-agent")):
        labels = made[key]["spec"]["template"]["metadata"]["labels"]
        assert labels == {"app.kubernetes.io/name": name, "team": "network"}, "the selector finds its pods still"
        assert made[key]["spec"]["template"]["metadata"]["annotations"] == {"example.com/scrape": "true"}
        spec, (one,) = pod(made, key), pod(made, key)["containers"]
        assert spec["tolerations"] == OTHER["agent.tolerations"]
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "system"}, "helm merges maps"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert "priorityClassName" not in spec
        assert one["image"] == f"registry.example/cnichain@sha256:{'a' * 64}"
        assert one["resources"]["limits"] == {"memory": "1Gi"}
        environment = {item["name"]: item.get("value") for item in one["env"]}
        assert environment.items() >= {
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("KUBERNETES_SERVICE_HOST", "api.example"),
            ("KUBERNETES_SERVICE_PORT", "6443"),
        }


def test_charts_of_a_config_map_are_read_from_where_it_is_mounted(tmp_path: Path) -> None:
    made = rendered(tmp_path, {"charts": {"configMap": "cnichain-charts"}})
    one = container(made, DEPLOYMENT)
    (mount,) = [item for item in one["volumeMounts"] if item["name"] == "charts"]
    assert f"--chart-dir={mount['mountPath']}" in one["args"]
    assert {"name": "charts", "configMap": {"name": "cnichain-charts"}} in pod(made, DEPLOYMENT)["volumes"]


def test_without_metrics_nothing_listens_for_them(tmp_path: Path) -> None:
    made = rendered(tmp_path, {"metrics": {"enabled": False}})
    for key in (DEPLOYMENT, DAEMONSET):
        one = container(made, key)
        assert [port["name"] for port in one["ports"]] == ["health"]
        assert not [item for item in one["args"] if "metrics" in item]


def test_what_kubernetes_1_29_does_not_know_is_left_out(tmp_path: Path) -> None:
    old, new = (rendered(tmp_path, {}, f"--kube-version={version}") for version in ("v1.29.15-eks-1a2b3c4", "v1.30.0"))
    assert {kind for kind, _, _ in set(new) - set(old)} == POLICY_KINDS
    reads = [
        [item for item in container(made, DAEMONSET)["volumeMounts"] if item.get("readOnly")] for made in (old, new)
    ]
    assert [item for item in reads[0] if "recursiveReadOnly" in item] == []
    assert [item for item in reads[1] if "recursiveReadOnly" in item]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"operator": {"replica": 1}}, "replica"),
        ({"operator": {"replicas": "two"}}, "replicas"),
        ({"image": {"digest": "sha256:abc"}}, "digest"),
        ({"agent": {"maxUnavailable": "0%"}}, "maxUnavailable"),
        ({"leaderElection": {"enabled": False}}, "set operator.replicas to 1"),
        ({"image": {"tag": "1.2.3", "digest": f"sha256:{'a' * 64}"}}, "name two images"),
        ({"charts": {"dir": "/a", "configMap": "b"}}, "set one of them"),
        ({"metrics": {"enabled": False}, "monitoring": MONITORED}, "needs metrics.enabled"),
    ],
)
def test_what_cannot_work_is_refused_by_name(values: Object, words: str, tmp_path: Path) -> None:
    done = template(tmp_path, values)
    assert done.returncode != 0, f"{values} was taken"
    assert words in done.stderr


def test_another_namespace_is_refused(tmp_path: Path) -> None:
    done = template(tmp_path, {}, namespace="kube-system")
    assert done.returncode != 0
    assert "give --namespace cnichain-system" in done.stderr


def test_it_is_packed_and_has_the_crds(tmp_path: Path) -> None:
    lint = helm(tmp_path, "lint", "--strict", "--namespace=cnichain-system", str(CHART))
    assert lint.returncode == 0, lint.stdout + lint.stderr
    packed = helm(tmp_path, "package", str(CHART), f"--destination={tmp_path}")
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("cnichain-*.tgz")
    shown = helm(tmp_path, "show", "crds", str(archive))
    crds = {item["metadata"]["name"]: item for item in yaml.safe_load_all(shown.stdout) if item}
    for path in (ROOT / "crds").iterdir():
        assert crds.pop(path.stem) == yaml.safe_load(path.read_text(encoding="utf-8"))
    assert crds == {}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the chart is made from."""
    for name in ("base", "monitoring"):
        shutil.copytree(ROOT / "deploy" / name, tmp_path / "copy/deploy" / name)
    shutil.copytree(ROOT / "examples", tmp_path / "copy/examples")
    return tmp_path / "copy"


def test_a_manifest_that_is_added_to_base_is_in_the_chart(copy: Path, tmp_path: Path) -> None:
    base = copy / "deploy/base"
    added = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "added", "namespace": "cnichain-system"},
        "data": {"text": "{{ not a template }} {{{ }}}"},
    }
    (base / "added.yaml").write_text(yaml.safe_dump(added), encoding="utf-8")
    with (base / "kustomization.yaml").open("a", encoding="utf-8") as kustomization:
        kustomization.write("  - added.yaml\n")
    for path, text in chart_files(copy):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    made = rendered(tmp_path, {}, chart=copy / "deploy/chart")
    assert made["ConfigMap", "cnichain-system", "added"] == added


def test_a_base_that_the_edits_do_not_fit_any_more_makes_no_chart(copy: Path) -> None:
    agent = copy / "deploy/base/agent.yaml"
    agent.write_text(agent.read_text(encoding="utf-8").replace("nodeSelector:", "nodeName:"), encoding="utf-8")
    with pytest.raises(
        StaleEditError, match=r"agent\.yaml, DaemonSet cnichain-agent: the key 'nodeSelector' is there 0"
    ):
        templates(copy / "deploy/base", copy / "deploy/monitoring")


def test_a_kustomization_that_does_more_than_list_is_refused(copy: Path) -> None:
    """Chart and install.yaml would lack it."""
    with (copy / "deploy/base/kustomization.yaml").open("a", encoding="utf-8") as kustomization:
        kustomization.write("namePrefix: my-\n")
    with pytest.raises(ValueError, match="namePrefix would not be in chart"):
        templates(copy / "deploy/base", copy / "deploy/monitoring")
