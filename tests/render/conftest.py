"""The real charts, the real helm, and a cluster to render for."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.dev.manifest import find_tools_dir, load_manifest
from cnichain.dev.toolchain import tool_path
from cnichain.preflight.facts import ClusterFacts

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def charts_dir() -> Path:
    """The folder of the official charts."""
    folder = Path(os.environ.get("CHART_DIR") or REPOSITORY.parent / "shared" / "charts")
    if not (folder / "cilium-1.17.3.tgz").exists():
        pytest.skip(f"no official charts in {folder}; set CHART_DIR to a folder of cilium-VERSION.tgz")
    return folder


@pytest.fixture(scope="session")
def helm() -> str:
    """The real helm: from HELM, else as `cnichain dev tools` has built it, else from the search path."""
    families = load_manifest(find_tools_dir())
    built = [tool_path(family, tool) for family in families for tool in family.tools if tool.name == "helm"]
    candidates = [os.environ.get("HELM"), *(str(path) for path in built if path.exists()), shutil.which("helm")]
    found = next((path for path in candidates if path), None)
    if found is None:
        pytest.skip("no helm: run `cnichain dev tools`, or set HELM to the program")
    return found


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
