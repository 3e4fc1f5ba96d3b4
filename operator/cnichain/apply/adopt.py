"""Look for another installation of Cilium, and hand its objects to our field manager.

Every step can be cut off and done again. What is not wanted any more is labelled and listed first, so that it is pruned
later whatever happens; then the fields of each object change hands in one request that the API server refuses when the
object has changed meanwhile. An object that was handed over is ours without a mark: the next apply takes it from there,
and the agents' own objects come last, so that an adoption that was cut off is seen as one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence

from cnichain.api.names import CILIUM_NAMESPACE, OWNER_LABEL
from cnichain.api.objects import ObjectKey
from cnichain.apply.engine import CONCURRENT_REQUESTS, SHARED_KINDS, Live
from cnichain.apply.store import InventoryStore
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import Discovery, Resource
from cnichain.plan.adoption import AGENT_CONFIG, AGENTS, Survey, foreign, is_leftover
from cnichain.plan.fieldowners import UNTRACK, hand_over, is_applied_by_us, is_handed_over, is_untracked
from cnichain.plan.installation import installer_of, release_of
from cnichain.plan.inventory import Entry
from cnichain.render.manifests import Manifest
from cnichain.render.stages import stage_of

logger = logging.getLogger(__name__)

TRIES = 4
"""For one object that others keep changing; after that the next pass goes on."""
LEFTOVER_KINDS = (
    *(("apps/v1", kind) for kind in ("DaemonSet", "Deployment")),
    *(("batch/v1", kind) for kind in ("CronJob", "Job")),
    *(("v1", kind) for kind in ("ConfigMap", "Service", "ServiceAccount")),
    *(("rbac.authorization.k8s.io/v1", kind) for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")),
    ("policy/v1", "PodDisruptionBudget"),
    *(("networking.k8s.io/v1", kind) for kind in ("Ingress", "IngressClass")),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
)
"""Kinds that the charts render; neither Secrets (the operator may not list them) nor what holds things of users."""
CLUSTER_WIDE = frozenset({"Role", "RoleBinding"})
"""Namespaced kinds that the charts put into other namespaces as well."""


class Adopter:
    """Takes over what another installation left in the cluster, for one CNIChain."""

    def __init__(self, client: KubeClient, store: InventoryStore, owner: str) -> None:
        self._client = client
        self._store = store
        self._owner = owner
        self._limit = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def survey(self, manifests: Sequence[Manifest], live: Live, discovery: Discovery) -> Survey | None:
        """The other installation, None when there is none. Reads only.

        An object is another's when it is about to be applied, exists, is neither labelled nor listed as ours, and has
        not been handed over. A Namespace alone makes no installation.
        """
        there = await self._of_others(manifests, live, discovery)
        found = {key: one for key, one in there.items() if key.kind not in SHARED_KINDS}
        if not found:
            return None
        alone = Survey(found)
        shared = {key: one for key, one in there.items() if key not in found and _came_with(one, alone)}
        leftovers, unseen = await self._leftovers({item.key for item in manifests}, live, discovery, alone)
        return Survey(found | shared, leftovers, unseen)

    async def refuse_others(self, manifests: Sequence[Manifest], live: Live, discovery: Discovery) -> None:
        """For objects that are not Cilium's: those of another installation are never taken over unasked.

        Raises ChainError(ForeignObject) with their names.
        """
        there = await self._of_others(manifests, live, discovery)
        if found := [key for key in there if key.kind not in SHARED_KINDS]:
            raise foreign(found, self._owner)

    async def _of_others(
        self, manifests: Sequence[Manifest], live: Live, discovery: Discovery
    ) -> dict[ObjectKey, Object]:
        """Objects that are about to be applied, exist, and are neither labelled nor listed as ours, nor handed over."""
        unknown = [item for item in manifests if item.key not in live.inventory and item.key not in live.objects]
        answers = await asyncio.gather(*(self._get(item.key, discovery) for item in unknown))
        return {item.key: one for item, one in zip(unknown, answers, strict=True) if one and not is_handed_over(one)}

    async def take_over(self, survey: Survey, live: Live, discovery: Discovery) -> None:
        """Make the installation ours: list what is to be pruned, and hand all fields of the others over.

        Raises ChainError for the first object that failed; the next pass goes on from there.
        """
        await self._all(self._mark(key, live, discovery) for key in survey.leftovers)
        if survey.leftovers:
            for key in survey.leftovers:
                live.inventory[key] = Entry(stage=_stage(key), desired="", uid="", owned="")
            await self._store.write(live.inventory)
        last = [key for key in survey.found if key in {AGENTS, AGENT_CONFIG}]
        first = [key for key in survey.found if key.kind in SHARED_KINDS]
        for group in (first, [key for key in survey.found if key not in {*first, *last}], last):
            await self._all(self._hand_over(key, discovery) for key in group)
        logger.info("took over %d objects of %s", len(survey.found), survey.installer.value)

    async def clean_labelled(self, manifests: Sequence[Manifest], live: Live, discovery: Discovery) -> None:
        """The same for objects that somebody has given us by the owner label, and that we have never applied."""
        given = [
            item.key
            for item in manifests
            if item.key not in live.inventory
            and item.key in live.objects
            and not is_applied_by_us(live.objects[item.key])
        ]
        await self._all(self._hand_over(key, discovery) for key in given)

    async def _leftovers(
        self, desired: set[ObjectKey], live: Live, discovery: Discovery, survey: Survey
    ) -> tuple[tuple[ObjectKey, ...], tuple[str, ...]]:
        served = [resource for one in LEFTOVER_KINDS if (resource := discovery.resource(*one))]
        answers = await asyncio.gather(*(self._list(resource) for resource in served))
        unseen = tuple(one.kind for one, items in zip(served, answers, strict=True) if items is None)
        found = [
            key
            for items in answers
            for key, item in (items or {}).items()
            if key not in desired and key not in live.inventory and is_leftover(item, key, survey)
        ]
        return tuple(sorted(found)), unseen

    async def _list(self, resource: Resource) -> Mapping[ObjectKey, Object] | None:
        """All objects of a kind where the charts put them; None without the permission to look."""
        namespace = CILIUM_NAMESPACE if resource.namespaced and resource.kind not in CLUSTER_WIDE else None
        async with self._limit:
            try:
                items, _ = await self._client.list(resource, namespace=namespace, metadata_only=True)
            except ApiError as error:
                if error.status == 403:
                    return None
                raise
        places = ((item["metadata"].get("namespace", ""), item["metadata"]["name"], item) for item in items)
        return {ObjectKey(resource.api_version, resource.kind, space, name): item for space, name, item in places}

    async def _get(self, key: ObjectKey, discovery: Discovery) -> Object | None:
        resource = discovery.resource(key.api_version, key.kind)
        if resource is None:
            return None
        async with self._limit:
            return await self._client.get(resource, key.name, key.namespace or None)

    async def _hand_over(self, key: ObjectKey, discovery: Discovery) -> None:
        """Give one object's fields to our field manager; an object that is gone is left to the apply."""
        resource = discovery.resource(key.api_version, key.kind)
        for attempt in range(1, TRIES + 1):
            live = await self._get(key, discovery)
            if resource is None or live is None or is_handed_over(live):
                return
            try:
                if is_untracked(live):
                    live = await self._track(resource, key, live)
                patch = hand_over(live, resource.api_version)
                await self._client.json_patch(resource, key.name, patch, key.namespace or None)
            except ApiError as error:
                if error.status != 409 or attempt == TRIES:
                    raise error.as_chain_error(f"take over {key}") from error

    async def _track(self, resource: Resource, key: ObjectKey, live: Object) -> Object:
        """The object with all its fields under an owner, which the API server has not kept so far."""
        await self._client.json_patch(resource, key.name, UNTRACK, key.namespace or None)
        # uid: an apply of nothing must not create an object that was deleted meanwhile.
        identity = {name: live["metadata"][name] for name in ("name", "namespace", "uid") if name in live["metadata"]}
        return await self._client.apply(
            resource, {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": identity}
        )

    async def _mark(self, key: ObjectKey, live: Live, discovery: Discovery) -> None:
        """Put the owner label on a leftover, so that it is seen and pruned as ours."""
        resource, found = discovery.resource(key.api_version, key.kind), await self._get(key, discovery)
        if resource is None or found is None:
            return
        labels = (found["metadata"].get("labels") or {}) | {OWNER_LABEL: self._owner}
        patch = [
            {"op": "add", "path": "/metadata/labels", "value": labels},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
        ]
        try:
            live.objects[key] = await self._client.json_patch(resource, key.name, patch, key.namespace or None)
        except ApiError as error:
            if error.status != 404:
                raise error.as_chain_error(f"take over {key}") from error

    async def _all(self, steps: Iterable[Awaitable[None]]) -> None:
        """All steps at once, each to its end; the first error of them after that."""
        results = await asyncio.gather(*steps, return_exceptions=True)
        for result in results:
            if result is not None:
                raise result


def _came_with(namespace: Object, survey: Survey) -> bool:
    """Whether a Namespace is of the installation, and not one that somebody made for it."""
    if survey.release:
        return release_of(namespace) == survey.release
    part = (namespace["metadata"].get("labels") or {}).get("app.kubernetes.io/part-of") == "cilium"
    return part and installer_of(namespace) is survey.installer


def _stage(key: ObjectKey) -> str:
    return stage_of(Manifest(key.api_version, key.kind, key.namespace or None, key.name, {})).value
