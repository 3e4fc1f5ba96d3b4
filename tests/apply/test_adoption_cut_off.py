"""An adoption that is cut off at any of its writes is finished by the next pass, to the same objects and no others."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adoptionrig import reconcile
from cnichain.api.errors import ChainError
from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials, load_credentials
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import Discovery
from cnichain.render.manifests import Manifest, manifest, with_owner
from faultproxy import Fault, FaultProxy, fault_proxy
from harness import ROOT
from installers import RELEASE, comparable

pytestmark = pytest.mark.controlplane

Object = dict[str, Any]
REFUSED = Fault(status=400)
"""A status that the client does not repeat, so that a pass ends at once as if it had been killed."""
MOST_WRITES = 80


def body(api_version: str, kind: str, name: str, **more: Any) -> Object:
    metadata: Object = {"name": name} | ({} if kind.startswith("Cluster") else {"namespace": "kube-system"})
    metadata |= {key: more.pop(key) for key in ("labels", "annotations") if key in more}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def agents(container: Object) -> Object:
    selector = {"k8s-app": "cilium"}
    pod = {"containers": [{"name": "cilium-agent", "image": "quay.io/cilium/cilium:v1.17.3", **container}]}
    template = {"metadata": {"labels": selector}, "spec": pod}
    return body("apps/v1", "DaemonSet", "cilium", spec={"selector": {"matchLabels": selector}, "template": template})


def config(**more: str) -> Object:
    data = {"cni-chaining-mode": "aws-cni", "cni-exclusive": "false", "routing-mode": "native", **more}
    return body("v1", "ConfigMap", "cilium-config", data=data)


def peer(port: int) -> Object:
    ports = [{"name": "peer", "port": port, "targetPort": 4244}]
    return body("v1", "Service", "hubble-peer", spec={"selector": {"k8s-app": "cilium"}, "ports": ports})


RULES = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]
NODE_NAME = {"name": "K8S_HOST", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
WANTED = [
    with_owner(manifest(item), "default")
    for item in (
        body("v1", "ServiceAccount", "cilium"),
        body("rbac.authorization.k8s.io/v1", "ClusterRole", "cilium", rules=RULES),
        config(),
        peer(80),
        agents({"env": [NODE_NAME]}),
    )
]
STRIPS_RULES = {"postStart": {"exec": {"command": ["sh", "-c", "iptables-save | grep -v AWS | iptables-restore"]}}}
OLD = [
    body("v1", "ServiceAccount", "cilium"),
    body("rbac.authorization.k8s.io/v1", "ClusterRole", "cilium", rules=[*RULES, *RULES]),
    config(**{"enable-node-port": "false", "arping-refresh-period": "30s"}),
    peer(443),
    agents({"env": [{"name": "K8S_HOST", "value": "10.0.0.1"}], "lifecycle": STRIPS_RULES}),
]
LEFT_OVER = [
    body(
        "batch/v1",
        "CronJob",
        "hubble-generate-certs",
        spec={
            "schedule": "0 0 1 */4 *",
            "jobTemplate": {
                "spec": {
                    "template": {
                        "spec": {"restartPolicy": "Never", "containers": [{"name": "certgen", "image": "certgen"}]}
                    }
                }
            },
        },
    ),
    body("v1", "ServiceAccount", "hubble-generate-certs"),
]


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane.run(tmp_path_factory.mktemp("cut-off") / "cp") as running:
        running.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/namespace.yaml'}")
        yield running


async def install(client: KubeClient, discovery: Discovery) -> None:
    """As helm does on the client's side: each object is created under its field manager."""
    for item in (*OLD, *LEFT_OVER):
        resource = discovery.resource(item["apiVersion"], item["kind"])
        assert resource is not None
        metadata = item["metadata"] | {
            "annotations": RELEASE,
            "labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/part-of": "cilium"},
        }
        path = resource.path(metadata.get("namespace"))
        await client.request("POST", path, params={"fieldManager": "helm"}, body=item | {"metadata": metadata})


async def read(client: KubeClient, discovery: Discovery, items: list[Object]) -> list[Object | None]:
    found = []
    for item in items:
        resource = discovery.resource(item["apiVersion"], item["kind"])
        assert resource is not None
        live = await client.get(resource, item["metadata"]["name"], item["metadata"].get("namespace"))
        found.append(comparable(live) if live else None)
    return found


async def wipe(client: KubeClient, discovery: Discovery) -> None:
    inventory = body("v1", "ConfigMap", "cnichain-inventory-default")
    inventory["metadata"]["namespace"] = "cnichain-system"
    for item in (*OLD, *LEFT_OVER, inventory):
        resource = discovery.resource(item["apiVersion"], item["kind"])
        assert resource is not None
        await client.delete(resource, item["metadata"]["name"], item["metadata"].get("namespace"))


class Cut:
    """Lets so many writes of the operator through and no more."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def __call__(self, method: str, _path: str) -> Fault | None:
        if method == "GET":
            return None
        self.left -= 1
        return REFUSED if self.left < 0 else None


def test_a_pass_that_is_cut_off_at_any_write_is_finished_by_the_next(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    wanted: list[Manifest] = WANTED
    bodies = [item.body for item in wanted]

    async def run(direct: KubeClient, proxy: FaultProxy) -> int:
        discovery = await direct.discover()
        await reconcile(direct, wanted, "1.17.3")
        fresh = await read(direct, discovery, bodies)
        await wipe(direct, discovery)
        for writes in range(MOST_WRITES):
            await install(direct, discovery)
            proxy.fault = Cut(writes)
            finished = True
            async with KubeClient(Credentials(server=proxy.url), user_agent="cnichain-operator") as client:
                try:
                    await reconcile(client, wanted, "1.17.3")
                except (ApiError, ChainError):
                    finished = False
            await reconcile(direct, wanted, "1.17.3")
            now = await read(direct, discovery, bodies)
            for item, one, other in zip(wanted, now, fresh, strict=True):
                assert one == other, f"{item.key} after a pass that was cut off after {writes} writes"
            left = await read(direct, discovery, LEFT_OVER)
            assert left == [None, None], f"what is not wanted any more, cut off after {writes} writes"
            await wipe(direct, discovery)
            if finished:
                return writes
        raise AssertionError(f"the pass did not end within {MOST_WRITES} writes")

    async def inside() -> int:
        with fault_proxy(control_plane) as proxy:
            async with KubeClient(load_credentials(control_plane.kubeconfig), user_agent="cnichain-operator") as direct:
                return await run(direct, proxy)

    writes = asyncio.run(inside())
    assert writes > 2 * len(OLD) + len(LEFT_OVER), (
        "the pass must have been cut off before, between and after the rewrites"
    )
