"""Our own finalizer on a CNIChain: put on before the first object is applied, taken off when a deletion is through.

Not Kopf's, because Kopf 1.45 takes its finalizer off an object that it first sees with a deletionTimestamp: it starts
no daemon for it. A teardown whose operator was killed in the middle would end there, half done.
"""

from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.names import FINALIZER
from cnichain.api.reasons import Reason
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAINS

TRIES = 5
"""A patch is made from a look at the object; so often it may have changed in between."""


def has_finalizer(chain: Object) -> bool:
    """Whether our finalizer is on a CNIChain."""
    return FINALIZER in (chain["metadata"].get("finalizers") or [])


async def add_finalizer(client: KubeClient, chain: Object) -> None:
    """Put the finalizer on, unless it is there. Raises ApiError or ChainError; nothing may be applied then."""
    if not has_finalizer(chain):
        await _patch(client, chain, held=True)


async def remove_finalizer(client: KubeClient, chain: Object) -> None:
    """Take the finalizer off; the object goes unless someone else holds it. Raises ApiError or ChainError."""
    await _patch(client, chain, held=False)


async def _patch(client: KubeClient, chain: Object, *, held: bool) -> None:
    name, uid = chain["metadata"]["name"], chain["metadata"]["uid"]
    for _ in range(TRIES):
        found = await client.get(CHAINS, name)
        if found is None or found["metadata"]["uid"] != uid or has_finalizer(found) is held:
            return
        if held and found["metadata"].get("deletionTimestamp"):
            return
        try:
            await client.json_patch(CHAINS, name, _operations(found["metadata"], held=held))
        except ApiError as error:
            if error.status == 404:
                return
            if error.status not in {409, 422}:
                raise
            continue
        return
    raise ChainError(
        Reason.API_UNAVAILABLE,
        f"the finalizer of CNIChain {name} could not be changed: the object was changed by others each time.",
        retry_after=1.0,
    )


def _operations(metadata: Object, *, held: bool) -> list[dict[str, Any]]:
    """A patch that fails when the object is not the one that was seen, so that no finalizer of anyone else is lost."""
    others = [item for item in metadata.get("finalizers") or [] if item != FINALIZER]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "add", "path": "/metadata/finalizers", "value": [*others, FINALIZER] if held else others},
    ]
