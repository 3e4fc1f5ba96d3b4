"""What a CNIChain's `status.overhead` holds: what the chain costs, in CPU, memory and time that pods take to start."""

from typing import Annotated

from pydantic import BaseModel, Field

from cnichain.api.model import STATUS_CONFIG

PARTS = 16


class _Status(BaseModel):
    model_config = STATUS_CONFIG


class PartOverhead(_Status):
    """One part: all its pods together, and the pod that uses most."""

    name: Annotated[str, Field(max_length=63)]
    """Name of the part."""
    pods: int = 0
    """How many pods were measured."""
    cpu_millicores: int = 0
    """CPU of all of them."""
    memory_mebibytes: int = 0
    """Memory of all of them."""
    most_cpu_millicores: int = 0
    """CPU of the pod that uses most."""
    most_memory_mebibytes: int = 0
    """Memory of the pod that uses most."""


class NodeOverhead(_Status):
    """What the parts that run on every node use there together, without the primary."""

    nodes: int = 0
    """How many nodes were measured."""
    cpu_millicores: int = 0
    """CPU on the average node."""
    memory_mebibytes: int = 0
    """Memory on the average node."""
    most_cpu_millicores: int = 0
    """CPU on the node where it is most."""
    most_memory_mebibytes: int = 0
    """Memory on the node where it is most."""


class PodStarts(_Status):
    """How long pods took to start, from kubelet's conditions, which have whole seconds."""

    pods: int = 0
    """How many pods were counted."""
    network_milliseconds: int | None = None
    """From scheduled to a sandbox with network (PodReadyToStartContainers): average of the fastest nine of ten."""
    network_p90_seconds: int | None = None
    """The same for the slowest of them: nine of ten pods took no longer."""
    started_milliseconds: int | None = None
    """From scheduled to the first container that runs, images and volumes included; average as above."""
    started_p90_seconds: int | None = None
    """The same for the slowest of the fastest nine of ten."""


class OverheadStatus(_Status):
    """What the chain costs. Measured every ten minutes, and written only when it has changed by a good part."""

    since: str = ""
    """Since when it is about so, RFC 3339 in UTC."""
    cpu_millicores: int | None = None
    """CPU of all parts but the primary, on average; left out where the metrics API (metrics.k8s.io) is not served."""
    memory_mebibytes: int | None = None
    """Memory of the same."""
    parts: Annotated[list[PartOverhead], Field(max_length=PARTS)] = []
    """The parts of the chain, the primary among them."""
    per_node: NodeOverhead | None = None
    """What a node pays."""
    pods_before: PodStarts | None = None
    """Pods that started before the chain was verified on their node; kept when they are gone."""
    pods_after: PodStarts | None = None
    """Pods that Cilium manages."""
