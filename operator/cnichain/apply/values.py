"""Own fields with another value than we applied, although nobody took them over.

Admission does that in a write of someone else: the API server keeps the field managers as they were before admission,
so the inventory's digest of owned fields does not see it (measured: tests/operator/test_fights.py). Values are compared
once per resourceVersion; an unchanged object costs nothing.
"""

import asyncio
from collections.abc import Iterable

from cnichain.api.objects import ObjectKey
from cnichain.apply.engine import CONCURRENT_REQUESTS, FULL_KINDS, Change, Live
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import Discovery
from cnichain.plan.admission import mutated_fields
from cnichain.render.manifests import Manifest


class ValueWatch:
    """Remembers, for one process, at which resourceVersion each object was compared with which manifest."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._seen: dict[ObjectKey, tuple[str, str]] = {}

    async def changes(self, manifests: Iterable[Manifest], live: Live, discovery: Discovery) -> list[Change]:
        """Objects among the manifests whose own fields are not as admission left them when they were applied.

        manifests: those that differ in nothing else.
        """
        limit = asyncio.Semaphore(CONCURRENT_REQUESTS)

        async def one(item: Manifest) -> Change | None:
            async with limit:
                return await self._one(item, live, discovery)

        found = await asyncio.gather(*(one(item) for item in manifests))
        return [change for change in found if change is not None]

    async def _one(self, item: Manifest, live: Live, discovery: Discovery) -> Change | None:
        there = live.objects.get(item.key)
        if there is None or self._seen.get(item.key) == (there["metadata"]["resourceVersion"], item.digest):
            return None
        full = there if item.kind in FULL_KINDS else await self._get(item, discovery)
        if full is None:
            return None
        paths = mutated_fields(item.body, full)
        if paths == live.inventory[item.key].mutated:
            self._seen[item.key] = (full["metadata"]["resourceVersion"], item.digest)
            return None
        return Change(
            item, f"{item.key}: {', '.join(paths) or 'fields'} by admission in a write of others", tampered=True
        )

    async def _get(self, item: Manifest, discovery: Discovery) -> Object | None:
        resource = discovery.resource(item.api_version, item.kind)
        if resource is None:
            return None
        try:
            return await self._client.get(resource, item.name, item.namespace)
        except ApiError as error:
            raise error.as_chain_error(f"look at {item.key}") from error
