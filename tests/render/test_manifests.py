"""Manifests: what is read from helm's output, what is refused, and how objects are marked as ours."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.render.manifests import manifest, parse, with_owner, without_chart_label
from cnichain.render.stages import Stage, by_stage, sort_stage, stage_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def config_map(name: str = "a", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, **rest}


def daemon_set(**pod: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "cilium", "namespace": "kube-system"},
        "spec": {"template": {"metadata": {"labels": {"k8s-app": "cilium"}}, "spec": pod}},
    }


def refused(text: str) -> str:
    with pytest.raises(ChainError) as caught:
        parse(text)
    assert caught.value.reason is Reason.RENDER_INVALID
    return caught.value.message


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_the_digest_depends_on_the_content_alone(data: dict[str, Any]) -> None:
    body = config_map(data=data)
    same = manifest(shuffled(body))
    assert manifest(body).digest == same.digest
    assert manifest(config_map(data={**data, "one more": 1})).digest != same.digest


@given(st.dictionaries(st.text("abc\n:#'\"{ -é", max_size=8), st.text(max_size=20), max_size=4))
def test_text_comes_through_yaml_unchanged(data: dict[str, str]) -> None:
    body = config_map(data=data)
    (item,) = parse("---\n" + yaml.safe_dump(body, default_style='"') + "\n---\n# Source: only a comment\n---\n")
    assert item.body["data"] == data


def test_documents_come_in_their_order_without_empty_ones_and_hooks() -> None:
    hook = config_map("hook")
    hook["metadata"]["annotations"] = {"helm.sh/hook": "pre-delete"}
    text = "---\n".join(["", yaml.dump(config_map("b")), "# nothing\n", yaml.dump(hook), yaml.dump(config_map("a"))])
    assert [item.name for item in parse(text)] == ["b", "a"]


def test_scalars_mean_what_they_mean_to_kubernetes() -> None:
    text = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: n}
data:
  date: 2026-01-01
  time: 12:30
  mode: 0644
  hex: 0x10
  float: 1e3
  version: 1.20.0
  equals: =
  8080: number
  yes-no: true
"""
    (item,) = parse(text)
    assert item.body["data"] == {
        "date": "2026-01-01", "time": "12:30", "mode": 420, "hex": 16, "float": 1000.0, "version": "1.20.0",
        "equals": "=", "8080": "number", "yes-no": True,
    }  # fmt: skip


def test_a_separator_inside_a_text_is_no_separator() -> None:
    (item,) = parse(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\ndata:\n  k: |\n    ---\n    x: 1\n"
    )
    assert item.body["data"]["k"] == "---\nx: 1\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "# Source: cilium/templates/x.yaml\nkind: ConfigMap\nmetadata:\n  labels: {}\n  name: broken\ndata: {",
            "broken",
        ),
        ("# Source: cilium/templates/x.yaml\nkind: ConfigMap\nmetadata:\n  name: broken\ndata: {", "x.yaml"),
        ("just text", "not an object"),
        ("kind: ConfigMap\nmetadata: {name: a}", "ConfigMap a has no apiVersion"),
        ("apiVersion: v1\nmetadata: {name: a}", "a has no kind"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}", "Pod (no name) has no metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: none", "Pod (no name) has no metadata.name"),
        ("kind: Secret\nmetadata:\n  name: s\ndata:\n  a: 1\n  a: 2", "the key 'a' is given twice"),
    ],
)
def test_a_malformed_document_is_refused_by_name(text: str, named: str) -> None:
    assert named in refused(text)


def test_a_message_never_quotes_a_document() -> None:
    assert "hunter2" not in refused("kind: Secret\nmetadata:\n  name: s\nstringData: {password: hunter2")


def test_an_object_given_twice_is_refused() -> None:
    assert "ConfigMap n/a is rendered twice" in refused(
        yaml.dump_all([config_map(), config_map(data={"x": "y"})], explicit_start=True)
    )


