"""What a plan foretells of an object and what then happens to it, against the real API server."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.apply.dryrun import Forecaster
from cnichain.apply.engine import Engine
from cnichain.apply.store import InventoryStore
from cnichain.dev.controlplane import ControlPlane
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.kube.resources import DAEMON_SETS, Resource
from cnichain.plan.model import Action, Plan, dump
from cnichain.render.manifests import Manifest, manifest, with_owner

pytestmark = pytest.mark.controlplane

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
Body = dict[str, Any]


def body(api_version: str, kind: str, **parts: Any) -> Body:
    """An object in the namespace default; each test names it by itself."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}, **parts}


def workload(kind: str, selector: dict[str, str], labels: dict[str, str], image: str = "i:1", **spec: Any) -> Body:
    containers = [{"name": "c", "image": image}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return body("apps/v1", kind, spec={"selector": {"matchLabels": selector}, "template": template, **spec})


def role_binding(role: str) -> Body:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    return body("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef=ref, subjects=[])


def job(image: str) -> Body:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}
    return body("batch/v1", "Job", spec={"template": template})


def named(item: Body, name: str) -> Manifest:
    return with_owner(manifest({**item, "metadata": {**item["metadata"], "name": name}}), "default")


class World:
    """One object's way through the engine: a plan for it, and its application."""

    def __init__(self, client: KubeClient, owner: str) -> None:
        self.client = client
        self.engine = Engine(client, InventoryStore(client, "cnichain-system", owner), "default")

    async def plan(self, *items: Manifest) -> Plan:
        """The plan for manifests, not applied."""
        discovery = await self.client.discover()
        live = await self.engine.observe([item.key for item in items], discovery)
        forecaster = Forecaster(self.client, discovery)
        found, rolls = await forecaster.forecast(self.engine.changes(items, live), [], live)
        return Plan("digest", found, rolls)

    async def apply(self, *items: Manifest) -> None:
        """Apply manifests as a pass does."""
        discovery = await self.client.discover()
        live = await self.engine.observe([item.key for item in items], discovery)
        await self.engine.apply("config", self.engine.changes(items, live), live, discovery)

    async def get(self, item: Manifest) -> Body:
        """The live object of a manifest."""
        resource = (await self.client.discover()).resource(item.api_version, item.kind)
        assert resource is not None
        found = await self.client.get(resource, item.name, item.namespace)
        assert found is not None, f"{item.key} is gone"
        return found


def run(control_plane: ControlPlane, name: str, test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        async with KubeClient(load_credentials(control_plane.kubeconfig)) as client:
            await test(World(client, name))

    asyncio.run(inside())


REPLACED = {
    "roleref": (role_binding("view"), role_binding("edit"), "roleRef"),
    "secret-type": (
        body("v1", "Secret", type="Opaque", data={"a": "Yg=="}),
        body("v1", "Secret", type="kubernetes.io/basic-auth", data={"username": "Yg=="}),
        "type",
    ),
    "cluster-ip": (
        body("v1", "Service", spec={"ports": [{"port": 80}], "selector": {"a": "b"}}),
        body("v1", "Service", spec={"clusterIP": "None", "ports": [{"port": 80}], "selector": {"a": "b"}}),
        "spec.clusterIPs[0]",
    ),
    "job": (job("i:1"), job("i:2"), "spec.template"),
    "deployment-selector": (
        workload("Deployment", {"a": "one"}, {"a": "one"}),
        workload("Deployment", {"a": "two"}, {"a": "two"}),
        "spec.selector",
    ),
}


@pytest.mark.parametrize("name", REPLACED)
def test_an_immutable_field_replaces_the_object_and_the_plan_says_so(crds_installed: ControlPlane, name: str) -> None:
    before, after, field = REPLACED[name]

    async def test(world: World) -> None:
        await world.apply(named(before, name))
        old = await world.get(named(before, name))
        plan = await world.plan(named(after, name))
        (item,) = plan.items
        assert item.action is Action.RECREATE, f"the plan says {item}"
        assert field in item.note, f"the note must name the field: {item.note}"
        assert (await world.get(named(before, name)))["metadata"]["uid"] == old["metadata"]["uid"], (
            "a plan writes nothing"
        )
        await world.apply(named(after, name))
        new = await world.get(named(after, name))
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
        assert (await world.plan(named(after, name))).items == (), "after it there is nothing to do"

    run(crds_installed, name, test)


def test_a_daemon_set_is_replaced_without_its_pods_when_the_new_one_adopts_them(crds_installed: ControlPlane) -> None:
    labels = {"app": "adopt", "extra": "yes"}
    before = named(workload("DaemonSet", labels, labels), "adopt")
    after = named(workload("DaemonSet", {"app": "adopt"}, labels), "adopt")

    async def test(world: World) -> None:
        await world.apply(before)
        await daemon_set_is_there(world, before)
        pods = await uids_of_pods(world, "adopt")
        assert len(pods) == 3, "one pod per node"
        (item,) = (await world.plan(after)).items
        assert (item.action, "without its pods" in item.note) == (Action.RECREATE, True), item.note
        await world.apply(after)
        await daemon_set_is_there(world, after)
        assert await uids_of_pods(world, "adopt") == pods, "the pods must live on under the new DaemonSet"

    run(crds_installed, "adopt", test)


@pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet"])
def test_what_is_not_replaced_is_refused_with_the_way_out(crds_installed: ControlPlane, kind: str) -> None:
    name = f"refused-{kind.lower()}"
    before = named(workload(kind, {"app": name}, {"app": name}), name)
    after = named(workload(kind, {"app": name, "new": "yes"}, {"app": name, "new": "yes"}), name)
    harmless = named(body("v1", "ConfigMap", data={"a": "b"}), f"{name}-first")

    async def test(world: World) -> None:
        await world.apply(before)
        old = await world.get(before)
        with pytest.raises(ChainError) as planned:
            await world.plan(harmless, after)
        with pytest.raises(ChainError) as applied:
            await world.apply(after)
        for caught in (planned, applied):
            assert caught.value.reason is Reason.IMMUTABLE_FIELD
            assert "can never change" in caught.value.message
            assert f"kubectl delete {kind.lower()} {name} --namespace=default" in caught.value.message
        assert ("--cascade=orphan" in planned.value.message) is (kind == "DaemonSet")
        assert (await world.get(before))["metadata"]["uid"] == old["metadata"]["uid"], "it must not be deleted"

    run(crds_installed, name, test)


def test_a_defaulted_field_that_nobody_owns_does_not_stand_in_the_way(crds_installed: ControlPlane) -> None:
    """rollingUpdate of a Deployment was filled in by the server; Recreate does not go with it."""
    before = named(workload("Deployment", {"a": "s4"}, {"a": "s4"}), "leftover")
    after = named(workload("Deployment", {"a": "s4"}, {"a": "s4"}, strategy={"type": "Recreate"}), "leftover")

    async def test(world: World) -> None:
        await world.apply(before)
        old = await world.get(before)
        assert old["spec"]["strategy"]["rollingUpdate"], (
            "the server must have filled it in for this test to mean anything"
        )
        plan = await world.plan(after)
        (item,) = plan.items
        assert [(one.path, one.before, one.after) for one in item.fields] == [
            ("spec.strategy.type", "RollingUpdate", "Recreate")
        ]
        assert plan.rolls == (), "a changed strategy restarts no pod"
        await world.apply(after)
        new = await world.get(after)
        assert new["spec"]["strategy"] == {"type": "Recreate"}
        assert new["metadata"]["uid"] == old["metadata"]["uid"]
        await world.apply(before)
        assert (await world.get(before))["spec"]["strategy"]["type"] == "RollingUpdate", "and back again"

    run(crds_installed, "leftover", test)


def test_a_plan_compares_our_own_fields_and_foretells_restarts(crds_installed: ControlPlane) -> None:
    before = named(workload("Deployment", {"a": "own"}, {"a": "own"}, replicas=1), "own")
    scaled = named(workload("Deployment", {"a": "own"}, {"a": "own"}, replicas=2), "own")
    after = named(workload("Deployment", {"a": "own"}, {"a": "own"}, "i:2", replicas=2), "own")

    async def test(world: World) -> None:
        await world.apply(before)
        patch = [{"op": "add", "path": "/metadata/annotations", "value": {"foreign/key": "theirs"}}]
        deployments = (await world.client.discover()).resource("apps/v1", "Deployment")
        assert deployments is not None
        path = deployments.path("default", "own")
        await world.client.request("PATCH", path, body=patch, content_type="application/json-patch+json")
        plan = await world.plan(scaled)
        (item,) = plan.items
        assert [(one.path, one.before, one.after) for one in item.fields] == [("spec.replicas", "1", "2")]
        assert plan.rolls == (), "scaling restarts no pod"
        plan = await world.plan(after)
        (roll,) = plan.rolls
        assert roll.fields == ("spec.containers[c].image",)
        assert "foreign" not in dump(plan), "fields of others are no part of a plan"

    run(crds_installed, "own", test)


def test_a_plan_never_holds_a_value_of_a_secret(crds_installed: ControlPlane) -> None:
    before = named(body("v1", "Secret", type="Opaque", data={"key": "b2xkLXZhbHVl"}), "hidden")
    after = named(body("v1", "Secret", type="Opaque", data={"key": "bmV3LXZhbHVl", "more": "bmV3LXZhbHVl"}), "hidden")

    async def test(world: World) -> None:
        created = dump(await world.plan(before))
        await world.apply(before)
        changed = dump(await world.plan(after))
        for text in (created, changed):
            assert "b2xkLXZhbHVl" not in text
            assert "bmV3LXZhbHVl" not in text
            assert "-value" not in text
        paths = [one["path"] for one in json.loads(changed)["items"][0]["fields"]]
        assert paths == ["data.key", "data.more"], "that they change must be told"

    run(crds_installed, "hidden", test)


async def daemon_set_is_there(world: World, item: Manifest) -> None:
    """Wait until the controller has counted a DaemonSet's three pods."""
    for _ in range(300):
        found = await world.client.get(DAEMON_SETS, item.name, "default")
        if found and found["status"].get("numberReady") == 3:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{item.key} has no three ready pods within 30 s")


async def uids_of_pods(world: World, app: str) -> set[str]:
    items, _ = await world.client.list(PODS, namespace="default", labels=f"app={app}")
    return {item["metadata"]["uid"] for item in items}
