"""`cnichain render`: the operator's manifests without a cluster, the same each time, and never a key."""

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Run

from cnichain.cli.offline import STANDS_FOR, without_secrets
from cnichain.render.manifests import manifest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "eks.yaml")
CHAIN = "apiVersion: cnichain.io/v1alpha1\nkind: CNIChain\nmetadata: {name: default}\nspec: "
KEYS = re.compile(r"PRIVATE KEY|BEGIN CERTIFICATE|LS0tLS1CRUdJTi|tls\.key: \S")


def test_the_objects_are_those_of_the_operator_in_its_order_and_the_same_twice(offline: Run) -> None:
    once, again = offline("render", "-f", EXAMPLE), offline("render", "-f", EXAMPLE)
    assert (once.returncode, once.stderr) == (0, "")
    assert once.stdout == again.stdout, "a render that differs by itself cannot be compared in a pipeline"
    objects = [item for item in yaml.safe_load_all(once.stdout) if item]
    assert {item["metadata"]["labels"]["cnichain.io/owner"] for item in objects} == {"default"}
    names = [f"{item['kind']}/{item['metadata']['name']}" for item in objects]
    order = ["Secret/cilium-ca", "Deployment/cilium-operator", "DaemonSet/cilium", "Deployment/hubble-relay"]
    assert sorted(names.index(name) for name in order) == [names.index(name) for name in order], "stages in their order"
    config = next(item for item in objects if item["metadata"]["name"] == "cilium-config")["data"]
    assert (config["cni-chaining-mode"], config["cni-exclusive"]) == ("aws-cni", "false")
    assert "# kubernetes: v1.32.0 (assumed)" in once.stdout


def test_no_key_is_printed_and_what_stands_for_it_says_so(offline: Run) -> None:
    values = {"hubble": {"relay": {"tls": {"server": {"enabled": True}}}}}
    done = offline("render", "-f", "-", stdin=CHAIN + json.dumps({"cilium": {"version": "1.18.12", "values": values}}))
    assert done.returncode == 0, done.stderr
    assert not KEYS.search(done.stdout)
    secrets = [item for item in yaml.safe_load_all(done.stdout) if item and item["kind"] == "Secret"]
    assert {item["metadata"]["name"] for item in secrets} == {
        "cilium-ca", "hubble-server-certs", "hubble-relay-client-certs", "hubble-relay-server-certs",
        "hubble-ui-client-certs",
    }  # fmt: skip
    assert not [item for item in secrets if {"data", "stringData"} & set(item)]
    told = {item["metadata"]["name"]: item["metadata"]["annotations"][STANDS_FOR] for item in secrets}
    assert told["hubble-server-certs"].endswith("*.default.hubble-grpc.cilium.io")
    assert done.stdout.count("# Stands for ") == len(secrets)


def test_of_any_secret_the_keys_are_named_and_no_data_is_shown() -> None:
    """A value may carry a password into a Secret of the chart's."""
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, "stringData": {"password": "hunter2"}}
    shown = without_secrets(manifest({**body, "data": {"token": "aHVudGVyMg=="}})).body
    assert "hunter2" not in json.dumps(shown)
    assert "aHVudGVyMg" not in json.dumps(shown)
    assert shown["metadata"]["annotations"] == {STANDS_FOR: "data that is not shown: password, token"}
    config_map = manifest({**body, "kind": "ConfigMap", "data": {"a": "b"}})
    assert without_secrets(config_map) is config_map


def test_the_cluster_that_is_assumed_can_be_named(offline: Run) -> None:
    text = CHAIN + "{cilium: {version: 1.20.0}}"
    done = offline("render", "-f", "-", "--kubernetes-version", "1.34", "--nodes", "1", "-o", "json", stdin=text)
    data = json.loads(done.stdout)
    assert data["kubernetes"] == "v1.34.0 (assumed)"
    (operator,) = (item for item in data["stages"]["operator"] if item["kind"] == "Deployment")
    assert operator["spec"]["replicas"] == 1, "two replicas on one node never become ready"
    assert offline("render", "-f", "-", "--kubernetes-version", "new", stdin=text).returncode == 2


def test_a_file_for_each_stage_and_none_that_is_stale(offline: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "7-calico.yaml").write_text("stale", encoding="utf-8")
    (out / "mine.txt").write_text("kept", encoding="utf-8")
    done = offline("render", "-f", EXAMPLE, "--out", str(out))
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in out.iterdir())
    assert names == ["1-config.yaml", "2-operator.yaml", "3-agents.yaml", "4-hubble.yaml", "mine.txt"]
    whole = [item for item in yaml.safe_load_all(offline("render", "-f", EXAMPLE).stdout) if item]
    parts = [item for name in names[:4] for item in yaml.safe_load_all((out / name).read_text("utf-8")) if item]
    assert parts == whole


def test_one_archive_by_any_name_is_checked_all_the_same(offline: Run, chart_dir: Path, tmp_path: Path) -> None:
    chart = tmp_path / "downloaded.tgz"
    chart.write_bytes((chart_dir / "cilium-1.17.3.tgz").read_bytes())
    assert offline("render", "-f", EXAMPLE, "--chart", str(chart)).returncode == 0
    chart.write_bytes((chart_dir / "cilium-1.18.12.tgz").read_bytes())
    done = offline("render", "-f", EXAMPLE, "--chart", str(chart))
    assert (done.returncode, done.stdout) == (2, "")
    assert "ChartDigestMismatch" in done.stderr


@pytest.mark.parametrize(
    ("spec", "options", "code", "told"),
    [
        ("{cilium: {version: 1.17.3, values: {cni: {exclusive: true}}}}", [], 1, "ReservedValue"),
        ("{cilium: {version: 1.99.0}}", [], 1, "VersionUnknown"),
        ("{cilium: {version: 1.17.3}, calico: {enabled: true, version: 3.26.0}}", [], 1, "TwoPolicyEngines"),
        ("{cilium: {version: 1.17.3, values: {kubeProxyReplacement: strict}}}", [], 1, "ChartInvalidValues"),
        ("{cilium: {version: 1.17.3}}", ["--helm", "/nowhere/helm"], 2, "HelmNotFound"),
        ("{cilium: {version: 1.17.3}}\n---\n" + CHAIN + "{cilium: {version: 1.17.3}}", [], 2, "it needs one"),
        ("[", [], 2, "not valid YAML"),
    ],
)
def test_a_spec_at_fault_ends_with_1_and_anything_else_with_2(
    offline: Run, spec: str, options: list[str], code: int, told: str
) -> None:
    done = offline("render", "-f", "-", *options, stdin=CHAIN + spec)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert told in done.stderr


def test_a_chart_that_is_not_in_the_folder_is_named(offline: Run, tmp_path: Path) -> None:
    done = offline("render", "-f", EXAMPLE, "--chart-dir", str(tmp_path))
    assert done.returncode == 2
    assert "cilium-1.17.3.tgz is missing in the chart folder" in done.stderr
    assert "--chart-dir" in done.stderr, "the fix comes with it"
