"""The cluster as the operator watches it: nodes, node reports, the primary's DaemonSet, and the applied objects.

A watch wakes the reconcile loop, and saves reads of what has not changed (kube/remembered.py). Records of nodes are
read from here (there may be thousands).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.api.reasons import Reason
from cnichain.apply.engine import Place, owned
from cnichain.kube.client import KubeClient
from cnichain.kube.reflector import Reflector
from cnichain.kube.remembered import Query, Remembered, Versions, version_of
from cnichain.kube.resources import CHAIN_NODES, CRDS, NODES, PODS, Resource
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, chain_node_record, node_record
from cnichain.rollout.nodes import AgentPod
from cnichain.rollout.situations import AGENT_LABELS, agent_pod

logger = logging.getLogger(__name__)

SYNC_SECONDS = 60.0
AGAIN_SECONDS = 1.0
ALL_CRDS = Query(CRDS, "")


class Cluster:
    """Runs the watches. Start it before Kopf: Kopf cancels every task that is younger than itself when it stops."""

    def __init__(self, client: KubeClient, wake: Callable[[], None]) -> None:
        self._client = client
        self._wake = wake
        self._versions: dict[Query, Reflector[str]] = {}
        self.reads = Remembered(client, self._seen)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._nodes: Reflector[NodeRecord] = Reflector(client, NODES, node_record, wake)
        self._reports: Reflector[ChainNodeRecord] = Reflector(client, CHAIN_NODES, chain_node_record, wake)
        self._pods: Reflector[AgentPod] = Reflector(
            client, PODS, agent_pod, wake, namespace=CILIUM_NAMESPACE, labels=AGENT_LABELS
        )

    def start(self) -> None:
        """Start the watches of nodes, node reports, Cilium's pods, and CRDs (cilium-operator makes those that agents
        wait for)."""
        self._spawn("nodes", self._nodes)
        self._spawn("cnichainnodes", self._reports)
        self._spawn("agent pods", self._pods)
        self._watch(ALL_CRDS)

    def watch_applied(self, places: Iterable[Place], owner: str) -> None:
        """Watch the applied objects in these places as well; what is watched already is left as it is."""
        for resource, namespace, name in places:
            self._watch(owned(resource, namespace, name, owner))

    def watch_object(self, resource: Resource, namespace: str, name: str) -> None:
        """Watch one object, so that a change of it is noticed at once; it need not be there yet."""
        self._watch(named(resource, namespace, name))

    def _watch(self, query: Query) -> None:
        if query not in self._versions:
            reflector = self._versions[query] = Reflector(
                self._client,
                query.resource,
                version_of,
                self._wake,
                namespace=query.namespace or None,
                labels=query.labels,
                fields=query.fields,
                metadata_only=True,
            )
            self._spawn(f"{query.resource.path(query.namespace or None)}?{query.labels}&{query.fields}", reflector)

    def _seen(self, query: Query) -> Versions | None:
        reflector = self._versions.get(query)
        return reflector.records if reflector is not None and reflector.is_current else None

    def _spawn(self, key: str, reflector: Reflector[Any]) -> None:
        self.run(key, reflector.run())

    def run(self, key: str, work: Coroutine[None, None, None]) -> None:
        """Run what belongs to the watches for as long as they run. key: a name that nothing else has."""
        self._tasks[key] = asyncio.create_task(work, name=f"watch {key}")

    async def end(self, key: str) -> None:
        """End what `run` has begun; nothing when it does not run."""
        task = self._tasks.pop(key, None)
        if task is not None:
            await _ended([task])

    def wake(self) -> None:
        """Wake the reconcile loop."""
        self._wake()

    async def nodes(self) -> dict[str, NodeRecord]:
        """All nodes by name. Raises ChainError(ApiUnavailable) when their first list is late."""
        await _synced(self._nodes.synced, "nodes")
        return {name: record for (_, name), record in self._nodes.records.items()}

    async def node_reports(self) -> dict[str, ChainNodeRecord]:
        """All node reports by node name. Raises ChainError(ApiUnavailable) when their first list is late."""
        await _synced(self._reports.synced, "cnichainnodes")
        return {name: record for (_, name), record in self._reports.records.items()}

    async def agent_pods(self) -> list[AgentPod]:
        """All pods of Cilium's DaemonSets. Raises ChainError(ApiUnavailable) when their first list is late."""
        await _synced(self._pods.synced, "pods of Cilium")
        return list(self._pods.records.values())

    def broken(self) -> str:
        """The name of a watch that has ended, which none ever should; empty when all run."""
        return next((key for key, task in self._tasks.items() if task.done()), "")

    async def stop(self) -> None:
        """End all watches."""
        await _ended(self._tasks.values())


def named(resource: Resource, namespace: str, name: str) -> Query:
    """One object by its name."""
    return Query(resource, namespace, fields=f"metadata.name={name}")


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """End tasks, and wait until they have. Asked once more each second: a cancellation can get lost in what they await,
    and a CNIChain that is deleted would wait for a watch that goes on."""
    going = everyone = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=AGAIN_SECONDS)
        for task in going:
            logger.warning("%s was told to end and goes on; it is told again", task.get_name())
    await asyncio.gather(*everyone, return_exceptions=True)  # what one of them failed with is told by `broken`


async def _synced(synced: asyncio.Event, what: str) -> None:
    try:
        # Not by asyncio.wait_for: before Python 3.12 it loses a cancellation that comes as the wait ends, and whoever
        # waits for the end of the task waits for ever (python/cpython#86296).
        async with asyncio.timeout(SYNC_SECONDS):
            await synced.wait()
    except TimeoutError as error:
        raise ChainError(
            Reason.API_UNAVAILABLE, f"the first list of {what} did not arrive within {SYNC_SECONDS:.0f} s."
        ) from error
