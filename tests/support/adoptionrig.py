"""The operator's work on a cluster without its process and its gates: a look, an adoption, and all stages applied."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from cnichain.api.chain import parse_spec
from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.apply.adopt import Adopter
from cnichain.apply.engine import Engine
from cnichain.apply.store import InventoryStore
from cnichain.catalogue.load import load_catalogue
from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials
from cnichain.kube.resources import Discovery
from cnichain.plan.adoption import Survey, check
from cnichain.preflight.facts import ClusterFacts
from cnichain.reconcile.certificates import look_at_certificates
from cnichain.render.charts import ChartStore
from cnichain.render.manifests import Manifest, with_owner
from cnichain.render.pipeline import Rendered, render_cilium
from cnichain.render.rotation import Request
from cnichain.render.stages import Stage, by_stage
from harness import Harness

OWNER = "default"
FIRST_MINOR = "1.17"
"""The minor that is installed before, whose defaults an upgrade keeps."""


@dataclass
class Rig:
    """One cluster; what was rendered for it is kept by version and values."""

    world: Harness
    credentials: Credentials
    rendered: dict[str, Rendered] = field(default_factory=dict)

    def survey(self, version: str, values: dict[str, Any] | None = None) -> Survey | None:
        """What is found of another installation. Raises ChainError when it cannot be taken over."""

        async def look() -> Survey | None:
            async with KubeClient(self.credentials, user_agent="cnichain-operator") as client:
                manifests = await self._manifests(client, version, values)
                engine, adopter = _parts(client)
                discovery = await client.discover()
                live = await engine.observe([item.key for item in manifests], discovery)
                survey = await adopter.survey(manifests, live, discovery)
                if survey is not None:
                    check(survey, manifests, version, load_catalogue())
                return survey

        return asyncio.run(look())

    def install(self, version: str, values: dict[str, Any] | None = None) -> None:
        """A whole pass: adopt what is there, apply all stages, prune."""

        async def work() -> None:
            async with KubeClient(self.credentials, user_agent="cnichain-operator") as client:
                manifests = await self._manifests(client, version, values)
                await reconcile(client, manifests, version)

        asyncio.run(work())

    async def _manifests(self, client: KubeClient, version: str, values: dict[str, Any] | None) -> list[Manifest]:
        rendered = await self._render(client, version, values or {})
        plan = (await look_at_certificates(client, rendered.leaves, Request())).plan
        everything = [item for items in rendered.stages.values() for item in items]
        return [with_owner(item, OWNER) for item in (*everything, *plan.secrets)]

    async def _render(self, client: KubeClient, version: str, values: dict[str, Any]) -> Rendered:
        key = f"{version} {values}"
        if key not in self.rendered:
            facts = ClusterFacts(
                kubernetes_version=await client.server_version(),
                api_versions=(await client.discover()).helm_api_versions(),
                nodes_in_scope=2,
                nodes_total=2,
                primary_version="v1.18.5",
                primary_image="amazon-k8s-cni:v1.18.5",
            )
            spec = parse_spec({"cilium": {"version": version, "values": values}})
            charts = ChartStore(self.world.work / "charts", self.world.chart_dir, "http://127.0.0.1:9/")
            helm = self.world.control_plane.toolbox.path("helm")
            release = load_catalogue().cilium_release(version)
            self.rendered[key] = await render_cilium(
                spec, release, facts, charts=charts, helm=helm, first_minor=FIRST_MINOR
            )
        return self.rendered[key]


async def reconcile(client: KubeClient, manifests: list[Manifest], version: str) -> None:
    """One pass without gates over any manifests. Raises ChainError or ApiError where it was stopped."""
    engine, adopter = _parts(client)
    discovery: Discovery = await client.discover()
    live = await engine.observe([item.key for item in manifests], discovery)
    survey = await adopter.survey(manifests, live, discovery)
    if survey is not None:
        check(survey, manifests, version, load_catalogue())
        await adopter.take_over(survey, live, discovery)
    await adopter.clean_labelled(manifests, live, discovery)
    stages = by_stage(manifests)
    for stage in Stage:
        await engine.apply(stage.value, engine.changes(stages[stage], live), live, discovery)
    await engine.prune([item.key for item in manifests], live, discovery)


def _parts(client: KubeClient) -> tuple[Engine, Adopter]:
    store = InventoryStore(client, SYSTEM_NAMESPACE, OWNER)
    return Engine(client, store, OWNER), Adopter(client, store, OWNER)
