"""The schema check of the fuzz tests says what the real API server says."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnichain.api.chainnode import NodeStatus, to_wire
from cnichain.api.crd import chain_crd, node_crd
from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.kube.resources import CHAINS
from cnichain.node.access import from_kubeconfig
from cnichain.node.api_client import ApiClient
from structural import violations

pytestmark = pytest.mark.controlplane

Kubectl = Callable[..., subprocess.CompletedProcess[str]]
NOW = "2026-01-01T00:00:00Z"


def condition(**changes: Any) -> dict[str, Any]:
    base = {"type": "Ready", "status": "True", "reason": "Ready", "message": "m", "lastTransitionTime": NOW}
    return {"conditions": [base | changes]}


NODE = [
    {"state": "InSync", "message": "é😀" * 512, "plugins": ["a"] * 64, "repairs": {"byCause": {"x": 1}}},
    {"message": "é😀" * 512 + "x"},
    {"state": "Chained"},
    {"plugins": ["a"] * 65},
    {"plugins": "aws-cni"},
    {"observedGeneration": -1},
    {"observedGeneration": 2**31},
    {"repairs": {"total": "1"}},
    {"lastRepair": {"time": NOW}},
    condition(message="\x1b[31m\u202e\0"),
    condition(status="Perhaps so"),
    condition(observedGeneration=True),
]
CHAIN = [
    {"preflight": [{"check": "c", "level": "warning", "reason": "R", "message": "é" * 1024}]},
    {"preflight": [{"check": "c", "level": "fatal", "reason": "R", "message": ""}]},
    {"preflight": [{"check": "c", "level": "warning", "reason": "R"}]},
    {"nodes": {"notVerified": ["n"] * 21}},
    {"nodes": {"outOfScopeByKind": {str(at): at for at in range(17)}}},
    {"conditions": condition(message="é" * 32768)["conditions"]},
    {"conditions": condition(message="é" * 32769)["conditions"]},
]


@pytest.fixture(scope="module")
def objects(kubectl: Kubectl) -> Iterator[None]:
    """An object of each kind. Others share this control plane, so they go again."""
    for kind, name, spec in (
        ("CNIChainNode", "schema", {}),
        ("CNIChain", "default", {"cilium": {"version": "1.20.0"}}),
    ):
        body = {"apiVersion": "cnichain.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(body))
    yield
    kubectl("delete", "cnichainnode/schema", "cnichain/default", "--timeout=30s")


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [("cnichainnode", "schema", status) for status in NODE] + [("cnichain", "default", status) for status in CHAIN],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_both_refuse_the_same(
    kubectl: Kubectl, objects: None, tmp_path: Path, kind: str, name: str, status: dict[str, Any]
) -> None:
    crd = node_crd() if kind == "cnichainnode" else chain_crd()
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    found = list(violations(status, schema))
    file = tmp_path / "patch.json"
    file.write_text(json.dumps({"status": status}), encoding="utf-8")
    how = ("--type=merge", "--subresource=status", "--dry-run=server")
    done = kubectl("patch", kind, name, *how, f"--patch-file={file}", check=False)
    assert (done.returncode != 0) == bool(found), f"ours says {found or 'fine'}, the API server: {done.stderr[:600]}"


@pytest.mark.parametrize(
    "text",
    [
        "😀 é \U0010ffff",
        "\x7f",
        "\x00\x1b[2J\x07",
        "\x85\x9b\u2028\u202e",
        "\ud800",
        "\ufeff\ufffe\uffff",
        "'\"\\\n\t#:{",
    ],
)
def test_any_text_reaches_the_api_server_from_agent_and_operator(
    crds_installed: ControlPlane, kubectl: Kubectl, objects: None, text: str
) -> None:
    """Server-side apply reads YAML, which allows fewer characters than JSON. What cannot be said comes as U+FFFD."""
    uid = json.loads(kubectl("get", "cnichainnode", "schema", "-ojson").stdout)["metadata"]["uid"]
    status = to_wire(NodeStatus(message=f"<{text}>"))
    client = ApiClient(from_kubeconfig(crds_installed.kubeconfig, None), "schema")
    client.apply_status(status, uid)
    client.close()
    seen = json.loads(kubectl("get", "cnichainnode", "schema", "-ojson").stdout)["status"]["message"]
    assert seen[0] + seen[-1] == "<>"
    body = {"apiVersion": "cnichain.io/v1alpha1", "kind": "CNIChain", "metadata": {"name": "default"}}
    waiting = {"observedGeneration": 1, "waiting": {"what": f"<{text}>"}}

    async def write() -> Any:
        async with KubeClient(load_credentials(crds_installed.kubeconfig), user_agent="test") as operator:
            return await operator.apply(CHAINS, {**body, "status": waiting}, manager="test", subresource="status")

    assert asyncio.run(write())["status"]["waiting"]["what"] == seen
