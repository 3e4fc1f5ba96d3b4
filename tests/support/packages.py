"""The packages of the operator as a user gets them: rendered by the real helm, or by kustomize."""

import os
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.dev.toolchain import ensure

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/chart"
SECONDS = 120
Object = dict[str, Any]
Key = tuple[str, str, str]


@cache
def tool(name: str) -> str:
    """The path of a program of the toolchain."""
    return str(ensure("controlplane", only=(name,)).path(name))


def image_name() -> str:
    """The image that deploy/base names."""
    lines = (ROOT / "deploy/base/agent.yaml").read_text(encoding="utf-8").splitlines()
    return next(line.split("image:")[1].strip() for line in lines if "image:" in line)


def helm(
    home: Path, *arguments: str, stdin: str = "", kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run helm; nothing of the user's own configuration is read. home: a folder for what it keeps."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": str(kubeconfig or os.devnull),
    }
    return subprocess.run(
        [tool("helm"), *arguments],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def template(
    home: Path, values: Object, *more: str, chart: Path = CHART, namespace: str = SYSTEM_NAMESPACE
) -> subprocess.CompletedProcess[str]:
    """`helm template` of the chart with these values, and with more arguments."""
    arguments = ("template", "cnichain", str(chart), f"--namespace={namespace}", "--values=-", *more)
    return helm(home, *arguments, stdin=yaml.safe_dump(values))


def rendered(home: Path, values: Object, *more: str, chart: Path = CHART) -> dict[Key, Object]:
    """The objects of the chart; fails with helm's words."""
    done = template(home, values, *more, chart=chart)
    assert done.returncode == 0, f"{values}: {done.stderr}"
    return by_key(yaml.safe_load_all(done.stdout))


def kustomized(folder: Path) -> dict[Key, Object]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run(
        [tool("kubectl"), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return by_key(yaml.safe_load_all(done.stdout))


def by_key(objects: Iterable[Object | None]) -> dict[Key, Object]:
    """Objects by kind, namespace and name; fails when one is there twice."""
    found: dict[Key, Object] = {}
    for item in objects:
        if item is not None:
            key = (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
            assert key not in found, f"{key} is there twice"
            found[key] = item
    return found
