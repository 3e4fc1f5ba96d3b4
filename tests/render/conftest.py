"""The real charts, the real helm, and a cluster to render for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.dev.toolchain import ensure
from cnichain.preflight.facts import ClusterFacts


@pytest.fixture(scope="session")
def charts_dir(chart_dir: Path) -> Path:
    """The folder of the official charts."""
    return chart_dir


@pytest.fixture(scope="session")
def helm() -> str:
    """The real helm, as `cnichain dev tools` builds it."""
    return str(ensure("controlplane").path("helm"))


@pytest.fixture(scope="session")
def facts() -> ClusterFacts:
    """A cluster of five nodes."""
    return ClusterFacts(
        kubernetes_version="v1.36.1",
        api_versions=("apps/v1", "apps/v1/DaemonSet", "v1", "v1/Pod"),
        nodes_in_scope=5,
        nodes_total=6,
        primary_version="v1.18.5-eksbuild.1",
        primary_image="amazon-k8s-cni:v1.18.5-eksbuild.1",
    )


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., CNIChainSpec]:
    """A spec: make_spec(version, values=..., **the rest of spec)."""

    def make(version: str = "1.17.3", values: dict[str, Any] | None = None, **rest: Any) -> CNIChainSpec:
        return parse_spec({"cilium": {"version": version, "values": values or {}}, **rest})

    return make
