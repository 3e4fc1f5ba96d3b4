"""Calico's objects from the real manifests of both releases, and what is never among them."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.load import builtin_catalogue
from cnichain.catalogue.model import CalicoRelease
from cnichain.render.calico import RenderedCalico, installation, kinds_of, render_calico
from cnichain.render.calicofiles import fetch_calico, pinned_files
from cnichain.render.charts import ChartStore
from cnichain.render.manifests import is_hook
from cnichain.render.stages import CALICO_STAGES, Stage

VERSIONS = ["3.26.0", "3.32.1"]
HOOK = """
apiVersion: batch/v1
kind: Job
metadata:
  name: tigera-operator-uninstall
  namespace: tigera-operator
  annotations: {"helm.sh/hook": pre-delete}
"""


def fetch(version: str, folder: Path, cache: Path, release: CalicoRelease | None = None) -> RenderedCalico:
    files = ChartStore(cache, folder, "http://unused.invalid")
    wanted = release or builtin_catalogue().calico_release(version)
    return asyncio.run(fetch_calico(wanted, "default", files=files, repository="http://unused.invalid"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_real_manifests_come_in_three_stages_without_a_hook(version: str, calico_dir: Path, tmp_path: Path) -> None:
    rendered = fetch(version, calico_dir, tmp_path)
    assert tuple(rendered.stages) == CALICO_STAGES
    everything = [item for items in rendered.stages.values() for item in items]
    assert not [item.key for item in everything if is_hook(item.body) or item.kind == "Job"]
    assert {item.kind for item in rendered.stages[Stage.CALICO_CRDS]} == {"CustomResourceDefinition"}
    assert ("operator.tigera.io/v1", "Installation") in kinds_of(rendered.stages[Stage.CALICO_CRDS])
    assert rendered.stages[Stage.CALICO_OPERATOR][-1].kind == "Deployment", "RBAC stands before what needs it"
    assert {item.body["metadata"]["labels"]["cnichain.io/owner"] for item in everything} == {"default"}
    assert not [item.key for item in everything if "status" in item.body], "status of a CRD is the API server's"


@pytest.mark.parametrize(("version", "args"), [("3.26.0", None), ("3.32.1", ["-manage-crds=false"])])
def test_tigera_operator_leaves_the_crds_alone(
    version: str, args: list[str] | None, calico_dir: Path, tmp_path: Path
) -> None:
    deployment = fetch(version, calico_dir, tmp_path).stages[Stage.CALICO_OPERATOR][-1].body
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container.get("args") == args


def test_the_installation_says_only_what_it_must() -> None:
    body = installation().body
    assert body["metadata"] == {"name": "default"}
    assert body["spec"] == {
        "cni": {"type": "AmazonVPC"},
        "calicoNetwork": {"ipPools": [], "linuxDataplane": "Iptables"},
    }


def test_a_hook_in_a_manifest_is_refused_by_name() -> None:
    release = builtin_catalogue().calico_release("3.26.0")
    with pytest.raises(ChainError) as caught:
        render_calico(release, [HOOK], "default")
    assert caught.value.reason is Reason.HOOK_REFUSED
    assert "tigera-operator-uninstall" in caught.value.message


def test_a_manifest_that_was_changed_is_refused(calico_dir: Path, tmp_path: Path) -> None:
    content = (calico_dir / "v3.26.0" / "tigera-operator.yaml").read_bytes() + HOOK.encode()
    (tmp_path / "tigera-operator-3.26.0.yaml").write_bytes(content)
    with pytest.raises(ChainError) as caught:
        fetch("3.26.0", tmp_path, tmp_path / "cache")
    assert caught.value.reason is Reason.CHART_DIGEST_MISMATCH
    assert hashlib.sha256(content).hexdigest() in caught.value.message


def test_a_missing_manifest_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(ChainError) as caught:
        fetch("3.32.1", tmp_path, tmp_path / "cache")
    assert caught.value.reason is Reason.CHART_NOT_FOUND
    assert "operator-crds-3.32.1.yaml" in caught.value.message
    assert "v3.32.1/operator-crds.yaml" in caught.value.message


def test_the_repository_is_that_of_the_releases() -> None:
    release = builtin_catalogue().calico_release("3.32.1")
    urls = [item.url for item in pinned_files(release, "https://example.invalid/calico/")]
    assert urls == [
        f"https://example.invalid/calico/v3.32.1/manifests/{name}"
        for name in ("operator-crds.yaml", "tigera-operator.yaml")
    ]
