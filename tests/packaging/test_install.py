"""The packages on a real API server: the chart by helm, install.yaml by kubectl; and what Pod Security says of both."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnichain.dev.controlplane import ControlPlane
from packages import CHART, ROOT, SECONDS, Key, Object, by_key, helm, kustomized, rendered

pytestmark = pytest.mark.controlplane

INSTALL = ROOT / "deploy/install.yaml"
OURS = "cnichain-system"
LEVEL = "pod-security.kubernetes.io/enforce"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane without anything of ours; the tests run in the order in which they stand."""
    with ControlPlane.run(tmp_path_factory.mktemp("packaging") / "cp", nodes=2) as running:
        yield running


def test_the_chart_is_installed_upgraded_and_taken_off(cluster: ControlPlane, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = helm(tmp_path, *arguments, f"--namespace={OURS}", kubeconfig=cluster.kubeconfig)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    kubectl = cluster.run_kubectl
    said = run("install", "cnichain", str(CHART), "--create-namespace", "--wait", "--timeout=60s")
    assert "cnichain check --pre" in said, "the notes say what is next"
    kubectl("wait", "--for=condition=Established", f"--filename={ROOT / 'crds'}", "--timeout=10s")
    kubectl("rollout", "status", "deployment/cnichain-operator", f"--namespace={OURS}", "--timeout=10s")
    kubectl("rollout", "status", "daemonset/cnichain-agent", f"--namespace={OURS}", "--timeout=10s")
    before = versions(cluster)
    run("upgrade", "cnichain", str(CHART), "--wait", "--timeout=60s")
    assert versions(cluster) == before, "an upgrade to the same chart changes nothing"
    run("upgrade", "cnichain", str(CHART), "--set=oneNode=true", "--wait", "--timeout=60s")
    assert versions(cluster)["deployment.apps/cnichain-operator"] != before["deployment.apps/cnichain-operator"]
    newer = next_release(tmp_path)
    run("upgrade", "cnichain", str(newer), "--wait", "--timeout=60s")
    assert "Newer" not in columns(cluster), "helm upgrades CRDs now: docs/install.md says that it does not"
    crds = tmp_path / "crds.yaml"
    crds.write_text(run("show", "crds", str(newer)), encoding="utf-8")
    kubectl("apply", "--server-side", "--force-conflicts", f"--filename={crds}")
    assert "Newer" in columns(cluster), "the way of docs/install.md did not upgrade them"
    run("uninstall", "cnichain", "--wait", "--timeout=60s")
    assert versions(cluster) == {}
    kubectl("get", "crd", "cnichains.cnichain.io", "cnichainnodes.cnichain.io")
    kubectl("get", "namespace", "tigera-operator")


def next_release(folder: Path) -> Path:
    """A chart whose CRD has another column."""
    newer = folder / "newer"
    shutil.copytree(CHART, newer)
    crd = newer / "crds/cnichains.cnichain.io.yaml"
    text = crd.read_text(encoding="utf-8")
    crd.write_text(text.replace("- name: Primary\n", "- name: Newer\n", 1), encoding="utf-8")
    return newer


def columns(cluster: ControlPlane) -> str:
    """The columns of `kubectl get cnichains`."""
    path = "{.spec.versions[0].additionalPrinterColumns[*].name}"
    return cluster.run_kubectl("get", "crd", "cnichains.cnichain.io", f"--output=jsonpath={path}")


def pods(cluster: ControlPlane) -> set[str]:
    """The uids of our pods."""
    listed = cluster.run_kubectl("get", "pods", f"--namespace={OURS}", "--output=json")
    return {item["metadata"]["uid"] for item in json.loads(listed)["items"]}


def versions(cluster: ControlPlane) -> dict[str, int]:
    """The generation of each workload of ours."""
    listed = cluster.run_kubectl("get", "deployments,daemonsets", f"--namespace={OURS}", "--output=json")
    kinds = {"Deployment": "deployment.apps", "DaemonSet": "daemonset.apps"}
    return {
        f"{kinds[item['kind']]}/{item['metadata']['name']}": item["metadata"]["generation"]
        for item in json.loads(listed)["items"]
    }


def test_install_yaml_is_crds_and_base() -> None:
    objects = by_key(yaml.safe_load_all(INSTALL.read_text(encoding="utf-8")))
    crds = by_key(yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "crds").iterdir())
    assert objects == crds | kustomized(ROOT / "deploy/base")


def test_one_apply_of_install_yaml_installs(cluster: ControlPlane) -> None:
    kubectl = cluster.run_kubectl
    applied = kubectl("apply", "--server-side", "--force-conflicts", f"--filename={INSTALL}")
    assert len(applied.splitlines()) == len(list(yaml.safe_load_all(INSTALL.read_text(encoding="utf-8"))))
    for workload in ("deployment/cnichain-operator", "daemonset/cnichain-agent"):
        kubectl("rollout", "status", workload, f"--namespace={OURS}", "--timeout=60s", timeout=70)
    before = versions(cluster)
    kubectl("apply", "--server-side", f"--filename={INSTALL}")
    assert versions(cluster) == before


