"""Write one object: server-side apply, and what has to go out of its way first."""

import asyncio
import logging
import time
from dataclasses import dataclass

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import Resource
from cnichain.plan.immutable import field_of, is_immutable, recreate_policy, what_to_do
from cnichain.plan.leftover import takeover
from cnichain.render.manifests import Manifest

GONE_SECONDS = 10.0
LOOK_SECONDS = 0.1

logger = logging.getLogger(__name__)


def refused(manifest: Manifest, error: ApiError, doing: str) -> ChainError:
    """What the API server's refusal of an object means to a person."""
    if not is_immutable(error.status, error.message):
        return error.as_chain_error(f"{doing} {manifest.key}")
    field = field_of(error.message) or "a field"
    way_out = what_to_do(manifest.kind, manifest.namespace or "", manifest.name)
    return ChainError(Reason.IMMUTABLE_FIELD, f"{doing} {manifest.key}: {field} can never change. {way_out}")


@dataclass(frozen=True)
class Writer:
    """Writes objects of one CNIChain."""

    client: KubeClient

    async def write(self, resource: Resource, manifest: Manifest, live: Object | None) -> Object:
        """Apply an object; the API server's answer. live: the object as it carries our owner label, None without one.

        Raises ChainError: ImmutableField, SchemaStale, KindNotServed, or what else the refusal means.
        """
        try:
            first = takeover(manifest.body, live)
            if first is not None:
                await self.client.apply(resource, first)
            return await self.client.apply(resource, manifest.body)
        except ApiError as error:
            policy = recreate_policy(manifest.kind, live, manifest.body)
            if live is None or policy is None or not is_immutable(error.status, error.message):
                raise refused(manifest, error, "apply") from error
            field = field_of(error.message)
        logger.info("%s is replaced: %s can never change", manifest.key, field or "a field")
        try:
            uid: str = live["metadata"]["uid"]
            await self.client.delete(resource, manifest.name, manifest.namespace, uid=uid, propagation=policy.value)
            await self._gone(resource, manifest, uid)
            return await self.client.apply(resource, manifest.body)
        except ApiError as error:
            raise refused(manifest, error, "replace") from error

    async def _gone(self, resource: Resource, manifest: Manifest, uid: str) -> None:
        """Wait until the old object has gone: a finalizer holds it until the garbage collector has let its pods go."""
        deadline = time.monotonic() + GONE_SECONDS
        while True:
            found = await self.client.get(resource, manifest.name, manifest.namespace)
            if found is None or found["metadata"]["uid"] != uid:
                return
            if time.monotonic() > deadline:
                holds = ", ".join(found["metadata"].get("finalizers") or ["nothing that it names"])
                raise ChainError(
                    Reason.WAITING_FOR_HEALTH,
                    f"replace {manifest.key}: the old object is deleted and has not gone after {GONE_SECONDS:.0f} s; "
                    f"it waits for {holds}. The next pass goes on.",
                )
            await asyncio.sleep(LOOK_SECONDS)