CONTAINER: dict[str, Any] = {"name": "agent", "image": "i"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (
            daemon_set(containers=[{**CONTAINER, "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]),
            "DaemonSet kube-system/cilium: two entries share one key: spec.template.spec.containers[agent].env A",
        ),
        (
            daemon_set(
                containers=[{**CONTAINER, "ports": [{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]}]
            ),
            "containers[agent].ports 1/TCP",
        ),
        (
            daemon_set(initContainers=[{**CONTAINER, "volumeMounts": [{"mountPath": "/a", "name": n} for n in "xy"]}]),
            "initContainers[agent].volumeMounts /a",
        ),
        (daemon_set(containers=[CONTAINER, CONTAINER]), "spec.template.spec.containers agent"),
        (daemon_set(volumes=[{"name": "v"}, {"name": "v"}]), "spec.template.spec.volumes v"),
        (daemon_set(hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]), "hostAliases 1.1.1.1"),
        (
            {**config_map(), "kind": "Service", "spec": {"ports": [{"port": 80, "name": n} for n in "ab"]}},
            "Service n/a: two entries share one key: spec.ports 80/TCP",
        ),
        (
            {
                **config_map(),
                "kind": "CronJob",
                "spec": {"jobTemplate": {"spec": {"template": {"spec": {"volumes": [{"name": "v"}, {"name": "v"}]}}}}},
            },
            "spec.jobTemplate.spec.template.spec.volumes v",
        ),
    ],
)
def test_what_server_side_apply_would_refuse_is_refused_before(body: dict[str, Any], named: str) -> None:
    assert named in refused(yaml.dump(body))


def test_equal_ports_of_different_protocols_are_fine() -> None:
    ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]
    assert parse(yaml.dump(daemon_set(containers=[{**CONTAINER, "ports": ports}])))


def test_a_manifest_does_not_show_what_is_in_it() -> None:
    item = manifest(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "data": {"k": "hunter2"}}
    )
    for shown in (repr(item), str(item), f"{item}", repr([item]), repr({item.key: item})):
        assert "hunter2" not in shown
        assert "Secret n/s" in shown


def test_a_namespace_is_filled_in_and_taken_out() -> None:
    bare = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    assert manifest(bare).body["metadata"] == {"name": "a", "namespace": "kube-system"}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "a", "namespace": "x"},
    }
    item = manifest(role)
    assert (item.namespace, item.key.namespace, item.body["metadata"]) == (None, "", {"name": "a"})


def test_the_owner_label_goes_on_the_object_and_not_on_its_pods() -> None:
    body = daemon_set(containers=[CONTAINER])
    body["metadata"] |= {
        "labels": {
            "app.kubernetes.io/instance": "argo-app", "app.kubernetes.io/part-of": "cilium",
            "helm.toolkit.fluxcd.io/name": "x", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "c-1",
        },
        "annotations": {"argocd.argoproj.io/tracking-id": "x", "meta.helm.sh/release-name": "y", "keep": "z"},
    }  # fmt: skip
    body["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/instance"] = "in-a-selector"
    before = json.dumps(body)
    item = with_owner(manifest(body), "default")
    assert item.body["metadata"]["labels"] == {"app.kubernetes.io/part-of": "cilium", "cnichain.io/owner": "default"}
    assert item.body["metadata"]["annotations"] == {"keep": "z"}
    assert item.body["spec"] == body["spec"], "the pod template was changed"
    assert json.dumps(body) == before, "the input was changed"


def test_the_chart_label_leaves_pods_unless_the_selector_wants_it() -> None:
    body = daemon_set(containers=[CONTAINER])
    body["spec"]["template"]["metadata"]["labels"]["helm.sh/chart"] = "cilium-1.20.0"
    item = without_chart_label(manifest(body))
    assert item.body["spec"]["template"]["metadata"]["labels"] == {"k8s-app": "cilium"}
    body["spec"]["selector"] = {"matchLabels": {"helm.sh/chart": "cilium-1.20.0"}}
    item = without_chart_label(manifest(body))
    assert "helm.sh/chart" in item.body["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("kind", "name", "stage"),
    [
        ("Namespace", "cilium-secrets", Stage.CONFIG),
        ("ConfigMap", "hubble-relay-config", Stage.CONFIG),
        ("ServiceAccount", "cilium-operator", Stage.CONFIG),
        ("Secret", "hubble-server-certs", Stage.CONFIG),
        ("Deployment", "cilium-operator", Stage.OPERATOR),
        ("PodDisruptionBudget", "cilium-operator", Stage.OPERATOR),
        ("DaemonSet", "cilium", Stage.AGENTS),
        ("DaemonSet", "cilium-envoy", Stage.AGENTS),
        ("StatefulSet", "spire-server", Stage.AGENTS),
        ("Service", "cilium-envoy", Stage.CONFIG),
        ("Deployment", "hubble-relay", Stage.HUBBLE),
        ("Service", "hubble-peer", Stage.HUBBLE),
        ("Ingress", "hubble-ui", Stage.HUBBLE),
    ],
)
def test_stages(kind: str, name: str, stage: Stage) -> None:
    assert stage_of(manifest({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})) is stage


@given(st.permutations(["Namespace", "ConfigMap", "ServiceAccount", "ClusterRole", "Secret", "Role", "RoleBinding"]))
def test_the_order_within_a_stage_does_not_depend_on_the_input(kinds: list[str]) -> None:
    items = [
        manifest({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}) for kind in kinds for name in "ba"
    ]
    ordered = [(item.kind, item.name) for item in by_stage(items)[Stage.CONFIG]]
    assert ordered == [
        (kind, name)
        for kind in ("Namespace", "ServiceAccount", "ClusterRole", "Role", "RoleBinding", "ConfigMap", "Secret")
        for name in "ab"
    ]
    assert sort_stage(items) == sort_stage(reversed(items))
