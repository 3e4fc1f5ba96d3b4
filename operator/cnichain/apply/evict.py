"""One pod evicted: by the API's eviction, so that PodDisruptionBudgets hold, and only the very pod that was meant."""

from dataclasses import dataclass
from enum import StrEnum

from cnichain.kube.client import KubeClient
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import PODS
from cnichain.plan.pods import PodRecord


class Result(StrEnum):
    """What became of it."""

    EVICTED = "evicted"
    GONE = "gone"
    REFUSED = "refused"


@dataclass(frozen=True)
class Answer:
    """message: the API server's words, when it refused."""

    result: Result
    message: str = ""


async def evict(client: KubeClient, pod: PodRecord) -> Answer:
    """Ask for the eviction of a pod. Never raises ApiError: whatever is in the way, a later look tries again.

    DaemonSets' pods go the same way: the API evicts them like any other, a PodDisruptionBudget that covers them holds,
    and no right to delete pods is needed.
    """
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    try:
        # Once: a 429 is the answer of a PodDisruptionBudget, and it will not be another a second later.
        await client.request("POST", PODS.path(pod.namespace, pod.name, "eviction"), body=body, attempts=1)
    except ApiError as error:
        if error.status in {404, 409}:
            return Answer(Result.GONE)
        return Answer(Result.REFUSED, error.message or error.reason)
    return Answer(Result.EVICTED)
