"""The real engines of Argo CD, Flux and kstatus, and what they are given from deploy/."""

import json
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnichain.dev.toolchain import ensure

ROOT = Path(__file__).resolve().parent.parent.parent
ARGOCD = ROOT / "deploy" / "argocd"
CUSTOMIZATIONS = ARGOCD / "resource_customizations" / "cnichain.io"
FLUX = ROOT / "deploy" / "flux" / "cnichain.yaml"
SECONDS = 120

Object = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What each tool makes of one object. flux_error: why its expressions could not be evaluated."""

    argocd: str
    message: str
    kstatus: str
    flux: str
    flux_error: str

    @property
    def three(self) -> tuple[str, str, str]:
        """Argo CD, kstatus, Flux."""
        return self.argocd, self.kstatus, self.flux


Judge = Callable[[Iterable[Object]], list[Verdict]]


def health_script(kind: str) -> str:
    """The script as it reaches Argo CD: out of the ConfigMap."""
    data = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text(encoding="utf-8"))["data"]
    return str(data[f"resource.customizations.health.cnichain.io_{kind}"])


@pytest.fixture(scope="session")
def gitops_verdict() -> Path:
    """The program with the three engines, as `cnichain dev tools` builds it."""
    return ensure("controlplane").path("gitops-verdict")


@pytest.fixture(scope="session")
def run_engines(gitops_verdict: Path) -> Callable[[Object], subprocess.CompletedProcess[str]]:
    """The program as it ends, for one input document."""

    def run(asked: Object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(gitops_verdict)],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def judge(run_engines: Callable[[Object], subprocess.CompletedProcess[str]]) -> Judge:
    """The verdicts on objects, by the scripts and expressions in deploy/."""
    scripts = {kind: health_script(kind) for kind in ("CNIChain", "CNIChainNode")}
    checks = yaml.safe_load(FLUX.read_text(encoding="utf-8"))["spec"]["healthCheckExprs"]

    def ask(objects: Iterable[Object]) -> list[Verdict]:
        done = run_engines({"scripts": scripts, "checks": checks, "objects": list(objects)})
        assert done.returncode == 0, done.stderr
        return [
            Verdict(one["argocd"], one["argocdMessage"], one["kstatus"], one["flux"], one["fluxError"])
            for one in json.loads(done.stdout)
        ]

    return ask
