"""The golden renders: each installable Cilium at each edge of helm's Capabilities, the same to the byte every time.

tests/render/golden/VERSION-KUBERNETES.txt has one line per object with its digest, so that a diff names the objects
that a change touches (and so the pods that it restarts). UPDATE_GOLDEN=1 writes the files anew.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnichain.api.chain import CNIChainSpec
from cnichain.catalogue.load import builtin_catalogue
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.charts import ChartStore
from cnichain.render.manifests import Manifest
from cnichain.render.pipeline import render_cilium
from cnichain.render.stages import Stage

FOLDER = Path(__file__).parent / "golden"
OFFICIAL = [release.version for release in builtin_catalogue().cilium]
EDGES = ("1.29", "1.30", "1.33")
"""Below 1.30 the charts write AppArmor as annotations; from 1.33 on 1.20 writes hostUsers."""
KEY_MATERIAL = re.compile(r"PRIVATE KEY|LS0tLS1CRUdJTi[A-Za-z0-9+/]*UFJJVkFURSBLRVk")

Render = Callable[[str, str], list[Manifest]]


@pytest.fixture(scope="module")
def render(
    charts_dir: Path, helm: str, make_spec: Callable[..., CNIChainSpec], facts: ClusterFacts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Render:  # fmt: skip
    """render(version, minor of Kubernetes): every object, in order of application; helm runs each time."""
    cache = tmp_path_factory.mktemp("golden")

    def run(version: str, kubernetes: str) -> list[Manifest]:
        charts = ChartStore(cache, charts_dir, "http://127.0.0.1:9/")
        release = builtin_catalogue().cilium_release(version)
        cluster = replace(facts, kubernetes_version=f"v{kubernetes}.0")
        first = release.minor
        rendered = asyncio.run(
            render_cilium(make_spec(version), release, cluster, charts=charts, helm=helm, first_minor=first)
        )
        return [item for stage in Stage for item in rendered.stages[stage]]

    return run


@pytest.mark.parametrize("kubernetes", EDGES)
@pytest.mark.parametrize("version", OFFICIAL)
def test_a_render_is_the_golden_one_and_the_same_twice(render: Render, version: str, kubernetes: str) -> None:
    once, again = render(version, kubernetes), render(version, kubernetes)
    bodies = [json.dumps(item.body) for item in once]
    assert bodies == [json.dumps(item.body) for item in again], "two renders differ"
    secret = [item.key for item, body in zip(once, bodies, strict=True) if KEY_MATERIAL.search(body)]
    assert not secret, f"key material in {secret}"
    assert not [item.key for item in once if item.kind == "Secret"], "the operator makes the Secrets, not the chart"
    lines = [f"{item.key} {item.digest}" for item in once]
    golden = FOLDER / f"{version}-{kubernetes}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert lines == golden.read_text(encoding="utf-8").splitlines(), "run with UPDATE_GOLDEN=1 if this is meant"


@pytest.mark.parametrize("version", OFFICIAL)
def test_the_images_of_a_render_are_those_of_the_catalogue(render: Render, version: str) -> None:
    used = {image for item in render(version, EDGES[-1]) for image in _images(item.body)}
    assert used == set(builtin_catalogue().cilium_release(version).chain_images)
    assert all("@sha256:" in image for image in used)


def test_the_edges_are_edges() -> None:
    """A new way of helm's Capabilities to change a render would show as equal files here."""
    for version in OFFICIAL:
        texts = [(FOLDER / f"{version}-{edge}.txt").read_text(encoding="utf-8") for edge in EDGES]
        assert texts[0] != texts[1], f"{version}: AppArmor is written the same way below and from 1.30 on"
    newest = [(FOLDER / f"1.20.0-{edge}.txt").read_text(encoding="utf-8") for edge in EDGES]
    assert newest[1] != newest[2], "1.20.0 is rendered the same way below and from 1.33 on"


def _images(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "image" and isinstance(value, str):
                yield value
            else:
                yield from _images(value)
    elif isinstance(node, list):
        for item in node:
            yield from _images(item)