def test_helm_takes_over_what_kubectl_has_installed(cluster: ControlPlane, tmp_path: Path) -> None:
    before = pods(cluster)
    arguments = ("install", "cnichain", str(CHART), f"--namespace={OURS}", "--take-ownership", "--force-conflicts")
    done = helm(tmp_path, *arguments, "--wait", "--timeout=60s", kubeconfig=cluster.kubeconfig)
    assert done.returncode == 0, done.stdout + done.stderr
    kubectl = cluster.run_kubectl
    kubectl("rollout", "status", "deployment/cnichain-operator", f"--namespace={OURS}", "--timeout=30s")
    assert before, "nothing ran before"
    assert pods(cluster) == before, "pods were replaced"


def test_the_api_server_takes_the_chart_with_every_kind_of_value(cluster: ControlPlane, tmp_path: Path) -> None:
    """Strictly: a field that a template puts into the wrong place is an error, not a warning."""
    both = {
        "podLabels": {"team": "network"},
        "podAnnotations": {"example.com/a": "b"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "tolerations": [],
        "nodeSelector": {"pool": "system"},
    }
    values = {
        "image": {"pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "kubernetesApi": {"host": "api.example", "port": 6443},
        "charts": {"configMap": "cnichain-charts"},
        "operator": both | {"hostNetwork": False},
        "agent": both | {"maxUnavailable": 2},
        "monitoring": {"dashboards": {"enabled": True}},
    }
    manifest = tmp_path / "all.yaml"
    manifest.write_text(yaml.safe_dump_all(rendered(tmp_path, values).values()), encoding="utf-8")
    strict = ("--dry-run=server", "--validate=strict", "--force-conflicts")
    cluster.run_kubectl("apply", "--server-side", *strict, f"--filename={manifest}")


# Pod Security -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def restricted(cluster: ControlPlane) -> str:
    """A namespace of the strictest level, with both accounts."""
    name = "restricted-level"
    cluster.run_kubectl("create", "namespace", name)
    cluster.run_kubectl("label", "namespace", name, f"{LEVEL}=restricted")
    for account in ("cnichain-operator", "cnichain-agent"):
        cluster.run_kubectl("create", "serviceaccount", account, f"--namespace={name}")
    return name


def violations(cluster: ControlPlane, namespace: str, objects: dict[Key, Object], key: Key, tmp_path: Path) -> set[str]:
    """What the level of the namespace forbids of a workload's pod, as Pod Security names it."""
    template: dict[str, Any] = objects[key]["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": namespace}, **template}
    pod["metadata"] = {**template["metadata"], "name": "one", "namespace": namespace}
    manifest = tmp_path / "pod.json"
    manifest.write_text(json.dumps(pod), encoding="utf-8")
    said = refusal(cluster, manifest)
    if not said:
        return set()
    (listed,) = re.findall(r'violates PodSecurity "\S+": (.*)', said)
    return {item.split(" (")[0] for item in re.split(r"\), ", listed)}


def refusal(cluster: ControlPlane, manifest: Path) -> str:
    """Why a pod would not be made; empty when it would."""
    done = subprocess.run(
        [
            str(cluster.kubectl),
            f"--kubeconfig={cluster.kubeconfig}",
            "create",
            "--dry-run=server",
            f"--filename={manifest}",
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stderr if done.returncode else ""


OPERATOR: Key = ("Deployment", OURS, "cnichain-operator")
AGENT: Key = ("DaemonSet", OURS, "cnichain-agent")


def test_the_operator_is_restricted_but_for_the_hosts_network(
    cluster: ControlPlane, restricted: str, tmp_path: Path
) -> None:
    base = kustomized(ROOT / "deploy/base")
    assert violations(cluster, restricted, base, OPERATOR, tmp_path) == {"host namespaces", "hostPort"}
    inside = rendered(tmp_path, {"operator": {"hostNetwork": False}})
    assert violations(cluster, restricted, inside, OPERATOR, tmp_path) == set()


def test_the_agent_has_the_hosts_network_its_folders_and_root_and_no_more(
    cluster: ControlPlane, restricted: str, tmp_path: Path
) -> None:
    """No privileged container, no capability, no other namespace of the host, a seccomp profile. The host that a probe
    names is the loopback, so that health is served to the node alone."""
    base = kustomized(ROOT / "deploy/base")
    assert violations(cluster, restricted, base, AGENT, tmp_path) == {
        *("host namespaces", "hostPort", "probe or lifecycle host"),
        *("restricted volume types", "runAsNonRoot != true", "runAsUser=0"),
    }
    spec = base[AGENT]["spec"]["template"]["spec"]
    assert {key for key in spec if key.startswith("host")} == {"hostNetwork"}


def test_the_level_of_our_namespace_takes_both(cluster: ControlPlane, tmp_path: Path) -> None:
    base = kustomized(ROOT / "deploy/base")
    level = json.loads(cluster.run_kubectl("get", "namespace", OURS, "--output=json"))["metadata"]["labels"][LEVEL]
    assert level == "privileged"
    for key in (OPERATOR, AGENT):
        assert violations(cluster, OURS, base, key, tmp_path) == set()
