"""Probes on nodes: one step per call, from what is in the cluster alone, so that a probe may be cut off anywhere."""

import logging
from collections.abc import Collection
from datetime import datetime

from cnichain.api import clock
from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CILIUM_ENDPOINTS, EVENTS, PODS
from cnichain.rollout.probe import (
    ProbeResult,
    ProbeState,
    ProbeTarget,
    is_forgotten,
    judge,
    probe_pod,
    selector,
)

logger = logging.getLogger(__name__)


async def probe(client: KubeClient, target: ProbeTarget, now: datetime | None = None) -> ProbeResult:
    """The next step of a probe: its pod is made, or looked at, or removed because the probe is over.

    The result of a probe that is over is told once: whoever asks again for the same attempt starts another.
    now: with a zone; the present, if left out. Raises ChainError.
    """
    try:
        return await _step(client, target, now or clock.now())
    except ApiError as error:
        raise error.as_chain_error(f"probe node {target.node} by pod {target.pod_name}") from error


async def remove_probes(client: KubeClient, owner: str, keep: Collection[str] = ()) -> int:
    """Delete the probes of a CNIChain but for the pods in `keep`, as after a kill; how many. Raises ChainError."""
    try:
        pods, _ = await client.list(PODS, namespace=SYSTEM_NAMESPACE, labels=selector(owner), metadata_only=True)
        leftover = [item["metadata"] for item in pods if item["metadata"]["name"] not in keep]
        for one in leftover:
            await client.delete(PODS, one["name"], SYSTEM_NAMESPACE, uid=one["uid"])
    except ApiError as error:
        raise error.as_chain_error("remove the pods of earlier probes") from error
    return len(leftover)


async def _step(client: KubeClient, target: ProbeTarget, now: datetime) -> ProbeResult:
    name = target.pod_name
    pods, _ = await client.list(
        PODS, namespace=SYSTEM_NAMESPACE, labels=selector(target.owner), fields=f"metadata.name={name}"
    )
    if not pods:
        return await _start(client, target)
    (pod,) = pods
    if is_forgotten(pod):
        await _remove(client, pod)
        return ProbeResult(ProbeState.WAITING, f"pod {name} on {target.node} had been forgotten; it is tried again")
    endpoint = await client.get(CILIUM_ENDPOINTS, name, SYSTEM_NAMESPACE)
    result = judge(pod, endpoint, (), target.node, now)
    if result.state is ProbeState.FAILED:
        result = judge(pod, endpoint, await _events(client, pod), target.node, now)
    if result.over:
        await _remove(client, pod)
        logger.info("probe of node %s: %s: %s", target.node, result.state.value, result.message)
    return result


async def _start(client: KubeClient, target: ProbeTarget) -> ProbeResult:
    try:
        await client.create(PODS, probe_pod(target))
    except ApiError as error:
        if error.status != 409:  # it is there after all: the next step looks at it
            raise
    return ProbeResult(ProbeState.WAITING, f"pod {SYSTEM_NAMESPACE}/{target.pod_name} is made on {target.node}")


async def _events(client: KubeClient, pod: Object) -> list[Object]:
    uid = pod["metadata"]["uid"]
    events, _ = await client.list(EVENTS, namespace=SYSTEM_NAMESPACE, fields=f"involvedObject.uid={uid}")
    return events


async def _remove(client: KubeClient, pod: Object) -> None:
    await client.delete(PODS, pod["metadata"]["name"], SYSTEM_NAMESPACE, uid=pod["metadata"]["uid"])
