"""deploy/monitoring beside deploy/base, as kustomize puts them together: all that is pointed at is there."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnichain.dev.toolchain import ensure

ROOT = Path(__file__).resolve().parents[2]
Object = dict[str, Any]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The objects of a user's kustomization, as docs/metrics.md shows it."""
    folder = tmp_path_factory.mktemp("overlay")
    base, monitoring = (os.path.relpath(ROOT / "deploy" / name, folder) for name in ("base", "monitoring"))
    mine = {"resources": [base], "components": [monitoring]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    done = subprocess.run(
        [str(ensure("controlplane").path("kubectl")), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(deployed: list[Object], kind: str) -> list[Object]:
    return [item for item in deployed if item["kind"] == kind]


def test_each_monitor_finds_pods_that_serve_metrics(deployed: list[Object]) -> None:
    workloads = [*of_kind(deployed, "Deployment"), *of_kind(deployed, "DaemonSet")]
    monitors = of_kind(deployed, "PodMonitor")
    assert len(monitors) == len(workloads) == 2
    for monitor in monitors:
        selector = monitor["spec"]["selector"]["matchLabels"]
        (workload,) = [
            item for item in workloads if selector.items() <= item["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert workload["metadata"]["namespace"] == monitor["metadata"]["namespace"]
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert f"--metrics-port={ports[endpoint['port']]}" in container["args"]


def test_dashboards_reach_grafanas_sidecar(deployed: list[Object]) -> None:
    (found,) = [item for item in of_kind(deployed, "ConfigMap") if item["metadata"]["name"] == "cnichain-dashboards"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    titles = {json.loads(text)["title"] for text in found["data"].values()}
    assert titles == {"CNIChain / Overview", "CNIChain / Nodes", "CNIChain / Policy"}
    assert len(list((ROOT / "deploy/monitoring/dashboards").iterdir())) == len(titles), "each file is in the ConfigMap"


def test_the_alerts_are_deployed(deployed: list[Object]) -> None:
    (rule,) = of_kind(deployed, "PrometheusRule")
    assert len(rule["spec"]["groups"]) == 3
